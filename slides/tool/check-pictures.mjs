// 手で描いた図 (SVG) を、スライドにして調べる。使い方: check-pictures.mjs [ファイル.svg ...]
// 省略すると slides/pictures/*.svg のすべて。測った値から作る図 (GENERATED) は除く
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { withBrowser } from './browser.mjs';
import { marp } from './build.mjs';
import { checkHtml } from './check.mjs';
import { HERE, start } from './cli.mjs';
import { frontMatter } from './deck.mjs';
import { embedFonts } from './fonts.mjs';
import { inlineSvg } from './markup.mjs';

const GENERATED = /^(cpu|memory)-chart\.svg$/;
const FAMILY = `font-family="'Noto Sans CJK JP', 'Noto Sans JP', 'Hiragino Sans', 'Yu Gothic', sans-serif"`;
const ELEMENTS = 'svg|title|desc|defs|g|marker|text|tspan|rect|circle|ellipse|line|path|polyline|polygon';
// [規則, 誤り, 誤りのある SVG]。XML として読めることは、lint-docs が xmllint で調べる
const FORM = [
    ['size', 'the root has no viewBox', /<svg(?![^>]*\sviewBox=)/],
    ['size', 'the root has a width or height', /<svg[^>]*\s(width|height)=/],
    ['title', 'the first element is not a <title> with text', /^(?!<svg[^>]*>\s*<title>\s*[^<\s])/],
    ['font', 'the root does not have the common font-family',
        { test: (svg) => !/<svg[^>]*>/.exec(svg)[0].includes(FAMILY) }],
    ['element', 'not allowed', new RegExp(`<(?!/|(${ELEMENTS})\\b)[^>]*`)],
    // class は、埋め込んだページの CSS に色を変えられる
    ['attribute', 'not allowed', /\s(style|class|(xlink:)?href|(\w+-)?opacity|filter|clip-path|mask|on\w+)=/],
    ['reference', 'not to an id of this file',
        { exec: (svg) => svg.match(/url\([^)]*\)/g)
            ?.find((url) => svg.split(`id="${url.slice(5, -1)}"`).length !== 2) }],
    ['text', 'there is none', /^(?![^]*<text\b)/],
    // どの書体にもない字は、四角になる。絵文字や全角の英数字も、ここで断る
    ['character', 'not one of the fonts', /[^\n -~÷×←→…、-ヿ一-鿿]/],
];

function formOf(file) {
    const svg = readFileSync(file, 'utf8').replace(/<!--[^]*?-->/g, '').trim();
    return FORM.flatMap(([rule, text, wrong]) => {
        const found = wrong.exec ? wrong.exec(svg) : wrong.test(svg) && [''];
        return found ? [{ rule, text: `${text} ${[found].flat()[0]}`.trim() }] : [];
    });
}

// ファイルごとの問題の一覧を返す。形の正しいものだけを、1 枚ずつスライドにして測る
export async function checkPictures(files) {
    const results = files.map((file) => ({ file, found: formOf(file) }));
    const good = results.filter(({ found }) => found.length === 0);
    if (good.length === 0)
        return results;
    const dir = mkdtempSync(join(tmpdir(), 'pictures-'));
    const [md, html] = ['md', 'html'].map((kind) => join(dir, `pictures.${kind}`));
    try {
        writeFileSync(md, frontMatter('') + good.map(({ file }, at) => `## ${basename(file)}\n\n` +
            `<div class="picture">${inlineSvg(file, '', at)}</div>\n`).join('\n---\n\n'));
        marp([md]);
        embedFonts(html);
        const { found } = await withBrowser((browser) => checkHtml(browser, html, 'pictures.js'));
        for (const { slide, rule, text } of found)
            (good[slide - 1] ?? good[0]).found.push({ rule, text });
    } finally {
        rmSync(dir, { recursive: true });
    }
    return results;
}

export function allPictures() {
    const dir = join(HERE, '../pictures');
    return readdirSync(dir).filter((file) => file.endsWith('.svg') && !GENERATED.test(file)).sort()
        .map((file) => join(dir, file));
}

await start(import.meta.url, 'check-pictures', async (args) => {
    const results = await checkPictures(args.length > 0 ? args : allPictures());
    for (const { file, found } of results)
        for (const { rule, text } of found)
            console.log(`  FAIL  ${basename(file)}: ${rule}: ${text}`);
    const bad = results.filter(({ found }) => found.length > 0).length;
    console.log(`pictures  ${results.length - bad} of ${results.length} ok`);
    if (bad)
        console.error('  ヒント: 規則は slides/tool の check-pictures.mjs と pictures.js にあります');
    return bad ? 1 : 0;
});
