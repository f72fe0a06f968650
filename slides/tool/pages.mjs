// 行の幅を数え、長いコードをページに分ける
import { structureOf } from './structure.mjs';

// コードの文字の大きさと、1 行の高さ (px)。theme.css の s26 から s18 と同じにする
export const LADDER = [{ px: 26, row: 36 }, { px: 24, row: 33 }, { px: 22, row: 30 },
    { px: 20, row: 27 }, { px: 18, row: 24 }];
// 短い端末やコードは、もっと大きくする
const SHORT = [{ px: 34, row: 46 }, { px: 30, row: 41 }];
// スライドの中の、本文に使える広さ (px)。theme.css の余白と同じにする
export const AREA = { width: 1160, height: 616 };
const CONTEXT = 2; // 変わった行の前後に残す、変わらない行の数
const FORBIDDEN = 1e6;
const FRAGMENT = 5; // 分けたページに、少なくともほしい行の数

// 全角は 2、半角は 1。使うフォントは、ASCII と半角カナのほかをすべて全角で描く
export function width(text) {
    let sum = 0;
    for (const c of text)
        sum += c === '\t' ? 8 - sum % 8 : /[\x20-\x7e\uff61-\uff9f]/.test(c) ? 1 : /\p{M}|\u200b/u.test(c) ? 0 : 2;
    return sum;
}

const isFull = (row) => row.fold || row.text.trim() !== '';
const isChanged = (row) => row.sign !== ' ';
const isComment = (row) => row.code === '' && row.text.trim() !== '';

// row のある側 (前か後) のファイルで line 行目にあたる行の、rows での場所
const placesOf = (rows, row, lines) => (lines ?? []).map((line) => rows.findIndex((one) =>
    (row.sign === '-' ? one.sign !== '+' && one.old === line : one.sign !== '-' && one.now === line)))
    .filter((place) => place >= 0);

// 畳まずに見せる行。コメントは、初めから終わりまで見せるか、すべて畳む
function keepOf(rows) {
    const keep = rows.map((row, at) => Boolean(row.signature || row.last || rows
        .slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(isChanged)));
    const show = (lines, at) => placesOf(rows, rows[at], lines).forEach((place) => {
        keep[place] = true;
    });
    rows.forEach((row, at) => keep[at] && show(row.comment, at));
    // 説明するコードが畳まれるコメントは、一緒に畳む
    for (let at = rows.length - 2; at >= 0; at--)
        if (isComment(rows[at]) && !isChanged(rows[at]) && !keep[at + 1])
            keep[at] = false;
    // 「}」を見せれば、その始まりも見せることになる
    rows.forEach((row, at) => keep[at] && show(row.within, at));
    return keep;
}

const foldOf = (first, count) => ({ ...first, text: '', fold: count, signature: false });

