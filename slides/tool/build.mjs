// スライドを作る。使い方: build.mjs [--accept] [DOC...]
//   --accept      差分の説明のハッシュを、今のものに書き換える
//   --source DIR  デッキのあるところ (デフォルトは slides)
//   --steps DIR   ステップのあるところ (デフォルトは steps)
//   --out DIR     作る先 (デフォルトは slides/build)
import { spawnSync } from 'node:child_process';
import {
    existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync,
} from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { inPairs, launch, open } from './browser.mjs';
import { expand } from './deck.mjs';
import { embedFonts } from './fonts.mjs';
import { escape } from './markup.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const PRODUCTS = ['md', 'html', 'pdf', 'notes.txt'];

// コマンドラインの語。デッキの番号でないものは rest に入る
export function readArgs(args, more = {}) {
    const path = (start) => ({ type: 'string', default: join(HERE, start) });
    const options = { source: path('..'), steps: path('../../steps'), out: { type: 'string' }, ...more };
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true, strict: false });
    const isDeck = (word) => /^\d\d?$/.test(word);
    const decks = positionals.filter(isDeck).map((word) => word.padStart(2, '0'));
    const all = readdirSync(values.source).filter((name) => /^\d\d\.md$/.test(name)).map((name) => name.slice(0, 2));
    if (all.length === 0)
        throw new Error('no decks\n  ヒント: slides/05.md のような名前で作ってください');
    return { ...values, out: resolve(values.out ?? join(values.source, 'build')), decks: decks.length ? decks : all.sort(),
        rest: [...positionals, ...Object.keys(values)].filter((word) => !isDeck(word) && !(word in options)) };
}

export function refuseRest({ rest }) {
    if (rest.length)
        throw new Error(`unknown argument: ${rest[0]}\n  ヒント: 00 から 09 を指定します: make slides DOC=05`);
}

// main を動かして、終了ステータスを決める
export async function start(name, main) {
    try {
        process.exitCode = await main(process.argv.slice(2));
    } catch (error) {
        console.error(`${name}: ${error.message}`);
        process.exitCode = 2;
    }
}

function notesText(slides, total) {
    const pages = slides.map(({ title, minutes, note }, at) =>
        `--- ${at + 1}. ${title}${minutes ? ` (${minutes} 分)` : ''}\n\n${note}\n`);
    return `${slides[0].title}\n全体で ${total} 分、${slides.length} 枚\n\n${pages.join('\n')}`;
}

const products = (dir, name) => PRODUCTS.map((kind) => join(dir, `${name}.${kind}`));

// Markdown から HTML を作り、Marp の言い分を返す。Marp の跡には、1 行が数十万字のソー
// スが入るので、短い行だけを残す
export function marp(files) {
    const { stderr } = spawnSync(join(HERE, 'node_modules/.bin/marp'),
        ['--config', join(HERE, 'marp.config.mjs'), '--', ...files], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    return stderr.split('\n').filter((line) => line.length < 300 && !line.includes('INFO')).join('\n').trim();
}

// PDF は Marp に任せず、自分で印刷する。Marp の使うブラウザーは、スライドの中の要求
// をよそへ送ってしまう
async function print(browser, html, pdf) {
    const { page, load } = await open(browser, html);
    await load();
    await page.pdf({ path: pdf, width: '1280px', height: '720px', printBackground: true,
        preferCSSPageSize: true, tagged: true, outline: true });
    await page.close();
}

// decks から作るものをすべて作る。途中で止まっても、古いものや半端なものが残らないよ
// うに、別の場所で作ってから移す
async function render(options, decks, fail) {
    const dir = mkdtempSync(join(options.out, '.work-'));
    const browser = await launch();
    try {
        for (const { name, markdown } of decks)
            writeFileSync(products(dir, name)[0], markdown);
        const output = marp(decks.map(({ name }) => products(dir, name)[0]));
        await inPairs(decks, async ({ name, slides, total }) => {
            const [md, html, pdf, text] = products(dir, name);
            // Marp は、設定に見えるコメントをノートにしない。だから、できたものを数える
            const page = existsSync(html) ? readFileSync(html, 'utf8') : '';
            const notes = page.split('<div class="bespoke-marp-note"').length - 1;
            if (notes !== slides.length)
                return fail(`${name}: marp: ${notes} notes for ${slides.length} slides\n` +
                    `  ヒント: ${output || 'HTML のタグとコメントの書き方を確かめてください'}`);
            embedFonts(html);
            if (!options.draft)
                await print(browser, html, pdf);
            writeFileSync(text, notesText(slides, total));
            for (const file of [md, html, pdf, text].filter((made) => existsSync(made)))
                renameSync(file, join(options.out, relative(dir, file)));
            return console.log(`${name}  ${slides.length} slides  ${total} min  built`);
        });
    } finally {
        await browser.close();
        rmSync(dir, { recursive: true });
    }
}

function accept(options, name) {
    const file = join(options.source, `${name}.md`);
    const { hashes } = expand({ ...options, deck: name });
    const lines = readFileSync(file, 'utf8').split('\n');
    let count = 0;
    for (const { line, names, hash } of hashes) {
        const old = lines[line - 1];
        lines[line - 1] = old.replace(/<!--\s*explain:.*?-->/, `<!-- explain: ${names} ${hash} -->`);
        count += lines[line - 1] !== old;
    }
    if (count)
        writeFileSync(file, lines.join('\n'));
    console.log(`${name}  ${count} of ${hashes.length} explanations accepted`);
}

// デッキを作り、失敗した数を返す。draft なら、誤りがあっても HTML だけは作る
export async function build(options) {
    let failed = 0;
    const fail = (text) => {
        console.error(text);
        failed++;
    };
    mkdirSync(options.out, { recursive: true });
    const decks = options.decks.map((name) => ({ name, ...expand({ ...options, deck: name }) })).filter((deck) => {
        const file = relative(process.cwd(), join(options.source, `${deck.name}.md`));
        for (const { line, message, hint, extra } of deck.errors)
            fail(`${file}:${line}: ${message}\n  ヒント: ${hint}${extra && `\n${extra}`}`);
        products(options.out, deck.name).forEach((product) => rmSync(product, { force: true }));
        return deck.slides.length > 0 && (options.draft || deck.errors.length === 0);
    });
    if (decks.length)
        await render(options, decks, fail);
    return failed;
}

// 今あるデッキの一覧。題、時間、枚数は、ノートの初めの 2 行にある
function writeIndex({ out }) {
    const rows = readdirSync(out).filter((file) => /^\d\d\.notes\.txt$/.test(file)).sort().map((file) => {
        const name = file.slice(0, 2);
        const [title, size] = readFileSync(join(out, file), 'utf8').split('\n');
        return `<tr><td><a href="${name}.html">${escape(title)}</a></td><td>${size}</td>` +
            `<td><a href="${name}.pdf">PDF</a></td><td><a href="${file}">ノート</a></td></tr>`;
    });
    writeFileSync(join(out, 'index.html'), `<!DOCTYPE html>
<html lang="ja">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>スライド</title>
<style>body { margin: 3em auto; max-width: 60em; font-family: sans-serif } td { padding: 0.5em 1em }</style>
<h1>スライド</h1>
<table>
${rows.join('\n')}
</table>
</html>
`);
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url))
    await start('slides', async (args) => {
        const options = readArgs(args, { accept: { type: 'boolean' } });
        refuseRest(options);
        if (options.accept)
            options.decks.forEach((name) => accept(options, name));
        const failed = await build(options);
        writeIndex(options);
        return failed ? 1 : 0;
    });
