// 作ったスライドを、本物のブラウザーで 1 枚ずつ調べる。例外は認めない
// 使い方: check.mjs [--source DIR] [--out DIR] [DOC...]
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hideButtons, launch, open, show } from './browser.mjs';
import { parseArgs } from './build.mjs';
import { FAMILIES } from './fonts.mjs';

const script = (name) => ({ path: fileURLToPath(new URL(name, import.meta.url)) });

const HINTS = {
    overflow: '中身が箱に入りません。スライドを 2 枚に分けるか、行を減らしてください',
    outside: '文字が、スライドか箱の外に出ています。行を短くしてください',
    overlap: '文字が重なっています。内容を減らしてください',
    small: '後ろの席から読めません。内容を減らすか、図の字を大きくしてください',
    contrast: '文字と地の明るさが近すぎます。色を変えてください',
    font: '決めた書体にない字です。別の字に替えてください',
    image: '図が表示されません。パスと形式を確かめてください',
    network: 'スライドは、ネットワークなしで見せます。ファイルを埋め込んでください',
    script: 'スクリプトがエラーになりました。HTML の部分を確かめてください',
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

async function checkSlide(page, session, paper, number) {
    await show(page, number);
    const { found, colours, pseudo } = await page.evaluate(() => window.auditSlide());
    found.push(...await fontsUsed(session));
    await page.evaluate(() => window.auditDone());
    const png = (await page.screenshot()).toString('base64');
    found.push(...await paper.evaluate(([image, texts, others]) =>
        window.measureContrast(image, texts, others), [png, colours, pseudo]));
    return found.map((one) => ({ ...one, slide: number }));
}

function pdfPages(pdf) {
    const env = { ...process.env, LC_ALL: 'C' };
    const run = spawnSync('pdfinfo', [pdf], { encoding: 'utf8', env });
    if (run.error)
        throw new Error(`pdfinfo: ${run.error.message}\n` +
            '  ヒント: make setup-docs で poppler-utils を入れてください');
    return Number(/^Pages:\s+(\d+)/m.exec(run.stdout)?.[1] ?? 0);
}

async function checkDeck(browser, options, name) {
    const [html, pdf] = ['html', 'pdf'].map((kind) => join(options.out, `${name}.${kind}`));
    const missing = [html, pdf].find((file) => !existsSync(file));
    if (missing)
        throw new Error(`not built: ${missing}\n  ヒント: make slides DOC=${name}`);
    const loading = [], found = [];
    const { page, load } = await open(browser, html, (url) =>
        loading.push({ rule: 'network', text: url.slice(0, 100) }));
    watch(page, loading);
    await page.addInitScript(script('audit.js'));
    await load();
    await hideButtons(page);
    const paper = await browser.newPage();
    await paper.addScriptTag(script('contrast.js'));
    const session = await page.context().newCDPSession(page);
    await session.send('DOM.enable');
    await session.send('CSS.enable');
    const count = await page.locator('svg.bespoke-marp-slide').count();
    for (let number = 1; number <= count; number++)
        found.push(...await checkSlide(page, session, paper, number));
    await Promise.all([page.close(), paper.close()]);
    const pages = pdfPages(pdf);
    if (pages !== count)
        found.push({ rule: 'pages', text: `PDF has ${pages} pages, HTML has ${count} slides` });
    return { count, found: [...loading, ...found] };
}

// 同じことは 1 度だけ言う
export function describe(name, { count, found }) {
    const line = ({ slide, rule, text }) => `${name}  ${slide ? `slide ${slide}` : 'deck'}: ${rule}: ${text}`;
    const lines = [...new Set(found.map(line))];
    const hints = [...new Set(found.map(({ rule }) => `  ヒント: ${rule}: ${HINTS[rule]}`))];
    if (lines.length)
        return [...lines, ...hints, `${name}  ${count} slides  ${lines.length} problem(s)`];
    return [`${name}  ${count} slides  ok`];
}

async function main() {
    const options = parseArgs(process.argv.slice(2));
    const browser = await launch();
    let failed = 0;
    try {
        const queue = [...options.decks];
        const work = async () => {
            for (let name = queue.shift(); name; name = queue.shift()) {
                const result = await checkDeck(browser, options, name);
                failed += result.found.length > 0;
                (result.found.length ? console.error : console.log)(describe(name, result).join('\n'));
            }
        };
        await Promise.all([work(), work()]);
    } finally {
        await browser.close();
    }
    return failed ? 1 : 0;
}

try {
    process.exitCode = await main();
} catch (error) {
    console.error(`slides-check: ${error.message}`);
    process.exitCode = 2;
}
