// 手引き (Markdown) を、ページの HTML にする。端末の囲みには ▶ を付ける
import MarkdownIt from 'markdown-it';
import { basename, dirname, join } from 'node:path';
import { readFileSync } from 'node:fs';
import { escape, highlight } from './markup.mjs';

const PROMPT = /^((?:[~/]\S* )?[$#>] )( *\S.*)$/;
const REASONS = [[/if=cgroup1/, 'cgroup v1 のマシンで試せます'], [/^console [3-9]/, '端末が 3 つ要ります']];
const STEP = /^steps\/(0\d)-[^/]+\/README\.ja\.md$/;

// このマシンで動かせない囲みの理由。動かせるなら undefined
export function reasonOf(info) {
    const said = (word) => new RegExp(`${word}="([^"]+)"`).exec(info)?.[1];
    return said('tab') ?? said('skip') ?? REASONS.find(([words]) => words.test(info))?.[1];
}

function consoleHtml(token, number) {
    const terminal = /^console ([2-9])/.exec(token.info)?.[1] ?? '1';
    const rows = token.content.replace(/\n$/, '').split('\n').map((line) => {
        const typed = PROMPT.exec(line);
        return typed ? `<span class="typed"><span class="prompt">${escape(typed[1])}</span>${escape(typed[2])}</span>` :
            `<span class="${/^\^[A-Z]$/.test(line) ? 'typed' : 'out'}">${escape(line)}</span>`;
    }).join('\n');
    const first = PROMPT.exec(token.content.split('\n')[0])?.[2] ?? '続き';
    const reason = reasonOf(token.info);
    const action = reason ? `<span class="reason">このマシンでは動きません: ${escape(reason)}</span>` :
        `<button type="button" class="play" aria-label="端末 ${terminal} で動かす: ${escape(first)}">▶</button>`;
    return `<figure class="console" data-block="${number}" data-terminal="${terminal}">` +
        `<figcaption>端末 ${terminal}${action}</figcaption><pre><code>${rows}</code></pre><output></output></figure>\n`;
}

// sh の囲みは、打つだけ
function shellHtml(token) {
    return `<figure class="console shell" data-type="${escape(token.content)}"><figcaption>端末 1` +
        `<button type="button" class="play" aria-label="端末 1 に打つ: ${escape(token.content.split('\n')[0])}">▶</button>` +
        `</figcaption><pre><code>${escape(token.content)}</code></pre><output></output></figure>\n`;
}

// main.c の差分は、ページが当てられる。「この 1 行を消すと」(ablation) は、作り直すところまで
const EDITS = {
    ablate: ['ablation', '消して、作り直す', 'この差分を main.c に当てて、作り直す'],
    edit: ['', 'main.c を書き換える', 'この差分を main.c に当てる'],
};
function editHtml(token, [name, caption, label]) {
    return `<figure class="console edit ${name}"><figcaption>${caption}` +
        `<button type="button" class="play" aria-label="${label}">▶</button></figcaption>` +
        `<pre><code>${escape(token.content.replace(/\n$/, ''))}</code></pre><output></output></figure>\n`;
}

// 手引きの中のリンクを、ページの中のものにする
function linkOf(href, from) {
    if (/^https?:/.test(href))
        return { href, target: '_blank', rel: 'noreferrer' };
    const [path, hash] = href.split('#');
    if (!path)
        return { href };
    const file = join(dirname(from), path);
    const step = STEP.exec(file)?.[1];
    if (step)
        return { href: `#${step}`, ...hash ? { 'data-heading': decodeURIComponent(hash) } : {} };
    const deck = /^slides\/(\d\d(?:-oci)?)\.md$/.exec(file)?.[1];
    if (deck)
        return { href: `slides/${deck}.html`, target: '_blank' };
    return { href: `files/${file}`, target: '_blank', 'data-file': file };
}

// { html, pictures, files }: 図と、リンク先のファイルは、呼び出し元がコピーする
export function render(path) {
    const markdown = new MarkdownIt({ html: true });
    const found = { pictures: new Set(), files: new Set(), blocks: 0 };
    markdown.renderer.rules.fence = (tokens, at) => {
        const token = tokens[at];
        if (/^console\b/.test(token.info))
            return consoleHtml(token, found.blocks++);
        if (token.info === 'sh')
            return shellHtml(token);
        const edit = EDITS[/^<!-- (ablate|edit)\b/.exec(tokens[at - 1]?.content ?? '')?.[1]];
        if (token.info === 'diff' && edit)
            return editHtml(token, edit);
        return `<pre class="${escape(token.info)}"><code>${highlight(token.content.trimEnd(), token.info).join('\n')}</code></pre>\n`;
    };
    markdown.renderer.rules.html_block = (tokens, at) => tokens[at].content.replace(/<!--[\s\S]*?-->/g, '');
    markdown.renderer.rules.image = (tokens, at) => {
        const file = join(dirname(path), tokens[at].attrGet('src'));
        found.pictures.add(file);
        return `<img src="pictures/${basename(file)}" alt="${escape(tokens[at].content)}">`;
    };
    markdown.renderer.rules.table_open = () => '<div class="wide"><table>\n';
    markdown.renderer.rules.table_close = () => '</table></div>\n';
    markdown.renderer.rules.link_open = (tokens, at, options, env, self) => {
        const attributes = linkOf(tokens[at].attrGet('href'), path);
        if (attributes['data-file'])
            found.files.add(attributes['data-file']);
        tokens[at].attrs = Object.entries(attributes);
        return self.renderToken(tokens, at, options);
    };
    const html = markdown.render(readFileSync(path, 'utf8'))
        .replace(/<li>\[ \] /g, '<li class="task"><input type="checkbox" aria-label="確かめた"> ');
    return { html, ...found };
}
