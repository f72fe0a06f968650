// コード、端末、図を、スライドの HTML にする。HTML の途中に空行があると Markdown に
// 戻ってしまうので、どれも 1 行で書き出す
import hljs from 'highlight.js/lib/core';
import bash from 'highlight.js/lib/languages/bash';
import c from 'highlight.js/lib/languages/c';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';

hljs.registerLanguage('c', c);
hljs.registerLanguage('sh', bash);

export function escape(text) {
    return text.replace(/[&<>"]/g, (found) =>
        ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[found]);
}

// ファイル全体に色を付けてから行に分ける。行をまたぐ注釈も、正しい色になる
export function highlight(text, language) {
    if (!hljs.getLanguage(language))
        return text.split('\n').map(escape);
    const html = hljs.highlight(text, { language }).value;
    const open = [];
    return html.split('\n').map((line) => {
        const before = open.join('');
        for (const [tag] of line.matchAll(/<span[^>]*>|<\/span>/g)) {
            if (tag === '</span>')
                open.pop();
            else
                open.push(tag);
        }
        return before + line + '</span>'.repeat(open.length);
    });
}

const KIND = { '+': 'add', '-': 'del', ' ': 'same' };
// 記号は ASCII の「-」でなく、「+」と同じ幅に見えるものにする
const SIGN = { '+': '+', '-': '−', ' ': ' ' };

function codeRow(row) {
    if (row.separator)
        return '<span class="row gap"> </span>';
    if (row.fold)
        return `<span class="row fold"><span class="sign"> </span>⋯ 変わらない ${row.fold} 行</span>`;
    const kind = row.again ? 'again' : KIND[row.sign];
    return `<span class="row ${kind}"><span class="sign">${row.again ? ' ' : SIGN[row.sign]}` +
        `</span>${row.html || ' '}</span>`;
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
    return diffBlock(lines.map((line, at) => ({
        sign: /^[+-]/.test(line) ? line[0] : ' ', text: line.slice(1), html: html[at],
    })), px);
}

const PROMPT = /^((?:\/\S* )?[$#>] |(?:\/\S* )?[$#]$)(.*)$/;

function consoleRow(line) {
    if (/^\^[A-Z]$/.test(line))
        return `<span class="row typed">${line}</span>`;
    const typed = PROMPT.exec(line);
    if (typed)
        return `<span class="row typed"><span class="prompt">${escape(typed[1])}</span>` +
            `${escape(typed[2])}</span>`;
    return `<span class="row">${escape(line) || ' '}</span>`;
}

// 端末。info は ```console の後ろの語
export function consoleBlock(lines, info, px) {
    const number = /(?:^|\s)([2-9])(?:\s|$)/.exec(info)?.[1];
    const version = /if=cgroup([12])/.exec(info)?.[1];
    const labels = [];
    if (number)
        labels.push(number === '2' ? '別の端末' : `${number} つ目の端末`);
    if (version)
        labels.push(`cgroup v${version} のマシンで`);
    const label = labels.length ? `<figcaption>${labels.join('、')}</figcaption>` : '';
    return `<figure class="console s${px}">${label}<pre><code>` +
        `${lines.map(consoleRow).join('')}</code></pre></figure>`;
}

export function captionHeight(info) {
    return /(?:^|\s)[2-9](?:\s|$)|if=cgroup/.test(info) ? 34 : 0;
}

// 図を本文に埋め込む。同じ図が 2 度出ても id が重ならないように、番号を付ける
export function inlineSvg(file, alt, serial) {
    const tag = createHash('sha256').update(file).digest('hex').slice(0, 4);
    const suffix = `-${tag}${serial}`;
    const svg = readFileSync(file, 'utf8')
        .replace(/<\?xml[^]*?\?>|<!DOCTYPE[^>]*>|<!--[^]*?-->/g, '')
        .replace(/\bid="([^"]+)"/g, `id="$1${suffix}"`)
        .replace(/\bid='([^']+)'/g, `id='$1${suffix}'`)
        .replace(/url\((['"]?)#([^)'"]+)\1\)/g, `url(#$2${suffix})`)
        .replace(/href=(['"])#([^'"]+)\1/g, `href="#$2${suffix}"`)
        .replace(/aria-labelledby="[^"]*"|aria-describedby="[^"]*"/g, '')
        .replace(/\s*\n\s*/g, ' ').trim();
    const root = /<svg\b[^>]*>/.exec(svg)[0];
    const bare = root.replace(/\s(width|height|role|aria-label)=("[^"]*"|'[^']*')/g, '');
    const named = bare.replace('<svg', `<svg role="img" aria-label="${escape(alt)}"`);
    return svg.slice(svg.indexOf(root)).replace(root, () => named);
}

export function dataImage(file, alt) {
    const kind = { '.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg', '.gif': 'gif', '.webp': 'webp' };
    const data = readFileSync(file).toString('base64');
    const type = kind[extname(file).toLowerCase()] ?? 'png';
    return `<img alt="${escape(alt)}" src="data:image/${type};base64,${data}">`;
}
