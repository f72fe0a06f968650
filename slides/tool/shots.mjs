// スライドを 1 枚ずつ PNG にする。書きかけのデッキでもよい
// 使い方: shots.mjs 05 DIR  (DIR/05-01.png からできる)
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { hideButtons, launch, open, show } from './browser.mjs';
import { buildDeck, parseArgs } from './build.mjs';

async function shoot(html, name, dir) {
    const browser = await launch();
    try {
        const { page, load } = await open(browser, html);
        await load();
        await hideButtons(page);
        const count = await page.locator('svg.bespoke-marp-slide').count();
        for (let number = 1; number <= count; number++) {
            await show(page, number);
            const file = `${name}-${String(number).padStart(2, '0')}.png`;
            await page.screenshot({ path: join(dir, file) });
        }
        return count;
    } finally {
        await browser.close();
    }
}

const words = process.argv.slice(2);
const dir = resolve(words.find((word, at) => !/^\d\d?$/.test(word) && !word.startsWith('--') &&
    !words[at - 1]?.startsWith('--')) ?? 'slides/build/shots');
const options = parseArgs(words.filter((word) => resolve(word) !== dir));
options.draft = true;
options.out = mkdtempSync(join(tmpdir(), 'shots-'));
try {
    mkdirSync(dir, { recursive: true });
    for (const name of options.decks)
        if (await buildDeck(options, name))
            console.log(`${await shoot(join(options.out, `${name}.html`), name, dir)} slides in ${dir}`);
        else
            process.exitCode = 1;
} finally {
    rmSync(options.out, { recursive: true, force: true });
}
