// 1 つのデッキの元 (slides/NN.md) を、Marp に渡す Markdown に広げる
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { bodyMarkdown, roomOf } from './body.mjs';
import { diffItems, hashOf } from './diff.mjs';
import { diffBlock, escape, highlight } from './markup.mjs';
import { AREA, LADDER, faultOf, fold, paginate, textHeight } from './pages.mjs';
import { explanationsOf, notesOf, partsOf, slidesOf } from './source.mjs';
import { markSides } from './sides.mjs';
import { addressBlock, stairs } from './title.mjs';

const DIFF_HEADING = 72, CODE_PADDING = 22, EXPLAIN_MARGIN = 18;
const OVERVIEW_HEADING = 152; // 見出し、行数、一覧の下のすき間
const OVERVIEW_CODE = 22; // 一覧の下のコードを、一覧より大きくはしない (px)
const WIDE = 10; // これより多い項目は、2 列に並べる
const STUB = 'ここに説明を 1 文から 3 文で書く。\n\n<!-- 2 分。話すこと。つまずくところ。 -->\n';
const KIND = { new: '新しい', changed: '変わる', gone: '消える' };

// 09-oci は、09 の続き
function mainOf(context, step) {
    const [number, more = ''] = step.split('-');
    const name = readdirSync(context.steps).find((dir) => dir.startsWith(`${number}-`));
    const main = name && join(context.steps, name, more, 'main.c');
    return main && existsSync(main) ? main : undefined;
}

// 差分の項目の名前を、見る人に分かる形にする
const label = ({ name, call }) => (name === 'header' ? '冒頭のコメント'
    : `<code>${escape(name.replace(/#\d+$/, ''))}${call ? '()' : ''}</code>`);

const counts = (item) => [item.added ? `+${item.added}` : '', item.deleted ? `−${item.deleted}` : '']
    .filter(Boolean).join(' ');

// 差分の行に、元のファイル全体で付けた色を付ける
function colour(items, before, after) {
    const read = (file) => (file ? highlight(readFileSync(file, 'utf8'), 'c') : []);
    const old = read(before), now = read(after);
    for (const row of items.flatMap(({ rows }) => rows))
        row.html = row.sign === '-' ? old[row.old] : now[row.now];
}

// 項目の差分を、あいだに 1 行をはさんで並べる
const rowsOf = (items) => items.flatMap((item, at) => [
    ...(at ? [{ sign: ' ', text: '', separator: true }] : []), ...fold(item.rows)]);

const textOf = (parts, context) => bodyMarkdown(parts.filter(({ type }) => type !== 'note'), context);
const explainHeight = (text) => (text ? textHeight(text, 24, 37, AREA.width) + EXPLAIN_MARGIN : 0);
const explainBlock = (text) => (text ? `\n<div class="explain">\n\n${text}\n\n</div>\n` : '');

