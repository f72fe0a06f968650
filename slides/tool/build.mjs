// スライドを作る。使い方: build.mjs [--accept] [DOC...]
//   --accept      差分の説明のハッシュを、今のものに書き換える
//   --source DIR  デッキのあるところ (デフォルトは slides)
//   --steps DIR   ステップのあるところ (デフォルトは steps)
//   --out DIR     作る先 (デフォルトは slides/build)
//   --url URL     標題に出す、リポジトリのアドレス (デフォルトは git の origin)
//   --plan NAME   halfday なら、任意のスライドを除いて、作る先の halfday に
import { spawnSync } from 'node:child_process';
import {
    existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { inPairs, open, withBrowser } from './browser.mjs';
import { HERE, isDeck, readArgs, start } from './cli.mjs';
import { expand } from './deck.mjs';
import { embedFonts } from './fonts.mjs';
import { escape } from './markup.mjs';
import { cheatSheet, printAnswers, printCheatSheet, printHandout } from './paper.mjs';
import { repositoryUrl } from './title.mjs';

const PRODUCTS = ['md', 'html', 'pdf', 'notes.txt', 'handout.pdf'];
const PAPERS = ['cheatsheet.html', 'cheatsheet.pdf', 'answers.pdf'];

function notesText(slides, total) {
    const pages = slides.map(({ title, minutes, note }, at) =>
        `--- ${at + 1}. ${title}${minutes ? ` (${minutes} 分)` : ''}\n\n${note}\n`);
    return `${slides[0].title}\n全体で ${total} 分、${slides.length} 枚\n\n${pages.join('\n')}`;
}

const products = (dir, name) => PRODUCTS.map((kind) => join(dir, `${name}.${kind}`));

// Markdown から HTML を作り、Marp の言い分を返す。Marp の跡には、1 行が数十万字の
// ソースが入るので、短い行だけを残す
export function marp(files) {
    const { stderr } = spawnSync(join(HERE, 'node_modules/.bin/marp'),
        ['--no-stdin', '--config', join(HERE, 'marp.config.mjs'), '--', ...files], { encoding: 'utf8' });
    return stderr.split('\n').filter((line) => line.length < 300 && !line.includes('INFO')).join('\n').trim();
}

// PDF は Marp に任せず、自分で印刷する。Marp の使うブラウザーは、スライドの中の
// 要求をよそへ送ってしまう
async function print(browser, html, pdf) {
    const { page, load } = await open(browser, html);
    await load();
    await page.pdf({ path: pdf, width: '1280px', height: '720px', printBackground: true,
        preferCSSPageSize: true, tagged: true, outline: true });
    await page.close();
}

// decks から作るものをすべて作る。途中で止まっても、古いものや半端なものが残らない
// ように、別の場所で作ってから移す
async function render(options, decks, fail) {
    const dir = mkdtempSync(join(options.out, '.work-'));
    try {
        for (const { name, markdown } of decks)
            writeFileSync(products(dir, name)[0], markdown);
        const output = marp(decks.map(({ name }) => products(dir, name)[0]));
        await withBrowser((browser) => inPairs(decks, async ({ name, slides, total }) => {
            const [md, html, pdf, text, handout] = products(dir, name);
            // Marp は、設定に見えるコメントをノートにしない。だから、できたものを数える
            const page = existsSync(html) ? readFileSync(html, 'utf8') : '';
            const notes = page.split('<div class="bespoke-marp-note"').length - 1;
            if (notes !== slides.length)
                return fail(`${name}: marp: ${notes} notes for ${slides.length} slides\n` +
                    `  ヒント: ${output || 'HTML のタグとコメントの書き方を確かめてください'}`);
            embedFonts(html);
            if (!options.draft) {
                await print(browser, html, pdf);
                await printHandout(browser, { slides, html, pdf: handout }, fail);
            }
            writeFileSync(text, notesText(slides, total));
            for (const file of [md, html, pdf, text, handout].filter((made) => existsSync(made)))
                renameSync(file, join(options.out, relative(dir, file)));
            return console.log(`${name}  ${slides.length} slides  ${total} min  built`);
        }).then(() => options.papers && printPapers(browser, options, decks, fail)));
    } finally {
        rmSync(dir, { recursive: true });
    }
}

// デッキごとでない、紙のもの
async function printPapers(browser, options, decks, fail) {
    const sheet = cheatSheet(options, fail), html = ({ name }) => join(options.out, `${name}.html`);
    if (sheet)
        await printCheatSheet(browser, sheet, join(options.out, 'cheatsheet.html'));
    const made = decks.filter((deck) => existsSync(html(deck)));
    const answers = join(options.out, 'answers.pdf');
    await printAnswers(browser, made.map((deck) => ({ ...deck, html: html(deck) })), answers, fail);
    rmSync(join(options.out, 'answers.html'), { force: true });
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
    const decks = options.decks.flatMap((name) => {
        const deck = expand({ ...options, deck: name });
        const file = relative(process.cwd(), join(options.source, `${name}.md`));
        for (const { line, message, hint, extra } of deck.errors)
            fail(`${file}:${line}: ${message}\n  ヒント: ${hint}${extra && `\n${extra}`}`);
        products(options.out, name).forEach((product) => rmSync(product, { force: true }));
        return deck.slides.length && (options.draft || deck.errors.length === 0) ? [{ name, ...deck }] : [];
    });
    if (options.papers)
        PAPERS.forEach((paper) => rmSync(join(options.out, paper), { force: true }));
    if (decks.length)
        await render(options, decks, fail);
    return failed;
}

// 今あるデッキの一覧。題、時間、枚数は、ノートの初めの 2 行にある
function writeIndex({ out }) {
    const rows = readdirSync(out).filter((file) => /^\d\d(-oci)?\.notes\.txt$/.test(file)).sort().map((file) => {
        const name = file.replace('.notes.txt', '');
        const [title, size] = readFileSync(join(out, file), 'utf8').split('\n');
        return `<tr><td><a href="${name}.html">${escape(title)}</a></td><td>${size}</td>` +
            `<td><a href="${name}.pdf">PDF</a></td><td><a href="${name}.handout.pdf">配布資料</a></td>` +
            `<td><a href="${file}">ノート</a></td></tr>`;
    });
    const papers = [['cheatsheet.html', '早見表'], ['cheatsheet.pdf', '早見表 (PDF、A4 に 1 枚)'],
        ['answers.pdf', '問いと答え (講師用)']].filter(([file]) => existsSync(join(out, file)))
        .map(([file, text]) => `<li><a href="${file}">${text}</a></li>`);
    writeFileSync(join(out, 'index.html'), `<!DOCTYPE html>
<html lang="ja"><meta charset="utf-8"><title>スライド</title>
<style>body { margin: 3em auto; max-width: 60em; font-family: sans-serif } td { padding: 0.5em 1em }</style>
<h1>スライド</h1>
<table>
${rows.join('\n')}
</table>
<ul>${papers.join('')}</ul>
</html>
`);
}

await start(import.meta.url, 'slides', async (args) => {
    const options = readArgs(args, { accept: { type: 'boolean' }, url: { type: 'string' } });
    options.url = repositoryUrl(options.url);
    // 1 つのデッキだけを作るときは、すべてのデッキから作る紙に触らない
    options.papers = !args.some(isDeck);
    if (options.accept)
        options.decks.forEach((name) => accept(options, name));
    const failed = await build(options);
    writeIndex(options);
    return failed ? 1 : 0;
});
