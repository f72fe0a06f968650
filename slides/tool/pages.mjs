// 行の幅を数え、長いコードをページに分ける

// コードの文字の大きさと、1 行の高さ (px)。theme.css の s26 から s18 と同じにする
export const LADDER = [{ px: 26, row: 36 }, { px: 24, row: 33 }, { px: 22, row: 30 },
    { px: 20, row: 27 }, { px: 18, row: 24 }];
// 短い端末やコードは、もっと大きくする
const SHORT = [{ px: 34, row: 46 }, { px: 30, row: 41 }];
// スライドの中の、本文に使える広さ (px)。theme.css の余白と同じにする
export const AREA = { width: 1160, height: 616 };
const CONTEXT = 2; // 変わった行の前後に残す、変わらない行の数
const FORBIDDEN = 1e6;
const COMMENT = /^(\/\*|\/\/|\*[ /])/;

// 全角は 2、半角は 1。使うフォントは、ASCII と半角カナのほかをすべて全角で描く
export function width(text) {
    let sum = 0;
    for (const c of text)
        sum += /[\x20-\x7e\uff61-\uff9f]/.test(c) ? 1 : /\p{M}|\u200b/u.test(c) ? 0 : 2;
    return sum;
}

// 変わらない行が続くところを 1 行に畳む。宣言と終わりのかっこは残す
export function fold(rows) {
    const keep = rows.map((row, at) => row.signature || row.last || rows
        .slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1)
        .some((near) => near.sign !== ' '));
    return rows.flatMap((row, at) => {
        if (keep[at])
            return [row];
        const start = keep.lastIndexOf(true, at) + 1, next = keep.indexOf(true, at);
        const count = (next < 0 ? rows.length : next) - start;
        if (count < 2)
            return [row];
        return at === start ? [{ sign: ' ', text: '', fold: count }] : [];
    });
}

// above と below のあいだでページを分けるときの、見苦しさ
function penalty(above, below) {
    const before = above.text.trim(), after = below.text.trim();
    if (COMMENT.test(before) && after !== '' || above.sign === '-' && below.sign === '+' ||
        /\{$/.test(before) || /^(\{$|\})/.test(after) || below.signature && above.signature)
        return FORBIDDEN;
    if (above.fold || below.fold)
        return 4;
    if (before === '' || after === '')
        return 0;
    const depth = Math.floor(/^\s*/.exec(below.text)[0].length / 4);
    return 10 + 10 * depth + (/[;:}]$|\},$|\*\/$/.test(before) ? 0 : 300);
}

// 続きのページの初めに、もう一度見せる宣言
function signatureBefore(rows, at) {
    const start = rows.slice(0, at).findLastIndex((row) => row.separator) + 1;
    const shown = rows.slice(start, at).filter((row) => row.signature && row.text !== '{');
    const table = shown.filter((row) => /=\s*\{$/.test(row.text));
    return (table.length ? table : shown).map((row) => ({ ...row, again: true }));
}

// rows を count ページに分ける。入らなければ null
function split(rows, count, row, heights) {
    const cost = rows.map((row, at) => (at === 0 ? 0 : penalty(rows[at - 1], row)));
    let states = new Map([[0, { cost: 0, cuts: [] }]]);
    for (let page = 0; page < count; page++) {
        const room = Math.floor(heights(page) / row);
        const next = new Map();
        for (const [start, state] of states) {
            const again = signatureBefore(rows, start).length;
            for (let end = start + 1; end <= rows.length && end - start + again <= room; end++) {
                if (page === count - 1 && end < rows.length)
                    continue;
                const slack = (room - (end - start + again)) / room;
                const sum = state.cost + (end < rows.length ? cost[end] : 0) + 40 * slack * slack;
                if (!next.has(end) || sum < next.get(end).cost)
                    next.set(end, { cost: sum, cuts: [...state.cuts, end] });
            }
        }
        states = next;
    }
    return states.get(rows.length) ?? null;
}

// ページの数が最も少なくなるようにして、その中で最も大きい文字を選ぶ。
// heights(page) は、そのページでコードに使える高さ
export function paginate(rows, heights, atLeast = 1) {
    for (let count = atLeast; count <= 12; count++) {
        for (const { px, row } of LADDER) {
            const found = split(rows, count, row, heights);
            if (!found || found.cost >= FORBIDDEN)
                continue;
            return { px, pages: found.cuts.map((end, page) => {
                const start = found.cuts[page - 1] ?? 0;
                const part = rows.slice(start, end), full = (one) => one.fold || one.text.trim() !== '';
                return [...signatureBefore(rows, start),
                    ...part.slice(part.findIndex(full), part.findLastIndex(full) + 1)];
            }) };
        }
    }
    return null;
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
