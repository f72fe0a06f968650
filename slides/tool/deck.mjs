// 1 つのデッキの元 (slides/NN.md) を、Marp に渡す Markdown に広げる
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { bodyMarkdown, isRoomy } from './body.mjs';
import { diffItems, hashOf } from './diff.mjs';
import { diffBlock, escape, highlight } from './markup.mjs';
import { AREA, fold, paginate, textHeight } from './pages.mjs';
import { explanationsOf, notesOf, partsOf, slidesOf } from './source.mjs';

const DIFF_HEADING = 72, CODE_PADDING = 22, EXPLAIN_MARGIN = 18;
const PLACEHOLDER = 'ここに説明を 1 文から 3 文で書く。';
const KIND = { new: '新しい', changed: '変わる', gone: '消える' };

function mainOf(context, step) {
    const name = readdirSync(context.steps).find((dir) => dir.startsWith(`${step}-`));
    return name && join(context.steps, name, 'main.c');
}

// 差分の項目の名前を、見る人に分かる形にする
function label(item) {
    if (item.name === 'header')
        return '初めの注釈';
    const name = item.name.replace(/#\d+$/, '');
    return `<code>${escape(name)}${item.call ? '()' : ''}</code>`;
}

const counts = (item) => [item.added ? `+${item.added}` : '', item.deleted ? `−${item.deleted}` : '']
    .filter(Boolean).join(' ');

// 差分の行に、元のファイル全体で付けた色を付ける
function colour(items, before, after) {
    const read = (file) => (file ? highlight(readFileSync(file, 'utf8'), 'c') : []);
    const old = read(before), now = read(after);
    for (const row of items.flatMap((item) => item.rows))
        row.html = row.sign === '-' ? old[row.old] : now[row.now];
}

function overview(diff, intro, steps, context) {
    const notes = notesOf(intro);
    const rest = intro.filter((part) => !['diff', 'note'].includes(part.type));
    const title = rest.findIndex((part) => part.type === 'text' && /^#/.test(part.text));
    const heading = title < 0 ? `## 差分: ${steps.from}` : rest.splice(title, 1)[0].text;
    const rows = diff.items.map((item) => `<li><span class="kind ${item.kind}">${KIND[item.kind]}</span> ` +
        `${label(item)} <span class="count">${counts(item)}</span></li>`);
    const wide = rows.length > 10 ? ' wide' : '';
    return {
        title: heading.replace(/^#+\s*/, ''),
        minutes: notes.minutes ?? 1,
        note: notes.text || '1 分。差分の全体を見せる。これから 1 つずつ読むので、名前だけを確かめる。',
        markdown: `<!-- _class: overview -->\n${heading}\n\n` +
            `<p class="total"><span class="add">+${diff.added} 行</span> ` +
            `<span class="del">−${diff.deleted} 行</span></p>\n` +
            `<ul class="items${wide}">${rows.join('')}</ul>\n\n${bodyMarkdown(rest, context)}`,
    };
}

function itemHeading(items, steps, page, pages) {
    const added = items.reduce((sum, item) => sum + item.added, 0);
    const deleted = items.reduce((sum, item) => sum + item.deleted, 0);
    const part = pages > 1 ? `<span class="part">${page + 1} / ${pages} ページ</span>` : '';
    return `## <span class="from">${steps.from}</span> ${items.map(label).join('、')} ` +
        `<span class="count">${counts({ added, deleted })}</span>${part}`;
}

// 1 つの説明が付いた項目を、1 枚から数枚のスライドにする
function itemSlides(items, explanation, steps, context) {
    const texts = explanation.pages.map((parts) => bodyMarkdown(
        parts.filter((part) => part.type !== 'note'), context));
    const heights = (page) => AREA.height - DIFF_HEADING - CODE_PADDING -
        (texts[page] ? textHeight(texts[page], 24, 37, AREA.width) + EXPLAIN_MARGIN : 0);
    const rows = items.flatMap((item, at) => [
        ...(at ? [{ sign: ' ', text: '', separator: true }] : []), ...fold(item.rows)]);
    const layout = paginate(rows, heights, texts.length);
    const names = items.map((item) => item.name).join(', ');
    if (!layout) {
        context.report(explanation.line, `cannot be cut into pages: ${names}`,
            '説明を短くするか、<!-- page --> の数を減らしてください');
        return [];
    }
    return layout.pages.map((page, at) => {
        const notes = notesOf(explanation.pages[at] ?? []);
        const text = texts[at] ? `\n<div class="explain">\n\n${texts[at]}\n\n</div>` : '';
        return {
            title: `${steps.from} ${names}${layout.pages.length > 1 ? ` (${at + 1})` : ''}`,
            minutes: notes.minutes ?? (at === 0 ? null : 0),
            note: notes.text || (at === 0 ? '' : '(前のページの続き)'),
            line: explanation.line,
            markdown: `<!-- _class: code-slide -->\n${itemHeading(items, steps, at, layout.pages.length)}` +
                `\n\n${diffBlock(page, layout.px)}\n${text}`,
        };
    });
}

// ハッシュが違えば、説明は古い差分のために書かれている
function checkHash(explanation, items, context) {
    const hash = hashOf(items);
    const names = explanation.names.join(', ');
    context.hashes.push({ line: explanation.line, names, hash });
    if (context.draft || context.accept || hash === explanation.hash)
        return;
    const accept = `make slides-accept DOC=${context.deck}`;
    if (explanation.hash === null)
        context.report(explanation.line, `explanation without a hash: ${names}`,
            `差分と説明が合っていることを確かめてから、${accept}`);
    else
        context.report(explanation.line, `the diff has changed: ${names} is ${hash}, not ${explanation.hash}`,
            `説明を読み直し、要るなら書き直してから、${accept}`);
}

const stub = (item) => `\n<!-- explain: ${item.name} ${hashOf([item])} -->\n${PLACEHOLDER}\n` +
    '\n<!-- 2 分。話すこと。つまずくところ。 -->\n';

// 説明と項目を突き合わせる。1 つも余らず、1 つも足りないことがないように
function matchItems(diff, explanations, slide, context) {
    const left = new Map(diff.items.map((item) => [item.name, item]));
    const matched = [];
    for (const explanation of explanations) {
        const items = [];
        for (const name of explanation.names) {
            if (left.has(name))
                items.push(left.get(name));
            else
                context.report(explanation.line, `explanation without a change: ${name}`,
                    `差分にあるのは: ${[...left.keys()].join(', ') || '(残りなし)'}`);
            left.delete(name);
        }
        const text = explanation.pages.flat().filter((part) => part.type === 'text')
            .map((part) => part.text).join('').trim();
        if (!context.draft && (text === '' || text.includes(PLACEHOLDER)))
            context.report(explanation.line, `empty explanation: ${explanation.names}`,
                'コードの下に出る説明を、1 文から 3 文で書いてください');
        if (items.length === 0 || items.length !== explanation.names.length)
            continue;
        checkHash(explanation, items, context);
        matched.push({ items, explanation });
    }
    for (const item of left.values()) {
        if (context.draft)
            matched.push({ items: [item], explanation: { line: slide.line, pages: [[]] } });
        else
            context.report(slide.line, `no explanation for ${item.name}`,
                '次の形を、差分のスライドの終わりに貼って、書いてください', stub(item));
    }
    return matched;
}

function diffSlides(slide, mark, context) {
    const found = /^diff:\s*(\d\d)\s+(\d\d)$/.exec(mark.text);
    const before = found && found[1] !== '00' ? mainOf(context, found[1]) : null;
    const after = found && mainOf(context, found[2]);
    if (!after || (found[1] !== '00' && !before)) {
        context.report(mark.line, `no such steps: ${mark.text}`, '<!-- diff: 04 05 --> のように書きます');
        return [];
    }
    const steps = { from: `${found[1]} → ${found[2]}` };
    const diff = diffItems(before, after);
    colour(diff.items, before, after);
    const { intro, list } = explanationsOf(slide.parts);
    const matched = matchItems(diff, list, slide, context);
    return [overview(diff, intro, steps, context), ...matched.flatMap(({ items, explanation }) =>
        itemSlides(items, explanation, steps, context))];
}

// _class は 1 枚に 1 つしか効かないので、あれば書き足す
function addClass(markdown, name) {
    const directive = /^<!-- _class: (.*?) -->$/m;
    return directive.test(markdown) ? markdown.replace(directive, `<!-- _class: $1 ${name} -->`)
        : `<!-- _class: ${name} -->\n${markdown}`;
}

function plainSlide(slide, context) {
    const markdown = bodyMarkdown(slide.parts, context);
    const heading = /^#{1,6}\s+(.*)$/m.exec(markdown)?.[1] ?? '';
    for (const part of slide.parts.filter((p) => ['explain', 'page'].includes(p.type)))
        context.report(part.line, `<!-- ${part.text} --> outside a diff slide`,
            '<!-- diff: 04 05 --> のあるスライドに書きます');
    const { minutes, text } = notesOf(slide.parts);
    return {
        title: heading.replace(/<[^>]*>|[*`]/g, ''), minutes, note: text, line: slide.line,
        markdown: isRoomy(slide.parts) ? addClass(markdown, 'roomy') : markdown,
    };
}

// 標題のスライド。番号は大きく見せる
function titleSlide(slide, context) {
    const plain = plainSlide(slide, context);
    const found = /^# (\d\d) (.+)$/m.exec(plain.markdown);
    if (!/^# /m.test(plain.markdown))
        context.report(slide.line, 'the first slide is not a title', '「# 05 …」の形で始めてください');
    const main = mainOf(context, context.deck);
    const topic = main && readFileSync(main, 'utf8').split('\n')[1].replace(/^ \* /, '');
    if (main && `${context.deck} ${topic}` !== plain.title)
        context.report(slide.line, `title is not "# ${context.deck} ${topic}"`,
            'main.c の 2 行目と同じ題にしてください');
    const heading = found && `# <span class="number">${found[1]}</span> ${found[2]}`;
    const body = plain.markdown.replace(/^<!-- _class.*\n/m, '')
        .replace(/^# .*$/m, (old) => heading ?? old);
    plain.markdown = `<!-- _class: title -->\n${body}`;
    return plain;
}

function frontMatter(title) {
    const text = (value) => JSON.stringify(value);
    return `---\nmarp: true\ntheme: workshop\nlang: ja\nsize: 16:9\npaginate: true\n` +
        `title: ${text(title)}\nfooter: ${text(title)}\n---\n\n`;
}

// ノートの終わりの行は、時計の代わりになる。また、コメント全体が YAML に見えて
// Marp に読み飛ばされるのも防ぐ (「話すこと: …」だけでは、設定だと思われる)
function noteComment(slide, sofar, total) {
    return `<!--\n${slide.note}\n\nここまで ${sofar} 分、全体で ${total} 分\n-->`;
}

function assemble(slides, context) {
    for (const slide of slides)
        if (slide.minutes === null && !context.draft)
            context.report(slide.line ?? 1, `no speaker note with minutes: ${slide.title || 'slide'}`,
                '<!-- 2 分。話すこと… --> を、このスライドに足してください');
    const total = slides.reduce((sum, slide) => sum + (slide.minutes ?? 0), 0);
    let sofar = 0;
    const pages = slides.map((slide) => {
        sofar += slide.minutes ?? 0;
        return `${slide.markdown.trim()}\n\n${noteComment(slide, sofar, total)}\n`;
    });
    return { total, markdown: frontMatter(slides[0].title) + pages.join('\n---\n\n') };
}

// context: { deck, source, steps, draft?, accept? }。見つけた誤りは errors に並べる
export function expand(options) {
    const errors = [];
    const report = (line, message, hint, extra = '') => errors.push({ line, message, hint, extra });
    const context = { ...options, report, hashes: [], serial: 1 };
    const file = join(context.source, `${context.deck}.md`);
    const empty = { slides: [], total: 0, markdown: '', hashes: [], errors };
    if (!existsSync(file)) {
        report(1, `no such deck: ${context.deck}.md`, '00 から 09 を指定します: make slides DOC=05');
        return empty;
    }
    const parts = partsOf(readFileSync(file, 'utf8'));
    for (const part of parts.filter((p) => p.type === 'unclosed'))
        report(part.line, 'never closed: a fence or a comment', '``` か --> を足してください');
    const slides = slidesOf(parts).flatMap((slide, at) => {
        const mark = slide.parts.find((part) => part.type === 'diff');
        if (mark)
            return diffSlides(slide, mark, context);
        return at === 0 ? titleSlide(slide, context) : plainSlide(slide, context);
    });
    if (slides.length === 0)
        return empty;
    const done = assemble(slides, context);
    return { slides, ...done, hashes: context.hashes, errors };
}
