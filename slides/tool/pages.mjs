// 行の幅を数え、長いコードをページに分ける

// コードの文字の大きさと、1 行の高さ (px)。theme.css の s22, s20, s18 と同じにする
export const LADDER = [
    { px: 22, row: 30 },
    { px: 20, row: 27 },
    { px: 18, row: 24 },
];
// 短い端末やコードは、もっと大きくする
const SHORT = { px: 26, row: 36 };
// スライドの中の、本文に使える広さ (px)。theme.css の余白と同じにする
export const AREA = { width: 1160, height: 616 };
const CONTEXT = 2; // 変わった行の前後に残す、変わらない行の数
const FORBIDDEN = 1e6;

// 全角は 2、半角は 1。使うフォントは、ASCII と半角カナのほかをすべて全角で描く
export function width(text) {
    let sum = 0;
    for (const c of text)
        sum += /[\x20-\x7e\uff61-\uff9f]/.test(c) ? 1 : /\p{M}|\u200b/u.test(c) ? 0 : 2;
    return sum;
}

// 注釈の中の行かどうか
function markComments(rows) {
    let inside = false;
    return rows.map((row) => {
        const text = row.text.trim();
        const whole = inside || /^(\/\*|\/\/)/.test(text);
        if (!text.startsWith('//'))
            inside = (inside || text.includes('/*')) && !/\*\/[^]*$/.test(text);
        // コードの後ろの注釈は、その行で終わらなければ次の行に続く
        return whole && (inside || /\*\/$|^\/\//.test(text));
    });
}

// 変わらない行が続くところを 1 行に畳む。宣言と終わりのかっこは残す
export function fold(rows) {
    const keep = rows.map((row, at) => row.signature || row.last || rows
        .slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1)
        .some((near) => near.sign !== ' '));
    const folded = [];
    for (let at = 0; at < rows.length; ) {
        let end = at;
        while (end < rows.length && !keep[end])
            end++;
        if (end - at >= 2)
            folded.push({ sign: ' ', text: '', fold: end - at });
        else
            folded.push(...rows.slice(at, end));
        if (end < rows.length)
            folded.push(rows[end]);
        at = end + 1;
    }
    return folded;
}

// at の前でページを分けるときの、見苦しさ
function penalty(rows, comments, depth, at) {
    const above = rows[at - 1], below = rows[at];
    const before = above.text.trim(), after = below.text.trim();
    if (below.separator || above.separator)
        return 0;
    if (comments[at - 1] && after !== '')
        return FORBIDDEN;
    if (above.sign === '-' && below.sign === '+')
        return FORBIDDEN;
    if (/\{$/.test(before) || /^(\{$|\})/.test(after) || below.signature && above.signature)
        return FORBIDDEN;
    if (above.fold || below.fold)
        return 4;
    if (before === '' || after === '')
        return 0;
    const indent = (text) => /^\s*/.exec(text)[0].length;
    const deeper = indent(below.text) > indent(above.text) ? 200 : 0;
    const open = /[;:}]$|\},$|\*\/$/.test(before) || comments[at - 1] ? 0 : 300;
    return 10 + 10 * depth[at] + deeper + open;
}

function penalties(rows) {
    const comments = markComments(rows);
    const depth = rows.map((row) => Math.floor(/^\s*/.exec(row.text)[0].length / 4));
    return rows.map((row, at) => (at === 0 ? 0 : penalty(rows, comments, depth, at)));
}

// 続きのページの初めに、もう一度見せる宣言
function signatureBefore(rows, at) {
    let start = at;
    while (start > 0 && !rows[start - 1].separator)
        start--;
    const shown = rows.slice(start, at).filter((row) => row.signature && row.text !== '{');
    const table = shown.filter((row) => /=\s*\{$/.test(row.text));
    return (table.length ? table : shown).map((row) => ({ ...row, again: true }));
}

// rows を count ページに分ける。入らなければ null
function split(rows, count, row, heights) {
    const cost = penalties(rows);
    let states = new Map([[0, { cost: 0, cuts: [] }]]);
    for (let page = 0; page < count; page++) {
        const room = Math.floor(heights(page) / row);
        const next = new Map();
        for (const [start, state] of states) {
            const again = start === 0 ? 0 : signatureBefore(rows, start).length;
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
                const start = page === 0 ? 0 : found.cuts[page - 1];
                const part = rows.slice(start, end);
                while (part.at(-1)?.separator || part.at(-1)?.text.trim() === '' && !part.at(-1).fold)
                    part.pop();
                while (part[0]?.separator || part[0]?.text.trim() === '' && !part[0].fold)
                    part.shift();
                return start === 0 ? part : [...signatureBefore(rows, start), ...part];
            }) };
        }
    }
    return null;
}

// 行数と幅から、入る文字の大きさを選ぶ。入らなければ null
export function fontFor(lines, height, pixels) {
    const columns = Math.max(0, ...lines.map(width));
    return [SHORT, ...LADDER].find(({ px, row }) =>
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