// 冒頭のコメントと #include の説明。何枚にも分けず、1 つにまとめる
const isPreamble = ({ items }) => items.every(({ name }) => /^(header$|#)/.test(name)) &&
    items.some(({ name }) => !name.startsWith('#define'));

function preambleOf(matched) {
    const list = matched.filter(isPreamble);
    return list.length === 0 ? null : { items: list.flatMap(({ items }) => items), explanation: {
        line: list[0].explanation.line, pages: [list.flatMap(({ explanation }) => explanation.pages.flat())] } };
}

// 一覧 (2 列) の下に preamble が入るなら、そのコードと説明
function underOverview(preamble, count, text, context) {
    if (!preamble)
        return '';
    const explain = textOf(preamble.explanation.pages[0], context);
    const room = AREA.height - OVERVIEW_HEADING - Math.ceil(count / 2) * 44 - CODE_PADDING - explainHeight(explain) -
        (text && textHeight(text, 26, 40, AREA.width) + EXPLAIN_MARGIN);
    const rows = rowsOf(preamble.items).filter((row) => !row.fold);
    const { px, pages } = paginate(rows, () => room) ?? { pages: [] };
    return pages.length === 1 && px > LADDER.at(-1).px ? `${diffBlock(pages[0], Math.min(px, OVERVIEW_CODE))}\n${explainBlock(explain)}` : '';
}

// 差分の全体。項目は、このデッキで読む順に並べる
function overview(diff, intro, matched, steps, context) {
    const items = matched.flatMap((one) => one.items), preamble = preambleOf(matched);
    const rest = intro.filter(({ type }) => !['diff', 'note'].includes(type));
    const title = rest.findIndex((part) => part.type === 'text' && part.text.startsWith('#'));
    const heading = title < 0 ? `## 差分: ${steps}` : rest.splice(title, 1)[0].text;
    const text = bodyMarkdown(rest, context);
    const under = underOverview(preamble, items.length, text, context);
    const own = notesOf(intro), more = notesOf(under ? preamble.explanation.pages[0] : []);
    const rows = items.map((item) => `<li><span class="kind ${item.kind}">${KIND[item.kind]}</span> ` +
        `${label(item)} <span class="count">${counts(item)}</span></li>`);
    return {
        shows: under ? preamble.items : [],
        title: heading.replace(/^#+\s*/, ''),
        minutes: (own.minutes ?? 1) + (more.minutes ?? 0),
        note: [own.text || '1 分。差分の全体を見せる。これから 1 つずつ読むので、名前だけを確かめる。', more.text]
            .filter(Boolean).join('\n\n'),
        markdown: `<!-- _class: overview -->\n${heading}\n\n` +
            `<p class="total"><span class="add">+${diff.added} 行</span> ` +
            `<span class="del">−${diff.deleted} 行</span></p>\n` +
            `<ul class="items${under || items.length > WIDE ? ' wide' : ''}">${rows.join('')}</ul>\n\n${text}\n\n${under}`,
    };
}

// 続きのページも、それだけで読めること
function checkPages(pages, names, line, context) {
    pages.forEach((page, at) => {
        const fault = faultOf(page);
        if (fault)
            context.report(line, `page ${at + 1} of ${names} ${fault}`,
                '説明を短くして 1 ページにするか、<!-- page --> の数を変えてください');
    });
    if (pages.length === 0)
        context.report(line, `cannot be cut into pages: ${names}`,
            '説明を短くするか、<!-- page --> の数を減らしてください');
}

// 1 つの説明が付いた項目を、1 枚から数枚のスライドにする
function itemSlides({ items, explanation }, steps, context) {
    const texts = explanation.pages.map((parts) => textOf(parts, context));
    const heights = (page) => AREA.height - DIFF_HEADING - CODE_PADDING - explainHeight(texts[page]);
    const { px, pages } = paginate(rowsOf(items), heights, texts.length) ?? { pages: [] };
    const names = items.map(({ name }) => name).join(', ');
    checkPages(pages, names, explanation.line, context);
    if (pages.length > 1 && isPreamble({ items }))
        context.report(explanation.line, `${names} takes ${pages.length} slides, not one`,
            '説明を短くするか、#define を、それを使う関数の説明に移してください');
    const sum = (key) => items.reduce((all, item) => all + item[key], 0);
    const heading = `## <span class="from">${steps}</span> ${items.map(label).join('、')} ` +
        `<span class="count">${counts({ added: sum('added'), deleted: sum('deleted') })}</span>`;
    const { optional } = notesOf(explanation.pages[0]);
    return pages.map((page, at) => {
        const { minutes, text } = notesOf(explanation.pages[at] ?? []);
        const part = pages.length > 1 ? `<span class="part">${at + 1} / ${pages.length} ページ</span>` : '';
        return {
            title: `${steps} ${names}${pages.length > 1 ? ` (${at + 1})` : ''}`,
            minutes: minutes ?? (at === 0 ? null : 0),
            note: text || (at === 0 ? '' : '(前のページの続き)'),
            optional, line: explanation.line,
            markdown: `<!-- _class: code-slide -->\n${heading}${part}\n\n` +
                `${diffBlock(page, px)}\n${explainBlock(texts[at])}`,
        };
    });
}

// ハッシュが違えば、説明は古い差分のために書かれている
function checkHash({ line, names, hash: old }, items, context) {
    const hash = hashOf(items), name = names.join(', ');
    context.hashes.push({ line, names: name, hash });
    const accept = `make slides-accept DOC=${context.deck}`;
    if (old === null)
        context.report(line, `explanation without a hash: ${name}`,
            `差分と説明が合っていることを確かめてから、${accept}`);
    else if (hash !== old)
        context.report(line, `the diff has changed: ${name} is ${hash}, not ${old}`,
            `説明を読み直し、要るなら書き直してから、${accept}`);
}

// 説明と項目を突き合わせる。1 つも余らず、1 つも足りないことがないように (some なら、足りなくてよい)
function matchItems(diff, explanations, slide, context, some) {
    const left = new Map(diff.items.map((item) => [item.name, item]));
    const matched = explanations.flatMap((explanation) => {
        const { names, line, pages } = explanation;
        const items = names.flatMap((name) => {
            const item = left.get(name);
            if (!item)
                context.report(line, `explanation without a change: ${name}`,
                    `差分にあるのは: ${[...left.keys()].join(', ') || '(残りなし)'}`);
            left.delete(name);
            return item ?? [];
        });
        const text = pages.flat().map((part) => (part.type === 'text' ? part.text : '')).join('').trim();
        if (text === '' || STUB.startsWith(text))
            context.report(line, `empty explanation: ${names}`,
                'コードの下に出る説明を、1 文から 3 文で書いてください');
        if (items.length < names.length)
            return [];
        checkHash(explanation, items, context);
        return [{ items, explanation }];
    });
    for (const item of some ? [] : left.values()) {
        context.report(slide.line, `no explanation for ${item.name}`,
            '次の形を、差分のスライドの終わりに貼って、書いてください',
            `\n<!-- explain: ${item.name} ${hashOf([item])} -->\n${STUB}`);
        // 貼る形に「2 分」がある。時間がないことまでは言わない
        const pages = [[{ type: 'note', text: '0 分' }]];
        matched.push({ items: [item], explanation: { line: slide.line, pages } });
    }
    return matched;
}

function diffSlides(slide, mark, context) {
    const [, from, to, some] = /^diff:\s*(\d\d)\s+(\d\d(?:-oci)?)(\s+some)?$/.exec(mark.text) ?? [];
    const before = from === '00' ? null : mainOf(context, from), after = mainOf(context, to);
    if (!after || before === undefined) {
        context.report(mark.line, `no such steps: ${mark.text}`, '<!-- diff: 04 05 --> のように書きます');
        return [];
    }
    const steps = `${from} → ${to}`, diff = diffItems(before, after);
    colour(diff.items, before, after);
    const { intro, list } = explanationsOf(slide.parts);
    const matched = matchItems(diff, list, slide, context, some);
    const first = overview(diff, intro, matched, steps, context), preamble = preambleOf(matched);
    const later = [...matched.filter((one) => !isPreamble(one)), ...preamble ? [preamble] : []]
        .filter(({ items }) => !first.shows.includes(items[0]));
    return [first, ...later.flatMap((one) => itemSlides(one, steps, context))];
}

// _class は 1 枚に 1 つしか効かないので、あれば書き足す
function addClass(markdown, name) {
    const directive = /^<!-- _class: (.*?) -->$/m;
    return directive.test(markdown) ? markdown.replace(directive, `<!-- _class: $1 ${name} -->`)
        : `<!-- _class: ${name} -->\n${markdown}`;
}

function plainSlide({ parts, line }, context) {
    const markdown = bodyMarkdown(parts, context);
    for (const part of parts.filter(({ type }) => ['explain', 'page'].includes(type)))
        context.report(part.line, `<!-- ${part.text} --> outside a diff slide`,
            '<!-- diff: 04 05 --> のあるスライドに書きます');
    const { minutes, text, optional } = notesOf(parts);
    const room = roomOf(parts);
    return {
        title: /^#{1,6}\s+(.*)$/m.exec(markdown)?.[1] ?? '', minutes, note: text, optional, line,
        markdown: room ? addClass(markdown, room) : markdown,
    };
}

// 標題のスライド。番号は大きく見せる
function titleSlide(slide, context) {
    const plain = plainSlide(slide, context);
    const main = mainOf(context, context.deck);
    const topic = main && readFileSync(main, 'utf8').split('\n')[1].replace(/^ \* /, '');
    if (!/^# /m.test(plain.markdown))
        context.report(slide.line, 'the first slide is not a title', '「# 05 …」の形で始めてください');
    else if (main && `${context.deck} ${topic}` !== plain.title)
        context.report(slide.line, `title is not "# ${context.deck} ${topic}"`,
            'main.c の 2 行目と同じ題にしてください');
    const body = plain.markdown.replace(/^<!-- _class.*\n/m, '')
        .replace(/^# (\d\d(?:-oci)?) (.+)$/m, '# <span class="number">$1</span> $2');
    const extras = [stairs(context.steps, context.deck), ...context.url ? [addressBlock(context.url)] : []];
    const opening = context.deck === '00' ? ' opening' : '';
    return { ...plain, markdown: `<!-- _class: title${opening} -->\n${body}\n\n${extras.join('\n\n')}` };
}

export const frontMatter = (title) => '---\nmarp: true\ntheme: workshop\nlang: ja\nsize: 16:9\n' +
    `paginate: true\ntitle: ${JSON.stringify(title)}\nfooter: ${JSON.stringify(title)}\n---\n\n`;

// 半日のデッキからは、任意のスライドを除く
const planned = (slides, plan) => slides.filter(({ optional }) => plan !== 'halfday' || !optional);

// 右上の印。標題と区切りには付けない
function badge({ optional, markdown }) {
    if (/^<!-- _class: .*\b(title|lead)\b/m.test(markdown))
        return '';
    const [kind, word] = optional ? ['optional', '任意'] : ['required', '必須'];
    return `\n\n<div class="badge ${kind}">${word}</div>`;
}

function assemble(slides, context) {
    const total = slides.reduce((sum, slide) => sum + (slide.minutes ?? 0), 0);
    let sofar = 0;
    const pages = slides.map((slide) => {
        slide.title = slide.title.replace(/<[^>]*>|[*`]/g, '');
        if (slide.minutes === null)
            context.report(slide.line ?? 1, `no speaker note with minutes: ${slide.title || 'slide'}`,
                '<!-- 2 分。話すこと… --> を、このスライドに足してください');
        sofar += slide.minutes ?? 0;
        // 終わりの行は、時計の代わりになる。また、コメント全体が YAML に見えて
        // Marp に読み飛ばされるのも防ぐ (「話すこと: …」だけでは、設定だと思われる)
        const clock = `ここまで ${sofar} 分、全体で ${total} 分`;
        return `${slide.markdown.trim()}${badge(slide)}\n\n<!--\n${slide.note}\n\n${clock}\n-->\n`;
    });
    return { slides, total, markdown: frontMatter(slides[0].title) + pages.join('\n---\n\n') };
}

// context: { deck, source, steps, plan, url }。見つけた誤りは errors に並べる
export function expand(options) {
    const errors = [], hashes = [];
    const report = (line, message, hint, extra = '') => errors.push({ line, message, hint, extra });
    const context = { ...options, report, hashes, serial: 1 };
    const file = join(context.source, `${context.deck}.md`);
    if (!existsSync(file))
        report(1, `no such deck: ${context.deck}.md`, '00 から 09 を指定します: make slides DOC=05');
    const parts = existsSync(file) ? partsOf(readFileSync(file, 'utf8')) : [];
    for (const { line } of parts.filter(({ type }) => type === 'unclosed'))
        report(line, 'never closed: a fence or a comment', '``` か --> を足してください');
    const slides = parts.length === 0 ? [] : slidesOf(markSides(parts)).flatMap((slide, at) => {
        const mark = slide.parts.find(({ type }) => type === 'diff');
        if (mark)
            return diffSlides(slide, mark, context);
        return at === 0 ? titleSlide(slide, context) : plainSlide(slide, context);
    });
    return { slides, hashes, errors, total: 0, markdown: '', ...slides.length && assemble(planned(slides, context.plan), context) };
}
