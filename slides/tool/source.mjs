// slides/NN.md を読んで、スライドと、その部分 (文章、注釈、コード) に分ける

const KNOWN = /^(vary|any|near|edit|ablate|new terminals|textlint-(disable|enable)|prettier-ignore)\b/;
const DIRECTIVE = /^_?(class|color|backgroundColor|backgroundImage|paginate|header|footer|style)\s*:/;
const FENCE = /^ {0,3}(```+|~~~+)\s*(.*)$/;
const MINUTES = /^(\d+(?:\.\d+)?)\s*分/;

// コメントが、何のためのものか
function kindOf(text) {
    if (/^diff:/.test(text))
        return 'diff';
    if (/^explain:/.test(text))
        return 'explain';
    if (text === 'page')
        return 'page';
    if (KNOWN.test(text))
        return 'hidden';
    return DIRECTIVE.test(text) ? 'directive' : 'note';
}

function commentPart(text, line) {
    const trimmed = text.trim();
    return { type: kindOf(trimmed), text: trimmed, line };
}

// 1 行の中の <!-- … --> を取り出す。` の中にあるものは、コメントではない
function findComment(line) {
    for (let at = line.indexOf('<!--'); at >= 0; at = line.indexOf('<!--', at + 1))
        if ((line.slice(0, at).match(/`/g) ?? []).length % 2 === 0)
            return at;
    return -1;
}

// ファイルを、文章、コメント、コード、スライドの区切りの列にする
export function partsOf(source) {
    const parts = [];
    let fence = null, comment = null;
    const text = (line, number) => {
        const at = findComment(line);
        const type = /^---\s*$/.test(line) ? 'break' : 'text';
        if (at < 0)
            return void parts.push({ type, text: line, line: number });
        if (line.slice(0, at).trim() !== '')
            parts.push({ type, text: line.slice(0, at), line: number });
        comment = { text: '', line: number };
        inComment(line.slice(at + 4), number);
    };
    const inComment = (line, number) => {
        const at = line.indexOf('-->');
        comment.text += at < 0 ? `${line}\n` : line.slice(0, at);
        if (at < 0)
            return;
        parts.push(commentPart(comment.text, comment.line));
        comment = null;
        if (line.slice(at + 3).trim() !== '')
            text(line.slice(at + 3), number);
    };
    source.split('\n').forEach((line, at) => {
        const mark = FENCE.exec(line);
        if (comment)
            inComment(line, at + 1);
        else if (fence && mark && mark[1].startsWith(fence.mark) && mark[2] === '')
            fence = void parts.push({ type: 'fence', ...fence });
        else if (fence)
            fence.lines.push(line);
        else if (mark)
            fence = { mark: mark[1], info: mark[2].trim(), lines: [], line: at + 1 };
        else
            text(line, at + 1);
    });
    if (fence || comment)
        parts.push({ type: 'unclosed', line: (fence ?? comment).line });
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

// 部分の並びから、話すことと、かかる分数を取り出す
export function notesOf(parts) {
    const notes = parts.filter((part) => part.type === 'note').map((part) => part.text);
    const timed = notes.map((note) => MINUTES.exec(note)).filter(Boolean);
    return {
        text: notes.join('\n\n'),
        minutes: timed.length ? timed.reduce((sum, found) => sum + Number(found[1]), 0) : null,
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
