// slides/NN.md を読んで、スライドと、その部分 (文章、コメント、コード) に分ける
import MarkdownIt from 'markdown-it';

// コメントが、何のためのものか。どれでもなければ、話すこと
const KINDS = {
    diff: /^diff:/,
    explain: /^explain:/,
    page: /^page$/,
    look: /^look: \S/,
    hidden: /^(vary|any|near|edit|ablate|new terminals|textlint-(disable|enable)|prettier-ignore)\b/,
    directive: /^_?(class|color|backgroundColor|backgroundImage|paginate|header|footer|style)\s*:/,
};
// 「2 分。」か「2 分 (任意)。」。任意のスライドは、半日のデッキには入らない
const MINUTES = /^(\d+(?:\.\d+)?)\s*分(\s*\(任意\))?/;
// 「---」は、すぐ上に文章があっても見出しの線でなく、スライドの区切り
const markdown = new MarkdownIt({ html: true }).disable('lheading');

const kindOf = (text) => Object.keys(KINDS).find((kind) => KINDS[kind].test(text)) ?? 'note';

// ファイルを、文章の行、コメント、コード、スライドの区切りの列にする
export function partsOf(source) {
    const parts = [];
    const starts = [0, ...[...source.matchAll(/\n/g)].map(({ index }) => index + 1), source.length];
    let done = 0;
    // done から from までの文章の行と、そこから to までの部分を足す。部分と同じ行に
    // 残った空白は、行に数えない
    const add = (from, to, part) => {
        const rows = source.slice(done, from).split('\n');
        const line = starts.findLastIndex((start) => start <= done) + 1;
        const whole = done === starts[line - 1];
        rows.forEach((text, at) => {
            if (text.trim() !== '' || at < rows.length - 1 && (at > 0 || whole))
                parts.push({ type: 'text', text, line: line + at });
        });
        done = to;
        if (part)
            parts.push({ ...part, line: starts.findLastIndex((start) => start <= from) + 1 });
    };
    const addComment = (found, after) => {
        const from = source.indexOf(found.split('\n')[0], Math.max(done, after));
        const end = source.indexOf('-->', from);
        if (end < 0)
            return add(from, source.length, { type: 'unclosed' });
        const text = source.slice(from + 4, end).trim();
        return add(from, end + 3, { type: kindOf(text), text });
    };
    for (const { type, map, info, content, markup, children } of markdown.parse(source, {})) {
        const [from, to] = (map ?? []).map((line) => starts[line]);
        if (type === 'hr')
            add(from, to, { type: 'break' });
        if (type === 'fence' && source.slice(from, to).trimEnd().endsWith(`\n${markup}`))
            add(from, to, { type, info: info.trim(), lines: content.split('\n').slice(0, -1) });
        else if (type === 'fence')
            add(from, to, { type: 'unclosed' });
        const html = type === 'html_block' ? content
            : children?.map((child) => (child.type === 'html_inline' ? child.content : '')).join('') ?? '';
        html.match(/<!--[^]*?(-->|$)/g)?.forEach((comment) => addComment(comment, from));
    }
    add(source.length, source.length);
    return parts;
}

// スライドごとに分ける
export function slidesOf(parts) {
    const slides = [{ line: 1, parts: [] }];
    for (const part of parts)
        if (part.type === 'break')
            slides.push({ line: part.line, parts: [] });
        else
            slides.at(-1).parts.push(part);
    return slides;
}

// 部分の並びから、話すことと、かかる分数、任意かどうかを取り出す
export function notesOf(parts) {
    const notes = parts.filter((part) => part.type === 'note').map((part) => part.text);
    const timed = notes.map((note) => MINUTES.exec(note)).filter(Boolean);
    return {
        text: notes.join('\n\n'),
        minutes: timed.length ? timed.reduce((sum, found) => sum + Number(found[1]), 0) : null,
        optional: timed.some((found) => found[2]),
    };
}

// <!-- explain: a, b 1a2b3c4d --> の名前とハッシュ
export function parseExplain(text) {
    const found = /^explain:\s*([^]+?)(?:\s+([0-9a-f]{8}))?$/.exec(text);
    return { names: found[1].split(',').map((name) => name.trim()), hash: found[2] ?? null };
}

// 差分のスライドを、前置きと、項目ごとの説明に分ける。説明は <!-- page --> で
// ページに分かれる
export function explanationsOf(parts) {
    const intro = [], list = [];
    for (const part of parts) {
        if (part.type === 'explain')
            list.push({ ...parseExplain(part.text), line: part.line, pages: [[]] });
        else if (list.length === 0)
            intro.push(part);
        else if (part.type === 'page')
            list.at(-1).pages.push([]);
        else
            list.at(-1).pages.at(-1).push(part);
    }
    return { intro, list };
}
