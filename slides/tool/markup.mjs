// コードと図を、スライドの HTML にする。HTML の途中に空行があると Markdown に
// 戻ってしまうので、どれも 1 行で書き出す
import hljs from 'highlight.js/lib/core';
import bash from 'highlight.js/lib/languages/bash';
import c from 'highlight.js/lib/languages/c';
import MarkdownIt from 'markdown-it';
import { readFileSync } from 'node:fs';

hljs.registerLanguage('c', c);
hljs.registerLanguage('sh', bash);

export const escape = new MarkdownIt().utils.escapeHtml;

// ファイル全体に色を付けてから行に分ける。行をまたぐコメントも、正しい色になる
export function highlight(text, language) {
    if (!hljs.getLanguage(language))
        return text.split('\n').map(escape);
    const html = hljs.highlight(text, { language }).value;
    const open = [];
    return html.split('\n').map((line) => {
        const before = open.join('');
        for (const [tag] of line.matchAll(/<span[^>]*>|<\/span>/g))
            tag === '</span>' ? open.pop() : open.push(tag);
        return before + line + '</span>'.repeat(open.length);
    });
}

const KIND = { '+': 'add', '-': 'del', ' ': 'same' };

const foldRow = (text) => `<span class="row fold"><span class="sign"> </span>⋯ ${text}</span>`;

function codeRow({ sign, html, separator, fold, skip, again }) {
    if (separator)
        return '<span class="row gap"> </span>';
    if (fold || skip)
        return foldRow(fold ? `変わらない ${fold} 行` : `前のページの ${skip} 行`);
    // ASCII の「-」でなく、「+」と同じ幅に見えるものにする
    return `<span class="row ${again ? 'again' : KIND[sign]}"><span class="sign">` +
        `${again ? ' ' : sign.replace('-', '−')}</span>${html || ' '}</span>`;
}

// 符号の付いたコード
export function diffBlock(rows, px) {
    return `<pre class="code diff s${px}"><code>${rows.map(codeRow).join('')}</code></pre>`;
}

export function codeBlock(lines, language, px) {
    const rows = highlight(lines.join('\n'), language)
        .map((html) => `<span class="row">${html || ' '}</span>`);
    return `<pre class="code s${px}"><code>${rows.join('')}</code></pre>`;
}

// ```diff の中身。行頭の記号を取って、残りに C の色を付ける
export function patchBlock(lines, px) {
    const html = highlight(lines.map((line) => line.slice(1)).join('\n'), 'c');
    return diffBlock(lines.map(([sign = ' '], at) => ({ sign, html: html[at] })), px);
}

// 図を本文に埋め込む。同じ図が 2 度出ても id が重ならないように、番号を付ける
export function inlineSvg(file, alt, serial) {
    const svg = readFileSync(file, 'utf8')
        .replace(/<\?xml[^]*?\?>|<!DOCTYPE[^>]*>|<!--[^]*?-->/g, '')
        .replace(/(\bid=["']|url\(#|href=["']#)([^"')]+)/g, `$1$2-${serial}`)
        .replace(/\saria-(labelledby|describedby)="[^"]*"/g, '')
        .replace(/\s*\n\s*/g, ' ').trim();
    return svg.replace(/^<svg\b[^>]*/, (root) => root.replace(/\s(width|height|role|aria-label)="[^"]*"/g, '')
        .replace('<svg', () => `<svg role="img" aria-label="${escape(alt)}"`));
}
