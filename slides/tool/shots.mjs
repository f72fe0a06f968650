// スライドを 1 枚ずつ PNG にする。書きかけのデッキでもよい
// 使い方: shots.mjs 05 DIR  (DIR/05-01.png からできる)
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eachSlide, open, withBrowser } from './browser.mjs';
import { build } from './build.mjs';
import { isDeck, readArgs, start } from './cli.mjs';

async function shoot(browser, html, path) {
    const { page, load } = await open(browser, html);
    await load();
    return eachSlide(page, (number) =>
        page.screenshot({ path: `${path}-${String(number).padStart(2, '0')}.png` }));
}

await start(import.meta.url, 'shots', async (args) => {
    const dir = isDeck(args.at(-1) ?? '0') ? 'slides/build/shots' : args.pop();
    const options = { ...readArgs(args), draft: true, out: mkdtempSync(join(tmpdir(), 'shots-')) };
    try {
        mkdirSync(dir, { recursive: true });
        await build(options);
        const html = (name) => join(options.out, `${name}.html`);
        const made = options.decks.filter((name) => existsSync(html(name)));
        await withBrowser(async (browser) => {
            for (const name of made)
                console.log(`${await shoot(browser, html(name), join(dir, name))} slides in ${dir}`);
        });
        return made.length < options.decks.length ? 1 : 0;
    } finally {
        rmSync(options.out, { recursive: true });
    }
});
