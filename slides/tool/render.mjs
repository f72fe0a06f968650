// 広げた Markdown から HTML と PDF を作る。build.mjs が、デッキごとに動かす
// 使い方: render.mjs IN.md OUT.html [OUT.pdf]
import { marpCli } from '@marp-team/marp-cli';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch, open } from './browser.mjs';
import { embedFonts } from './fonts.mjs';

// PDF は Marp に任せず、自分で印刷する。Marp の使うブラウザーは、スライドの中の要求
// をよそへ送ってしまう
async function print(html, pdf) {
    const browser = await launch();
    try {
        const { page, load } = await open(browser, resolve(html));
        await load();
        await page.pdf({ path: pdf, width: '1280px', height: '720px', printBackground: true,
            preferCSSPageSize: true, tagged: true, outline: true });
    } finally {
        await browser.close();
    }
}

const [input, html, pdf] = process.argv.slice(2);
const config = fileURLToPath(new URL('marp.config.mjs', import.meta.url));
try {
    process.exitCode = await marpCli([input, '--config', config, '--output', html]);
    if (process.exitCode === 0)
        embedFonts(html);
    if (pdf && process.exitCode === 0)
        await print(html, pdf);
} catch (error) {
    // Marp の跡には、1 行が数十万字のソースが入る。言い分だけを残す
    console.error(error.message);
    process.exitCode = 1;
}
