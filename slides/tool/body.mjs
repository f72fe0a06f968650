// 差分でないスライドの本文を、Marp に渡す Markdown にする
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { consoleBlock, consoleSpace, prepareConsoles } from './console.mjs';
import { codeBlock, inlineSvg, patchBlock } from './markup.mjs';
import { AREA, LADDER, fontFor, textHeight, width } from './pages.mjs';
import { isConsole } from './sides.mjs';

const IMAGE = /^\s*!\[([^\]]*)\]\(([^)\s]+\.svg)\)\s*$/;
const BLOCK_MARGIN = 44; // コードの余白と、前後の間隔
const ROW = 1.4; // 字の大きさに対する、コードの 1 行の高さ

// 文章の 1 行が占める高さの見積もり (px)。字の大きさは theme.css と同じ
function lineHeight(line, pixels) {
    if (/^\s*<div class="(wrong|right)"/.test(line))
        return 60;
    if (line.trim() === '' || /^\s*<\/?(div|figure)/.test(line) || IMAGE.test(line))
        return 0;
    if (/^#{1,2} /.test(line))
        return textHeight(line.slice(3), 36, 48, AREA.width) + 24;
    if (/^\|[\s:|-]+\|$/.test(line))
        return 0;
    if (line.startsWith('|'))
        return 54;
    return textHeight(line, 26, 40, pixels) + 8;
}

// 部分ごとに、どの列にあるかを付ける。列の外は 0
function columnsOf(parts) {
    let depth = 0, outer = 0, count = 0;
    const places = parts.map(({ type, text }) => {
        const open = type === 'text' && /^\s*<div\b[^>]*>/.exec(text);
        depth += Boolean(open);
        if (open && /\bcolumns\b/.test(open))
            outer = depth;
        else if (open && outer && depth === outer + 1)
            count++;
        const column = outer && depth > outer ? count : 0;
        if (type === 'text' && /^\s*<\/div>/.test(text) && depth-- === outer)
            outer = 0;
        return column;
    });
    return { places, count };
}

// コードの行のほかに要る広さ
const blockSpace = (block) => (isConsole(block) ? consoleSpace(block)
    : { height: BLOCK_MARGIN + (block.rebuild ? 34 : 0), width: 0 });

// 列の中の差分は、入らない行を折り返す。最も小さい字で数える
function wrapped(lines, pixels) {
    const size = Math.floor(pixels / (LADDER.at(-1).px / 2));
    return lines.flatMap((line) => [line.slice(0, size / 2), ...Array(Math.ceil(width(line) / size) - 1).fill('')]);
}

// コードの文字の大きさを列ごとに決める。文章の残りに入る、最も大きいもの
function fontsOf(parts, { places, count }) {
    const pixels = (column) => (column ? (AREA.width - 32 * (count - 1)) / count : AREA.width);
    const text = (column) => parts.reduce((sum, part, at) => sum +
        (part.type === 'text' && places[at] === column ? lineHeight(part.text, pixels(column)) : 0), 0);
    const fonts = new Map();
    for (let column = 0; column <= count; column++) {
        const blocks = parts.filter((part, at) => part.type === 'fence' && places[at] === column);
        const fixed = text(0) + (column ? text(column) : 0) +
            blocks.reduce((sum, block) => sum + blockSpace(block).height, 0);
        const lines = blocks.flatMap((block) => (column && /^diff/.test(block.info)
            ? wrapped(block.lines, pixels(column) - 56) : block.lines));
        const indent = column ? 0 : Math.max(0, ...blocks.map((block) => blockSpace(block).width));
        fonts.set(column, fontFor(lines, AREA.height - fixed, pixels(column) - 56 - indent));
    }
    return places.map((column, at) => (parts[at].type === 'fence' ? fonts.get(column) : Infinity));
}

// 2 つの列は、縦に並べるほうが字が大きくなるなら、そうする。入らない (null) のは、
// 比べるときは 0
function arrange(parts) {
    const columns = columnsOf(parts), below = { places: parts.map(() => 0), count: 0 };
    const [side, stacked] = [columns, below].map((one) => fontsOf(parts, one));
    // ○ と × は、いつも左右に並べる
    const compared = parts.some((part) => part.type === 'text' && /class="right"/.test(part.text));
    const stack = columns.count > 0 && !compared && Math.min(...stacked) > Math.min(...side);
    return { stack, fonts: stack ? stacked : side };
}

// 場所が余っているなら、文章の字を大きくするクラスの名前
export function roomOf(parts) {
    const lines = parts.filter((part) => part.type === 'text').map((part) => part.text);
    if (lines.some((line) => IMAGE.test(line) || /^\s*</.test(line)) ||
        parts.some((part) => part.type === 'directive' && /lead/.test(part.text)))
        return null;
    const { fonts } = arrange(parts);
    const code = parts.reduce((sum, part, at) => sum +
        (part.type === 'fence' ? blockSpace(part).height + part.lines.length * fonts[at] * ROW : 0), 0);
    const prose = lines.reduce((sum, line) => sum + lineHeight(line, AREA.width), 0);
    const used = (code + prose) / AREA.height;
    if (code)
        return used < 0.72 ? 'roomy' : null;
    return used < 0.5 ? 'airy' : used < 0.72 ? 'roomy' : null;
}

// 行を消す囲みには、作り直すことと戻すことを添える。test-ablations も、そのとおりにする
function withRebuild(parts, deck) {
    return parts.map((part, at) => {
        const before = parts.slice(0, at).findLast(({ type, text }) => type !== 'text' || text.trim() !== '');
        return part.type === 'fence' && before?.text === 'ablate' ? { ...part, rebuild: `step${deck}` } : part;
    });
}

function fenceMarkdown(fence, px) {
    const { info, lines, rebuild } = fence;
    const [language] = info.split(/\s+/);
    if (language === 'console')
        return consoleBlock(fence, px);
    if (language !== 'diff')
        return codeBlock(lines, language, px);
    const steps = rebuild && `<p class="rebuild">消して <code>make ${rebuild}</code>。戻したら、もう一度</p>`;
    return patchBlock(lines, px) + (steps ?? '');
}

function imageMarkdown([, alt, path], context, line) {
    const file = join(context.source, path);
    if (existsSync(file))
        return `<div class="picture">${inlineSvg(file, alt, context.serial++)}</div>`;
    context.report(line, `picture not found: ${path}`,
        'パスは slides/ からのものです。名前を確かめてください');
    return '';
}

// 隠しコメントを除いた本文。コードと図は HTML にする
export function bodyMarkdown(source, context) {
    const parts = withRebuild(source, context.deck);
    prepareConsoles(parts, context.report);
    const { fonts, stack } = arrange(parts);
    return parts.flatMap(({ type, text, line, ...fence }, at) => {
        if (type === 'fence')
            return `\n${fenceMarkdown(fence, fonts[at] ?? LADDER.at(-1).px)}\n`;
        if (type === 'directive')
            return `<!-- ${text} -->`;
        const image = type === 'text' && IMAGE.exec(text);
        if (image)
            return `\n${imageMarkdown(image, context, line)}\n`;
        if (type !== 'text')
            return [];
        return stack ? text.replace(/<div class="columns">/, '<div class="stack">') : text;
    }).join('\n').replace(/\n{3,}/g, '\n\n').trim();
}