// 変わらない行が続くところを 1 行に畳む。宣言、囲むブロックの初め、終わりのかっこは残す。
// 冒頭のコメントと #include は、変わった行だけを並べる
export function fold(rows) {
    const rest = rows.filter((row) => !isChanged(row));
    if (/^(header|#include)$/.test(rows[0].item) && rest.length > 1)
        return [...rows.filter(isChanged), foldOf(rest[0], rest.length)];
    const keep = keepOf(rows);
    return rows.flatMap((row, at) => {
        if (keep[at])
            return [row];
        const start = keep.lastIndexOf(true, at) + 1, next = keep.indexOf(true, at);
        const count = (next < 0 ? rows.length : next) - start;
        if (count < 2)
            return [row];
        return at === start ? [foldOf(row, count)] : [];
    });
}

// above と below のあいだでページを分けるときの、見苦しさ
function penalty(above, below) {
    const before = above.text.trim(), after = below.text.trim();
    if (above.open || isComment(above) && after !== '' || above.sign === '-' && below.sign === '+' ||
        /\{$/.test(above.code) || /^(\{$|\})/.test(after) || below.signature && above.signature || below.fold)
        return FORBIDDEN;
    if (above.fold)
        return 4;
    if (before === '' || after === '')
        return 0;
    return 10 + 10 * Math.floor(/^\s*/.exec(below.text)[0].length / 4);
}

// from から to の前までを見せないことを示す 1 行
function skipped(rows, from, to) {
    const left = rows.slice(from, to);
    return left.some(isFull) ? [{ sign: ' ', text: '', skip: left.reduce((sum, row) => sum + (row.fold ?? 1), 0) }] : [];
}

// start から始まるページの初めに、もう一度見せる行: 宣言、「{」、囲むブロックの初め
function againAt(rows, start) {
    const first = start + rows.slice(start).findIndex(isFull);
    const item = rows.slice(0, first).findLastIndex((row) => row.separator) + 1;
    const places = placesOf(rows.slice(item, start), rows[first], rows[first].within).map((place) => item + place);
    return places.flatMap((place, at) => [{ ...rows[place], again: true },
        ...skipped(rows, place + 1, places[at + 1] ?? first)]);
}

const freshOf = (rows) => rows.filter((row) => isFull(row) && !row.fold && !row.again && !row.skip).length;

// ページ 1 枚の見苦しさ: 余り方と、切れ端になること
function pageCost(part, again, room, count) {
    const slack = (room - part.length - again) / room;
    return 40 * slack * slack + (count > 1 ? 100 * Math.max(0, FRAGMENT - freshOf(part)) : 0);
}

// rows を count ページに分ける。入らなければ null
function split(rows, count, row, heights) {
    const cost = rows.map((one, at) => (at === 0 ? 0 : penalty(rows[at - 1], one)));
    const again = rows.map((_, at) => againAt(rows, at).length);
    let states = new Map([[0, { cost: 0, cuts: [] }]]);
    for (let page = 0; page < count; page++) {
        const room = Math.floor(heights(page) / row);
        const next = new Map();
        for (const [start, state] of states)
            for (let end = start + 1; end <= rows.length && end - start + again[start] <= room; end++) {
                if (page === count - 1 && end < rows.length)
                    continue;
                const sum = state.cost + (end < rows.length ? cost[end] : 0) +
                    pageCost(rows.slice(start, end), again[start], room, count);
                if (!next.has(end) || sum < next.get(end).cost)
                    next.set(end, { cost: sum, cuts: [...state.cuts, end] });
            }
        states = next;
    }
    return states.get(rows.length) ?? null;
}

function pagesOf(rows, cuts) {
    return cuts.map((end, page) => {
        const start = cuts[page - 1] ?? 0, part = rows.slice(start, end);
        return [...againAt(rows, start),
            ...part.slice(part.findIndex(isFull), part.findLastIndex(isFull) + 1)];
    });
}

// ページの数が最も少なくなるようにして、その中で最も大きい文字を選ぶ。小さい文字なら
// 切れ端のページがなくなるときは、そちらにする。heights(page) は、そのページでコードに
// 使える高さ
export function paginate(rows, heights, atLeast = 1) {
    for (let count = atLeast; count <= 12; count++) {
        const found = LADDER.flatMap(({ px, row }) => {
            const one = split(rows, count, row, heights);
            return one && one.cost < FORBIDDEN ? [{ px, pages: pagesOf(rows, one.cuts) }] : [];
        });
        const whole = ({ pages }) => count === 1 || pages.every((page) => freshOf(page) >= FRAGMENT);
        if (found.length)
            return found.find(whole) ?? found[0];
    }
    return null;
}

// できたページを、見える行だけから調べる。囲む行のないブロックの中や、コメントの途中で
// 始まれば、何が悪いかを返す
export function faultOf(page) {
    const first = page.find((row) => isFull(row) && !row.again && !row.skip && !row.fold);
    if (!first || first.item === 'header')
        return null;
    const side = page.filter((row) => row.item !== 'header' &&
        row.sign !== (first.sign === '-' ? '+' : '-'));
    const lines = structureOf(side.map(({ text }) => text)), place = side.indexOf(first);
    const depth = Math.floor(/^ */.exec(first.text)[0].length / 4);
    const { length } = side.slice(0, place).filter(({ text }) => /\{$/.test(text.trim()));
    if (/^\s*\*[ /]/.test(first.text) && !lines[place].comment)
        return 'starts inside a comment';
    if (lines.at(-1).open && lines.at(-1).comment)
        return 'ends inside a comment';
    if (lines.some(({ closes }) => closes.some((block) => block.length === 0)))
        return 'closes a block that it does not open';
    return !lines[place].comment && depth > length ? 'starts in a block without its enclosing lines' : null;
}

// 行数と幅から、入る文字の大きさを選ぶ。入らなければ null
export function fontFor(lines, height, pixels) {
    const columns = Math.max(0, ...lines.map(width));
    return [...SHORT, ...LADDER].find(({ px, row }) =>
        lines.length * row <= height && columns * px / 2 <= pixels)?.px ?? null;
}

// Markdown の文章が占める高さの見積もり (px)
export function textHeight(markdown, size, line, pixels) {
    let sum = 0;
    for (const paragraph of markdown.split('\n')) {
        const text = paragraph.replace(/[*`]|<[^>]*>|\]\([^)]*\)/g, '').trim();
        // 字幅の広い ASCII と、行末の禁則の分を、少し多めに見る
        sum += text === '' ? 12 : Math.ceil(width(text) * size * 0.54 / pixels) * line;
    }
    return sum;
}
