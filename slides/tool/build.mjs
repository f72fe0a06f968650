// スライドを作る。使い方: build.mjs [--accept] [DOC...]
//   --accept      差分の説明のハッシュを、今のものに書き換える
//   --source DIR  デッキのあるところ (既定は slides)
//   --steps DIR   ステップのあるところ (既定は steps)
//   --out DIR     作る先 (既定は slides/build)
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
    existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync,
} from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expand } from './deck.mjs';
import { escape } from './markup.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const PRODUCTS = ['html', 'pdf', 'notes.txt'];

// コマンドの行。知らないものは断る
export function parseArgs(argv, flags = []) {
    const options = { source: resolve(HERE, '..'), steps: resolve(HERE, '../../steps'), out: null, decks: [] };
    for (let at = 0; at < argv.length; at++) {
        const name = argv[at].replace(/^--/, '');
        if (['--source', '--steps', '--out'].includes(argv[at]) && argv[at + 1])
            options[name] = resolve(argv[++at]);
        else if (argv[at].startsWith('--') && flags.includes(name))
            options[name] = true;
        else if (/^\d\d?$/.test(argv[at]))
            options.decks.push(argv[at].padStart(2, '0'));
        else
            throw new Error(`unknown argument: ${argv[at]}\n` +
                '  ヒント: 00 から 09 を指定します: make slides DOC=05');
    }
    options.out ??= join(options.source, 'build');
    if (options.decks.length === 0)
        options.decks = readdirSync(options.source).filter((name) => /^\d\d\.md$/.test(name))
            .map((name) => name.slice(0, 2)).sort();
    if (options.decks.length === 0)
        throw new Error('no decks\n  ヒント: slides/05.md のような名前で作ってください');
    return options;
}

// これが同じなら、作り直しても同じものになる
function stampOf(markdown) {
    const hash = createHash('sha256').update(markdown);
    for (const file of ['theme.css', 'marp.config.mjs', 'render.mjs', 'fonts.mjs', 'build.mjs', 'package-lock.json'])
        hash.update(readFileSync(join(HERE, file)));
    return hash.digest('hex');
}

