// 差分でないスライドの本文を、Marp に渡す Markdown にする
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { captionHeight, codeBlock, consoleBlock, dataImage, inlineSvg, patchBlock } from './markup.mjs';
import { AREA, LADDER, fontFor, textHeight } from './pages.mjs';

const IMAGE = /^\s*!\[([^\]]*)\]\(([^)\s]+)\)\s*$/;
const BLOCK_MARGIN = 44; // コードの余白と、前後の間隔

// 文章の 1 行が占める高さの見積もり (px)。字の大きさは theme.css と同じ
function lineHeight(line, pixels) {
    if (/^\s*<div class="(wrong|right)"/.test(line))
        return 60;
    if (line.trim() === '' || /^\s*<\/?(div|figure)/.test(line) || IMAGE.test(line))
        return 0;
    if (/^#{1,2} /.test(line))
        return textHeight(line.slice(3), 36, 48, AREA.width) + 24;
    if (/^#{3,} /.test(line))
        return textHeight(line.slice(4), 28, 40, pixels) + 12;
    if (/^\|[\s:|-]+\|$/.test(line))
        return 0;
    if (line.startsWith('|'))
        return 54;
    return textHeight(line, 26, 40, pixels) + 8;
}

// 部分ごとに、どの列にあるかを付ける。列の外は 0
function columnsOf(parts) {
    let depth = 0, outer = null, column = 0, count = 0;
    const places = parts.map((part) => {
        if (part.type !== 'text')
            return column;
        const open = /^\s*<div\b([^>]*)>/.exec(part.text);
        if (open) {
            depth++;
            if (/\bcolumns\b/.test(open[1]))
                outer = depth;
            else if (outer !== null && depth === outer + 1)
                column = ++count;
        } else if (/^\s*<\/div>/.test(part.text)) {
            if (outer !== null && depth === outer + 1)
                column = 0;
            if (depth === outer)
                outer = null;
            depth--;
        }
        return column;
    });
    return { places, count };
}

// 文章だけで、場所が余っているなら、字を大きくする
export function isRoomy(parts) {
    if (parts.some((part) => part.type === 'fence' || part.type === 'directive' && /lead/.test(part.text)))
        return false;
    const lines = parts.filter((part) => part.type === 'text').map((part) => part.text);
    if (lines.some((line) => IMAGE.test(line) || /^\s*</.test(line)))
        return false;
    return lines.reduce((sum, line) => sum + lineHeight(line, AREA.width), 0) < AREA.height * 0.72;
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
            blocks.reduce((sum, block) => sum + BLOCK_MARGIN + captionHeight(block.info), 0);
        const lines = blocks.flatMap((block) => block.lines);
        fonts.set(column, fontFor(lines, AREA.height - fixed, pixels(column) - 56));
    }
    return places.map((column, at) => (parts[at].type === 'fence' ? fonts.get(column) : Infinity));
}

// 2 つの列は、縦に並べるほうが字が大きくなるなら、そうする。入らない (null) のは、比
// べるときは 0
function arrange(parts) {
    const columns = columnsOf(parts);
    const fonts = fontsOf(parts, columns);
    if (columns.count === 0)
        return { fonts, stack: false };
    const stacked = fontsOf(parts, { places: parts.map(() => 0), count: 0 });
    return Math.min(...stacked) > Math.min(...fonts)
        ? { fonts: stacked, stack: true } : { fonts, stack: false };
}

function fenceMarkdown(part, px) {
    const language = part.info.split(/\s/)[0];
    if (language === 'console')
        return consoleBlock(part.lines, part.info.slice(7).trim(), px);
    if (language === 'diff')
        return patchBlock(part.lines, px);
    return codeBlock(part.lines, language, px);
}

function imageMarkdown(found, context, line) {
    const [, alt, path] = found;
    const file = join(context.source, path);
    if (!existsSync(file)) {
        context.report(line, `picture not found: ${path}`,
            'パスは slides/ からのものです。名前を確かめてください');
        return `<div class="picture missing">${path}</div>`;
    }
    const html = path.endsWith('.svg') ? inlineSvg(file, alt, context.serial++) : dataImage(file, alt);
    return `<div class="picture">${html}</div>`;
}

// 隠しコメントを除いた本文。コードと図は HTML にする
export function bodyMarkdown(parts, context) {
    const { fonts, stack } = arrange(parts);
    const lines = parts.map((part, at) => {
        if (part.type === 'fence')
            return `\n${fenceMarkdown(part, fonts[at] ?? LADDER.at(-1).px)}\n`;
        if (part.type === 'directive')
            return `<!-- ${part.text} -->`;
        if (part.type !== 'text')
            return null;
        const image = IMAGE.exec(part.text);
        if (image)
            return `\n${imageMarkdown(image, context, part.line)}\n`;
        return stack ? part.text.replace(/<div class="columns">/, '<div class="stack">') : part.text;
    });
    return lines.filter((line) => line !== null).join('\n').replace(/\n{3,}/g, '\n\n').trim();
}

