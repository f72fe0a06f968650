// 紙のもの: 早見表、配布資料 (1 ページに 2 枚)、講師のための答え
import MarkdownIt from 'markdown-it';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { open } from './browser.mjs';
import { embedFonts } from './fonts.mjs';
import { escape } from './markup.mjs';

const A4 = { format: 'A4', printBackground: true, tagged: true };
const MARGIN = { top: '12mm', bottom: '12mm', left: '12mm', right: '12mm' };
const markdown = new MarkdownIt();

export const isAnswer = ({ markdown: text }) => /^<!-- _class: .*\banswer\b/m.test(text);
const isQuestion = ({ markdown: text }) => /^<!-- _class: .*\bquestion\b/m.test(text);

// Marp の作った HTML から、テーマと、1 枚ずつの SVG を取り出す
function drawn(html) {
    const page = readFileSync(html, 'utf8');
    const [, theme = ''] = /<style>(@charset[^]*?)<\/style>/.exec(page) ?? [];
    const [, body = ''] = /<div id=":\$p">([^]*<\/foreignObject><\/svg>)<\/div>/.exec(page) ?? [];
    // @page は、A4 より優先される
    return { theme: theme.replace(/@page\s*\{[^}]*\}/g, ''), svgs: body.split(/(?=<svg data-marpit-svg)/) };
}

const HANDOUT = `
body { margin: 0; font-family: "Noto Sans CJK JP"; font-size: 10.5pt; line-height: 1.5 }
.sheet { box-sizing: border-box; width: 186mm; height: 136mm; break-inside: avoid; overflow: hidden }
.sheet:nth-of-type(even) { break-after: page }
.sheet svg[data-marpit-svg] { display: block; width: 160mm; height: auto; border: 0.3mm solid #c3ccd4 }
.sheet > p { margin: 2mm 0 0; white-space: pre-line; font-size: 10pt; line-height: 1.45 }`;

// 続きのスライドのための言葉や、時間は、紙では要らない
const spoken = (note) => note.replace(/^\d+(\.\d+)?\s*分(\s*\(任意\))?。\s*/gm, '').trim();

const sheet = (svg, { note }) => `<div class="sheet"><div id=":$p">${svg}</div><p>${escape(spoken(note))}</p></div>`;

const sheetsPage = (title, theme, sheets) => `<!DOCTYPE html><html lang="ja"><head><meta charset="utf-8">` +
    `<title>${escape(title)}</title><style>${theme}</style><style>${HANDOUT}</style></head>` +
    `<body>${sheets.join('\n')}</body></html>`;

// html を A4 の PDF にする。はみ出したものの数を返す
async function printPaper(browser, html, pdf, more = {}) {
    const { page, load } = await open(browser, html);
    await page.emulateMedia({ media: 'screen' });
    await load();
    const over = await page.evaluate(() => [...document.querySelectorAll('.sheet')]
        .filter((box) => box.scrollHeight > box.clientHeight + 1).length);
    await page.pdf({ path: pdf, ...A4, margin: MARGIN, ...more });
    await page.close();
    return over;
}

async function printSheets(browser, { title, theme, sheets }, pdf, fail) {
    const html = pdf.replace(/pdf$/, 'html');
    writeFileSync(html, sheetsPage(title, theme, sheets));
    const over = await printPaper(browser, html, pdf);
    if (over)
        fail(`${title}: ${over} note(s) too long for the handout\n  ヒント: 話すことを短くしてください`);
}

// 答えを除いたスライドと、話すこと
export async function printHandout(browser, { slides, html, pdf }, fail) {
    const { theme, svgs } = drawn(html);
    const sheets = slides.flatMap((slide, at) => (isAnswer(slide) ? [] : [sheet(svgs[at], slide)]));
    await printSheets(browser, { title: slides[0].title, theme, sheets }, pdf, fail);
}

// すべてのデッキの問いと答え。decks は { slides, html } の列
export async function printAnswers(browser, decks, pdf, fail) {
    const all = decks.map(({ slides, html }) => ({ slides, ...drawn(html) }));
    const sheets = all.flatMap(({ slides, svgs }) => slides.flatMap((slide, at) =>
        (isQuestion(slide) || isAnswer(slide) ? [sheet(svgs[at], slide)] : [])));
    if (sheets.length)
        await printSheets(browser, { title: '問いと答え', theme: all[0].theme, sheets }, pdf, fail);
}

const rowsOf = (text) => text.split('\n').filter((line) => /^\| \[?0\d(?!-oci)/.test(line))
    .map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));

const SHEET = `
body { margin: 0; color: #1a2530; font-family: "Noto Sans CJK JP"; font-size: 10.5pt; line-height: 1.4 }
h1 { margin: 0 0 2mm; color: #123f82; font-size: 15pt }
table { width: 100%; border-collapse: collapse; table-layout: fixed }
th, td { padding: 1.6mm 3mm 1.6mm 0; border-bottom: 0.2mm solid #c3ccd4; text-align: left; vertical-align: top }
th { border-bottom: 0.6mm solid #123f82; color: #123f82 }
td:nth-child(odd) { word-break: auto-phrase }
th:nth-child(1), th:nth-child(2) { width: 20.5% }
td:first-child { font-weight: 700 }
code { font-family: "Noto Sans Mono CJK JP"; font-size: 9.5pt; white-space: nowrap }
p { margin: 2mm 0 0 }`;

// 9 行の早見表。README の表 (step-table.sh が main.c から作る) に、source の cheatsheet.md の
// 列を足す
export function cheatSheet({ source, steps }, fail) {
    const file = join(source, 'cheatsheet.md');
    if (!existsSync(file))
        return null;
    const text = readFileSync(file, 'utf8');
    const [, title = '', head = '', foot = ''] = /^# (.*)\n([^|]*)\n\|[^]*\|\n([^|]*)$/.exec(text) ?? [];
    const docker = new Map(rowsOf(text).map(([step, cell]) => [step, cell]));
    const rows = rowsOf(readFileSync(join(steps, '../README.ja.md'), 'utf8')).map(([name, adds, calls, look]) => {
        const step = /0\d/.exec(name)[0];
        if (!docker.has(step))
            fail(`cheatsheet.md: no row for step ${step}\n  ヒント: | ${step} | docker run … | を足してください`);
        const cells = [`${step} ${adds}`, calls, look, docker.get(step) ?? ''];
        return `<tr>${cells.map((cell) => `<td>${markdown.renderInline(cell)}</td>`).join('')}</tr>`;
    });
    return `<!DOCTYPE html><html lang="ja"><head><meta charset="utf-8"><title>${escape(title)}</title>` +
        `<style>${SHEET}</style></head><body><h1>${escape(title)}</h1>${markdown.render(head)}<table>` +
        '<tr><th>ステップ</th><th>主な呼び出し</th><th>動かして見るもの</th><th>Docker では</th></tr>' +
        `${rows.join('')}</table>${markdown.render(foot)}</body></html>`;
}

export async function printCheatSheet(browser, text, html) {
    writeFileSync(html, text);
    embedFonts(html);
    await printPaper(browser, html, html.replace(/html$/, 'pdf'), { landscape: true });
}