function notesText(deck) {
    const pages = deck.slides.map((slide, at) => {
        const minutes = slide.minutes ? ` (${slide.minutes} 分)` : '';
        const title = slide.title.replace(/<[^>]*>|[*`]/g, '');
        return `--- ${at + 1}. ${title}${minutes}\n\n${slide.note}\n`;
    });
    const total = `全体で ${deck.total} 分、${deck.slides.length} 枚`;
    return `${deck.slides[0].title}\n${total}\n\n${pages.join('\n')}`;
}

function removeProducts(out, name) {
    for (const kind of [...PRODUCTS, 'md', 'json'])
        rmSync(join(out, `${name}.${kind}`), { force: true });
}

function run(script, args) {
    return new Promise((done) => {
        let output = '';
        const child = spawn(process.execPath, [join(HERE, script), ...args],
            { stdio: ['ignore', 'pipe', 'pipe'] });
        for (const stream of [child.stdout, child.stderr])
            stream.on('data', (data) => { output += data; });
        child.on('close', (status) => done({ status, output }));
    });
}

// Marp は、設定に見えるコメントをノートにしない。だから、できたものを数える
function countNotes(html) {
    const text = existsSync(html) ? readFileSync(html, 'utf8') : '';
    return text.split('<div class="bespoke-marp-note"').length - 1;
}

function stateOf(out, name) {
    try {
        return JSON.parse(readFileSync(join(out, `${name}.json`), 'utf8'));
    } catch {
        return {}; // まだないか、同時に動いているほかの make が消した
    }
}

// dir の中に、deck から作るものをすべて作る。うまくいけば null、だめなら理由
async function renderInto(dir, options, name, deck, stamp) {
    const at = (kind) => join(dir, `${name}.${kind}`);
    writeFileSync(at('md'), deck.markdown);
    const wanted = options.draft ? ['md', 'html'] : ['md', 'html', 'pdf'];
    const { status, output } = await run('render.mjs', wanted.map(at));
    const notes = countNotes(at('html'));
    if (status !== 0 || notes !== deck.slides.length) {
        const hint = output.split('\n').filter((line) => line && line.length < 300).join('\n') ||
            'HTML のタグとコメントの書き方を確かめてください';
        return `marp: status ${status}, ${notes} notes for ${deck.slides.length} slides\n  ヒント: ${hint}`;
    }
    writeFileSync(at('notes.txt'), notesText(deck));
    writeFileSync(at('json'), JSON.stringify({
        stamp, title: deck.slides[0].title, minutes: deck.total, slides: deck.slides.length }));
    return null;
}

// 途中で止まっても、古いものや半端なものが残らないように、別の場所で作ってから移す
async function render(options, name, deck) {
    const stamp = stampOf(deck.markdown);
    if (stateOf(options.out, name).stamp === stamp &&
        PRODUCTS.every((kind) => existsSync(join(options.out, `${name}.${kind}`))))
        return { status: 0, text: 'up to date' };
    removeProducts(options.out, name);
    const dir = mkdtempSync(join(options.out, '.work-'));
    try {
        const problem = await renderInto(dir, options, name, deck, stamp);
        if (problem)
            return { status: 1, text: problem };
        for (const file of readdirSync(dir))
            renameSync(join(dir, file), join(options.out, file));
        return { status: 0, text: 'built' };
    } finally {
        rmSync(dir, { recursive: true, force: true });
    }
}

function accept(options, name, deck) {
    const file = join(options.source, `${name}.md`);
    const lines = readFileSync(file, 'utf8').split('\n');
    let count = 0;
    for (const { line, names, hash } of deck.hashes) {
        const old = lines[line - 1];
        lines[line - 1] = old.replace(/<!--\s*explain:.*?-->/, `<!-- explain: ${names} ${hash} -->`);
        count += lines[line - 1] !== old;
    }
    if (count)
        writeFileSync(file, lines.join('\n'));
    console.log(`${name}  ${count} of ${deck.hashes.length} explanations accepted`);
}

export function showErrors(options, name, errors) {
    const file = relative(process.cwd(), join(options.source, `${name}.md`));
    for (const { line, message, hint, extra } of errors)
        console.error(`${file}:${line}: ${message}\n  ヒント: ${hint}${extra ? `\n${extra}` : ''}`);
}

// 1 つのデッキを作る。成功すれば true
export async function buildDeck(options, name) {
    const context = { deck: name, source: options.source, steps: options.steps, draft: options.draft };
    const deck = expand(context);
    if (deck.errors.length && !options.draft) {
        removeProducts(options.out, name);
        showErrors(options, name, deck.errors);
        return false;
    }
    showErrors(options, name, deck.errors);
    const { status, text } = await render(options, name, deck);
    const line = `${name}  ${deck.slides.length} slides  ${deck.total} min  ${text}`;
    if (status)
        console.error(`${name}: ${text}`);
    else if (!options.quiet)
        console.log(line);
    return status === 0;
}

function writeIndex(options) {
    const names = readdirSync(options.out).filter((file) => /^\d\d\.json$/.test(file))
        .map((file) => file.slice(0, 2)).sort();
    const rows = names.map((name) => {
        const { title = '', minutes, slides } = stateOf(options.out, name);
        return `<tr><td><a href="${name}.html">${escape(title)}</a></td><td>${slides} 枚</td>` +
            `<td>${minutes} 分</td><td><a href="${name}.pdf">PDF</a></td>` +
            `<td><a href="${name}.notes.txt">ノート</a></td></tr>`;
    });
    writeFileSync(join(options.out, 'index.html'), `<!DOCTYPE html>
<html lang="ja">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>スライド</title>
<style>
body { max-width: 60em; margin: 3em auto; padding: 0 1em; color: #1a2530; line-height: 1.6; }
body { font-family: "Noto Sans CJK JP", sans-serif; }
h1, a { color: #123f82; }
table { border-collapse: collapse; }
td { padding: 0.5em 1.5em 0.5em 0; border-bottom: 1px solid #c3ccd4; }
</style>
<h1>スライド</h1>
<table>
${rows.join('\n')}
</table>
</html>
`);
}

async function main() {
    const options = parseArgs(process.argv.slice(2), ['accept']);
    mkdirSync(options.out, { recursive: true });
    if (options.accept)
        for (const name of options.decks)
            accept(options, name, expand({ ...options, deck: name, accept: true }));
    const queue = [...options.decks];
    let failed = 0;
    const work = async () => {
        for (let name = queue.shift(); name; name = queue.shift())
            failed += !(await buildDeck(options, name));
    };
    await Promise.all([work(), work()]);
    writeIndex(options);
    return failed ? 1 : 0;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
    try {
        process.exitCode = await main();
    } catch (error) {
        console.error(`slides: ${error.message}`);
        process.exitCode = 2;
    }
}
