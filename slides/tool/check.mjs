// 作ったスライドを、本物のブラウザーで 1 枚ずつ調べる。例外は認めない
// 使い方: check.mjs [--source DIR] [--out DIR] [--plan NAME] [DOC...]
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eachSlide, inPairs, open, withBrowser } from './browser.mjs';
import { HERE, readArgs, run, start } from './cli.mjs';
import { FAMILIES } from './fonts.mjs';

const HINTS = {
    overflow: '中身が箱に入りません。スライドを 2 枚に分けるか、行を減らしてください',
    outside: '文字が、スライドか箱の外に出ています。行を短くしてください',
    overlap: '文字が重なっています。内容を減らしてください',
    small: '後ろの席から読めません。内容を減らすか、図の字を大きくしてください',
    cover: '文字の前に、ほかのものが重なっています。描く順か、場所を変えてください',
    contrast: '文字と地の明るさが近すぎます。色を変えてください',
    font: '決めた書体にない字です。別の字に替えてください',
    image: '図が表示されません。パスと形式を確かめてください',
    network: 'スライドは、ネットワークなしで見せます。ファイルを埋め込んでください',
    script: 'スクリプトがエラーになりました。HTML の部分を確かめてください',
    paper: '紙のものは、決めたページ数に、読める大きさ (9 pt) で収めてください',
    pages: 'PDF と HTML の枚数が違います。作り直してください',
};

// スクリプトの失敗を記録する。断った要求は、別に記録している
function watch(page, found) {
    page.on('pageerror', (error) => found.push({ rule: 'script', text: error.message }));
    page.on('console', (message) => {
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
            found.push({ rule: 'script', text: message.text() });
    });
}

// 本当に使われた書体。スライドが見えているあいだでないと、分からない
async function fontsUsed(session) {
    const { root } = await session.send('DOM.getDocument', { depth: 0 });
    const { nodeIds } = await session.send('DOM.querySelectorAll',
        { nodeId: root.nodeId, selector: '[data-audit]' });
    const answers = await Promise.all(nodeIds.map((nodeId) =>
        session.send('CSS.getPlatformFontsForNode', { nodeId })));
    const names = new Set(answers.flatMap(({ fonts }) => fonts
        .filter((font) => !font.isCustomFont || !FAMILIES.includes(font.familyName))
        .map((font) => `${font.familyName}${font.isCustomFont ? '' : ' (not embedded)'}`)));
    return [...names].map((name) => ({ rule: 'font', text: name }));
}

const pdfPages = (pdf) => Number(/^Pages:\s+(\d+)/m.exec(run('poppler-utils', 'pdfinfo', [pdf]))?.[1]);

// できた HTML を 1 枚ずつ調べる。scripts は、ページの中で動かす検査
export async function checkHtml(browser, html, ...scripts) {
    const found = [];
    const refused = (url) => found.push({ rule: 'network', text: url.slice(0, 100) });
    const { page, load } = await open(browser, html, refused);
    watch(page, found);
    for (const name of ['audit.js', ...scripts])
        await page.addInitScript({ path: join(HERE, name) });
    await load();
    const session = await page.context().newCDPSession(page);
    await session.send('DOM.enable');
    await session.send('CSS.enable');
    const count = await eachSlide(page, async (slide) => {
        const wrong = [...await page.evaluate(() => window.auditSlide()), ...await fontsUsed(session)];
        found.push(...wrong.map((one) => ({ ...one, slide })));
    });
    await page.close();
    return { count, found };
}

async function checkDeck(browser, { out }, name) {
    const [html, pdf] = ['html', 'pdf'].map((kind) => join(out, `${name}.${kind}`));
    const missing = [html, pdf].find((file) => !existsSync(file));
    if (missing)
        throw new Error(`not built: ${missing}\n  ヒント: make slides DOC=${name}`);
    const { count, found } = await checkHtml(browser, html);
    const pages = pdfPages(pdf), sheets = pdfPages(join(out, `${name}.handout.pdf`));
    if (pages !== count)
        found.push({ rule: 'pages', text: `PDF has ${pages} pages, HTML has ${count} slides` });
    // 配布資料は、答えを除いて 1 ページに 2 枚
    const answers = readFileSync(html, 'utf8').match(/<section[^>]* class="[^"]*\banswer\b/g)?.length ?? 0;
    if (sheets !== Math.ceil((count - answers) / 2))
        found.push({ rule: 'paper', text: `handout has ${sheets} pages for ${count - answers} slides` });
    return tell(name, `${count} slides`, found);
}

// 早見表は、1 ページで、読める字
async function checkCheatSheet(browser, { out }) {
    const html = join(out, 'cheatsheet.html'), found = [];
    const { page, load } = await open(browser, html, (url) => found.push({ rule: 'network', text: url }));
    watch(page, found);
    // 横に置いた A4 の、余白を除いた幅 (273 mm)
    await page.setViewportSize({ width: 1032, height: 720 });
    await load();
    const { small, wide } = await page.evaluate(() => ({
        small: Math.min(...[...document.querySelectorAll('h1, p, th, td, code')]
            .map((element) => parseFloat(getComputedStyle(element).fontSize))) * 0.75,
        wide: document.documentElement.scrollWidth - innerWidth,
    }));
    await page.close();
    const pages = pdfPages(join(out, 'cheatsheet.pdf'));
    if (pages !== 1 || small < 9 || wide > 0)
        found.push({ rule: 'paper', text: `${pages} page(s), smallest font ${small} pt, ${wide} px too wide` });
    return tell('cheatsheet', `${pages} page`, found);
}

// 見つけたものを書き、その数を返す
function tell(name, size, found) {
    // 同じことは 1 度だけ言う
    const lines = new Set(found.map(({ slide, rule, text }) =>
        `${name}  ${slide ? `slide ${slide}` : 'deck'}: ${rule}: ${text}`));
    const hints = new Set(found.map(({ rule }) => `  ヒント: ${rule}: ${HINTS[rule]}`));
    if (lines.size)
        console.error([...lines, ...hints, `${name}  ${size}  ${lines.size} problem(s)`].join('\n'));
    else
        console.log(`${name}  ${size}  ok`);
    return lines.size;
}

await start(import.meta.url, 'slides-check', async (args) => {
    const options = readArgs(args);
    let failed = 0;
    await withBrowser(async (browser) => {
        await inPairs(options.decks, async (name) => {
            failed += await checkDeck(browser, options, name);
        });
        if (existsSync(join(options.out, 'cheatsheet.html')))
            failed += await checkCheatSheet(browser, options);
    });
    return failed ? 1 : 0;
});
