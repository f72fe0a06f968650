// スライドを 1 枚ずつ PNG にする。書きかけのデッキでもよい
// 使い方: shots.mjs 05 DIR  (DIR/05-01.png からできる)
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eachSlide, launch, open } from './browser.mjs';
import { build, readArgs, start } from './build.mjs';

async function shoot(browser, html, path) {
    const { page, load } = await open(browser, html);
    await load();
    return eachSlide(page, (number) => page.screenshot({ path: `${path}-${String(number).padStart(2, '0')}.png` }));
}

await start('shots', async (args) => {
    const options = { ...readArgs(args), draft: true, out: mkdtempSync(join(tmpdir(), 'shots-')) };
    const dir = options.rest[0] ?? 'slides/build/shots';
    const browser = await launch();
    try {
        mkdirSync(dir, { recursive: true });
        await build(options);
        const made = options.decks.filter((name) => existsSync(join(options.out, `${name}.html`)));
        for (const name of made)
            console.log(`${await shoot(browser, join(options.out, `${name}.html`), join(dir, name))} slides in ${dir}`);
        return made.length < options.decks.length ? 1 : 0;
    } finally {
        await browser.close();
        rmSync(options.out, { recursive: true });
    }
});
