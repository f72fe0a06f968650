// スライドの道具のテスト。動かし方: node --test slides/tool/test/*.test.mjs
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import jsQR from 'jsqr';
import { open, withBrowser } from '../browser.mjs';
import { readArgs } from '../cli.mjs';
import { expand } from '../deck.mjs';
import { diffItems, hashOf, itemsOf } from '../diff.mjs';
import { codeBlock, highlight, inlineSvg } from '../markup.mjs';
import { LADDER, faultOf, fold, paginate, width } from '../pages.mjs';
import { notesOf, partsOf, slidesOf } from '../source.mjs';
import { structureOf } from '../structure.mjs';
import { addressBlock, publicUrl, stairs } from '../title.mjs';

const TOP = fileURLToPath(new URL('../../..', import.meta.url));
const STEPS = join(TOP, 'steps');
const dirs = readdirSync(STEPS).filter((name) => /^0\d-/.test(name)).sort();
const mains = dirs.map((name) => join(STEPS, name, 'main.c'));
const pairs = mains.map((file, at) => [mains[at - 1] ?? null, file]);
const work = mkdtempSync(join(tmpdir(), 'slides-test-'));
after(() => rmSync(work, { recursive: true, force: true }));

const NOTE = '<!-- 1 分。話すこと: ここで話す。 -->';
const TITLE = `# 05 PID とマウントの名前空間を分ける\n\n1 文。\n\n${NOTE}\n`;

// 小さなデッキを 1 つ持つディレクトリ
let serial = 0;
function deckDir(text) {
    const source = join(work, `deck${serial++}`);
    mkdirSync(source);
    writeFileSync(join(source, '05.md'), text);
    return source;
}

const expandText = (text) => expand({ deck: '05', source: deckDir(text), steps: STEPS });
const messages = (deck) => deck.errors.map(({ message }) => message);

// 04 から 05 の差分のスライド。どの項目にも、正しい説明がある
const explain = (name, hash) => `<!-- explain: ${name} ${hash} -->\n${name} の説明。\n\n${NOTE}\n`;
const DIFF = `${TITLE}\n---\n\n<!-- diff: 04 05 -->\n\n` +
    diffItems(mains[3], mains[4]).items.map((item) => explain(item.name, hashOf([item]))).join('\n');
const without = (name) => DIFF.replace(new RegExp(`<!-- explain: ${name}[^]*?分[^]*?-->`), '');

const git = (before, file, ...args) => spawnSync('git',
    ['diff', '--no-index', '--histogram', ...args, before ?? '/dev/null', file], { encoding: 'utf8' }).stdout;

const itemOf = (before, file, name) => diffItems(before, file).items.find((item) => item.name === name);

describe('diff', () => {
    test('every line that git counts is on exactly one item', () => {
        for (const [before, file] of pairs) {
            const { items, added, deleted } = diffItems(before, file);
            assert.deepEqual([added, deleted], git(before, file, '--numstat').split('\t').slice(0, 2).map(Number), file);
            const shown = items.flatMap((item) => item.rows)
                .filter((row) => row.counted && row.text.trim()).map((row) => row.sign + row.text).sort();
            const out = git(before, file, '-U0');
            const wanted = out.slice(out.indexOf('@@')).split('\n')
                .filter((line) => /^[+-]/.test(line) && line.slice(1).trim()).sort();
            assert.deepEqual(shown, wanted, file);
        }
    });

    test('the items cover every line once, in order, and no two have the same name', () => {
        for (const file of mains) {
            const items = itemsOf(file), lines = readFileSync(file, 'utf8').trimEnd().split('\n');
            assert.deepEqual([...items.map(({ start }) => start), lines.length], [0, ...items.map(({ end }) => end)], file);
            assert.equal(new Set(items.map(({ name }) => name)).size, items.length, file);
        }
    });

    test('a deleted function is an item of its own', () => {
        const gone = itemOf(mains[5], mains[6], 'change_root');
        assert.equal(gone.kind, 'gone');
        assert.ok(gone.rows.every((row) => row.sign === '-' || !row.text.trim()));
    });

    test('deletions come before additions', () => {
        for (const [before, file] of pairs)
            for (const { name, rows } of diffItems(before, file).items)
                rows.forEach((row, at) => assert.ok(!(row.sign === '-' && rows[at - 1]?.sign === '+'), name));
    });

    test('items end where they should: braces in strings, continued macros, tables, structs with a name', () => {
        const file = join(work, 'items.c');
        writeFileSync(file, '/* { */\n\n#define _GNU_SOURCE\n#include "a.h"\n\n#include <b.h>\n\n#define A \\\n    1\n' +
            '#define B 2\n\n/* a */\nint a(void)\n{\n    return \'{\' + "}"[0]; /* } */\n}\n\nstruct s {\n    int i;\n};\n\n' +
            'static struct {\n    int i;\n} table[] = {\n    {1},\n};\n\nint a(void);\n_Static_assert(1, "");\n');
        assert.deepEqual(itemsOf(file).map(({ name, start, end }) => [name, start, end]), [['header', 0, 1],
            ['#include', 1, 6], ['#define A', 6, 10], ['a', 10, 16], ['s', 16, 20], ['table', 20, 26], ['a#2', 26, 29]]);
    });

    test('the hash changes with a changed line, not with a moved one', () => {
        const file = join(work, 'changed.c'), text = readFileSync(mains[4], 'utf8');
        const hash = (from, to) => {
            writeFileSync(file, text.replace(from, to));
            return hashOf([itemOf(mains[3], file, 'make_mounts_private')]);
        };
        const now = hash('', '');
        assert.equal(hash('#define HOSTNAME', '\n\n#define HOSTNAME'), now);
        assert.notEqual(hash('die("mount /")', 'die("mount root")'), now);
    });
});

describe('pages', () => {
    const layouts = pairs.flatMap(([before, file]) => diffItems(before, file).items.map((item) => {
        const rows = fold(item.rows);
        return { name: `${file}: ${item.name}`, all: item.rows, rows, layout: paginate(rows, (page) => (page ? 500 : 400)) };
    }));

    test('every item of every step can be cut into pages that fit', () => {
        for (const { name, layout } of layouts) {
            assert.ok(layout, name);
            const { row } = LADDER.find(({ px }) => px === layout.px);
            layout.pages.forEach((page, at) => assert.ok(page.length * row <= (at ? 500 : 400), name));
        }
    });

    test('nothing is lost and nothing is shown twice, but what encloses the page', () => {
        const keep = (rows) => rows.filter((row) => !row.again && !row.skip && (row.fold || row.text.trim()));
        for (const { name, rows, layout } of layouts)
            assert.deepEqual(keep(layout.pages.flat()), keep(rows), name);
    });

    test('no page ends in a comment, at a brace, or between a - and its +', () => {
        const cuts = layouts.flatMap(({ name, layout: { pages } }) => pages.slice(1).map((page, at) =>
            [name, pages[at].at(-1), page.find((row) => !row.again && !row.skip)]));
        assert.ok(cuts.length >= 3, 'the programs are too short to test this');
        for (const [name, last, first] of cuts) {
            assert.doesNotMatch(last.text, /^\s*(\/\*| \*)|\{$/, name);
            assert.doesNotMatch(first.text, /^\s*(\{$|\})/, name);
            assert.ok(!(last.sign === '-' && first.sign === '+'), name);
        }
    });

    // 足した行だけの小さな差分を、1 ページに room 行でページに分ける
    const rowsFrom = (text) => {
        const lines = text.split('\n');
        return structureOf(lines).map((line, now) => ({ sign: '+', text: lines[now], now, ...line }));
    };
    const cut = (text, room) => paginate(rowsFrom(text), () => room * LADDER.at(-1).row).pages
        .map((page) => page.map((row) => (row.skip ? `⋯ ${row.skip}` : `${row.again ? '@' : ''}${row.text}`)));
    const body = (letter, indent = '    ', count = 6) =>
        Array.from({ length: count }, (_, at) => `${indent}${letter}${at + 1}();`).join('\n');

    test('a page that goes on repeats the signature, the brace and the enclosing lines, with fold marks', () => {
        const [, page] = cut(`void f(int a,\n       int b)\n{\n    x();\n    for (;;) {\n        y();\n        if (a &&\n` +
            `            b) {\n${body('g', '            ')}\n\n${body('h', '            ')}\n        }\n    }\n}`, 20);
        assert.deepEqual(page.slice(0, 8), ['@void f(int a,', '@       int b)', '@{', '⋯ 1', '@    for (;;) {', '⋯ 1',
            '@        if (a &&', '@            b) {']);
        assert.match(page.slice(8, 10).join(), /^⋯ \d, {12}h/);
    });

    test('else repeats its if, and a block that has ended is not repeated', () => {
        const [, page] = cut(`void f(void)\n{\n    if (a) {\n${body('g', '        ')}\n    } else {\n` +
            `        x();\n\n${body('h', '        ')}\n    }\n}`, 14);
        assert.deepEqual(page.slice(0, 8), ['@void f(void)', '@{', '@    if (a) {', '⋯ 6', '@    } else {', '⋯ 2',
            '        h1();', '        h2();']);
        const [, after] = cut(`void f(void)\n{\n    if (a) {\n${body('g', '        ')}\n    }\n\n${body('h')}\n}`, 11);
        assert.deepEqual(after.slice(0, 4), ['@void f(void)', '@{', '⋯ 9', '    h1();']);
    });

    test('a comment stays whole and with its code, a condition with its statement, a call in one piece', () => {
        for (const part of ['    /* one\n     * two */\n    x();', '    if (a)\n        x();', '    x(a,\n      b);'])
            for (let before = 3; before < 10; before++) {
                const text = `void f(void)\n{\n${body('g', '    ', before)}\n${part}\n${body('h')}\n}`;
                for (let room = 10; room < 18; room++)
                    assert.ok(cut(text, room).some((page) => page.join('\n').includes(part)), `${room}: ${text}`);
            }
    });

    test('a page has no fragment above emptiness where another cut avoids it', () => {
        // 空行で分けると、2 ページ目が 4 行になる
        const pages = cut(`void f(void)\n{\n${body('g', '    ', 9)}\n\n${body('h', '    ', 3)}\n}`, 11);
        assert.equal(pages.length, 2);
        assert.ok(pages.every((page) => page.filter((text) => text && !/^[@⋯]/.test(text)).length >= 5), pages.join('\n'));
    });

    test('context shows no half of a comment, no comment without its code and no end without its beginning', () => {
        const old = join(work, 'old.c'), now = join(work, 'now.c');
        const write = (file, more) => writeFileSync(file, `void f(void)\n{\n${body('a')}\n    /* one\n     * two\n` +
            `     * three */\n    x();\n${more[0]}    y();\n    /* about z */\n    z();\n${body('b')}\n    for (;;) {\n` +
            `${body('c', '        ')}\n    }\n    w();\n${more[1]}    for (;;) {\n${body('d', '        ')}\n${more[2]}${body('e', '        ')}\n    }\n}\n`);
        write(old, ['', '', '']);
        write(now, ['    new1();\n', '    new2();\n', '        new3();\n']);
        const text = fold(itemOf(old, now, 'f').rows).map((row) => (row.fold ? '⋯' : row.text.trim())).join('\n');
        assert.match(text, /^\/\* one\n\* two\n\* three \*\/\nx\(\);\nnew1\(\);\ny\(\);\n⋯$/m);
        assert.match(text, /^for \(;;\) \{\n⋯\n\}\nw\(\);\nnew2\(\);\nfor \(;;\) \{\nd1\(\);\n⋯/m);
        assert.doesNotMatch(text, /about z|c\d/);
    });

    test('every page of every deck can be read alone', () => {
        for (const { name, layout } of layouts)
            layout.pages.forEach((page) => assert.equal(faultOf(page), null, name));
    });

    test('a page that cannot be read alone is refused', () => {
        const fault = (text, again = 0) => faultOf(rowsFrom(text).map((row, at) => ({ ...row, again: at < again })));
        assert.equal(fault('void f(void)\n{\n    x();\n}', 2), null);
        assert.equal(fault('    x();\n}'), 'closes a block that it does not open');
        assert.equal(fault('void f(void)\n    x();', 1), 'starts in a block without its enclosing lines');
        assert.equal(fault('void f(void)\n{\n        x();', 2), 'starts in a block without its enclosing lines');
        assert.equal(fault(' * two */\nx();'), 'starts inside a comment');
        assert.equal(fault('x();\n/* one\n * two'), 'ends inside a comment');
    });

    test('folded rows say how many lines they stand for', () => {
        for (const { name, rows, all } of layouts) {
            assert.equal(rows.reduce((sum, row) => sum + (row.fold ?? 1), 0), all.length, name);
            assert.ok(rows.every((row) => row.fold !== 1));
        }
    });

    test('two lines of context and the signature stay visible', () => {
        const shown = fold(itemOf(mains[3], mains[4], 'child').rows);
        const first = shown.findIndex((row) => row.sign === '+');
        assert.ok(shown.some((row) => row.text.startsWith('static _Noreturn void child(')));
        assert.ok([1, 2].every((back) => shown[first - back].sign === ' ' && !shown[first - back].fold));
        assert.ok(shown[first - 3].fold >= 2);
    });

    test('a wide character counts as two columns', () =>
        assert.deepEqual(['abc', 'ゲート (gate)…', 'ﾊﾝ'].map(width), [3, 15, 2]));

    test('what cannot be cut is refused', () => {
        const text = ['/*', ...Array(30).fill(' * コメント'), ' */'].join('\n');
        assert.equal(paginate(rowsFrom(text), () => 400), null);
    });
});

describe('source', () => {
    test('--- and <!-- in a fence, a comment or a code span are no marks; --- under a text is one', () => {
        const types = slidesOf(partsOf('# a\n---\n```sh\n---\n<!-- no -->\n```\nb\n---\n' +
            '`<!-- no -->` c<!-- 1 分。\n二 -->d\n\n<!--\n---\n\n``` -->')).map(({ parts }) => parts.map(({ type, text }) => text ?? type));
        assert.deepEqual(types, [['# a'], ['fence', 'b'], ['`<!-- no -->` c', '1 分。\n二', 'd', '', '---\n\n```']]);
    });

    test('every part knows its line', () => {
        const parts = partsOf('a\n\n<!-- b -->\n```\nc\n```\n- d <!-- e\n  f -->\n\n---\n\ng');
        assert.deepEqual(parts.filter(({ text }) => text !== '').map(({ line, type }) => [line, type]), [[1, 'text'],
            [3, 'note'], [4, 'fence'], [7, 'text'], [7, 'note'], [10, 'break'], [12, 'text']]);
    });

    test('minutes of several notes are added up', () => {
        const { minutes, text } = notesOf(partsOf('<!-- 1.5 分。一。 -->\n<!-- 2 分。\n二 -->'));
        assert.equal(minutes, 3.5);
        assert.match(text, /一。[^]*二/);
    });

    test('lines that are executed or hidden do not become notes', () => {
        const deck = expandText(`<!-- vary: 4711 -->\n${TITLE}---\n## a\n<!-- any: 0.2 -->\n${NOTE}\n`);
        assert.deepEqual(messages(deck), []);
        assert.doesNotMatch(deck.markdown, /vary|any:/);
    });
});

describe('markup', () => {
    test('a comment of several lines keeps its colour on every line', () => {
        const lines = highlight('/* a\n * b */\nint x;', 'c');
        assert.equal(lines.length, 3);
        assert.ok(lines.slice(0, 2).every((line) => /^<span class="hljs-comment">.*<\/span>$/.test(line)));
    });

    test('code is escaped', () => {
        assert.match(codeBlock(['a < b && "c"'], 'text', 22), /a &lt; b &amp;&amp; &quot;c&quot;/);
    });

    test('the same picture twice has no id twice', () => {
        const file = join(work, 'p.svg');
        writeFileSync(file, '<?xml version="1.0"?>\n<svg viewBox="0 0 1 1" width="9">\n\n<defs><g id="a"/></defs>' +
            '<use href="#a"/><path marker-end="url(#a)"/></svg>');
        const both = inlineSvg(file, '図', 1) + inlineSvg(file, '図', 2);
        const ids = [...both.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
        assert.equal(new Set(ids).size, 2);
        for (const id of ids)
            assert.ok(both.includes(`href="#${id}"`) && both.includes(`url(#${id})`));
        assert.doesNotMatch(both, /\n|<\?xml|width=/);
    });
});

describe('deck', () => {
    test('with "some", only the changes with an explanation are shown, and a wrong hash is still refused', () => {
        const oci = join(dirs.at(-1), 'oci/main.c');
        const item = diffItems(mains.at(-1), join(STEPS, oci)).items.find(({ name }) => name === 'wait_for_start');
        const text = (hash, some) => `${TITLE}\n---\n\n<!-- diff: 09 09-oci${some} -->\n\n${explain('wait_for_start', hash)}`;
        const { slides, errors } = expandText(text(hashOf([item]), ' some'));
        assert.deepEqual([slides.length, errors], [3, []]);
        assert.match(messages(expandText(text('00000000', ' some'))).join(), /^the diff has changed: wait_for_start/);
        assert.match(messages(expandText(text(hashOf([item]), ''))).join(), /no explanation for become_command/);
    });

    const refused = [
        ['a slide without a note', `${TITLE}---\n## a\n`, /no speaker note with minutes: a/],
        ['a note without minutes', `${TITLE}---\n## a\n<!-- 話すこと -->\n`, /no speaker note with minutes: a/],
        ['a title that is not the one of main.c', `# 05 別の題\n${NOTE}\n`, /title is not/],
        ['a deck without a title', `## a\n${NOTE}\n`, /the first slide is not a title/],
        ['a picture that is not there', `${TITLE}---\n![x](pictures/none.svg)\n${NOTE}\n`, /picture not found: pictures\/none.svg/],
        ['a fence that is never closed', `${TITLE}---\n${NOTE}\n\`\`\`console\n$ a\n`, /never closed/],
        ['a step that is not there', `${TITLE}---\n<!-- diff: 05 55 -->\n`, /no such steps/],
        ['an explanation outside a diff', `${TITLE}---\n## a\n<!-- explain: main -->\n${NOTE}\n`, /outside a diff slide/],
        ['a change without an explanation', without('mount_proc'), /no explanation for mount_proc/],
        ['an explanation without a change', DIFF + explain('drop_groups', '00000000'),
            /explanation without a change: drop_groups/],
        ['the same item twice', DIFF + explain('child', '00000000'), /explanation without a change: child/],
        ['a wrong hash', DIFF.replace(/(explain: child )\w+/, '$100000000'), /the diff has changed: child/],
        ['a missing hash', DIFF.replace(/(explain: child) \w+/, '$1'), /explanation without a hash: child/],
        ['an empty explanation', DIFF.replace('child の説明。', ''), /empty explanation: child/],
    ];
    for (const [name, text, message] of refused)
        test(`${name} is refused`, () => {
            const deck = expandText(text);
            assert.ok(messages(deck).some((one) => message.test(one)), messages(deck).join('\n'));
            for (const { line, hint } of deck.errors)
                assert.ok(line >= 1 && hint.length > 0);
        });

    test('a deleted line says how to rebuild; a diff that is only shown does not', () => {
        const fence = '```diff\n-    mount_proc();\n```\n';
        const [, ablated, shown] = expandText(`${TITLE}\n---\n\n<!-- ablate -->\n\n${fence}\n${NOTE}\n` +
            `\n---\n\n${fence}\n${NOTE}\n`).slides.map(({ markdown }) => markdown);
        assert.match(ablated, /<\/pre><p class="rebuild">消して <code>make step05<\/code>/);
        assert.doesNotMatch(shown, /rebuild/);
    });

    test('the stub that is printed can be pasted, but not left as it is', () => {
        const cut = without('mount_proc'), [{ extra }, ...more] = expandText(cut).errors;
        assert.deepEqual(more, []);
        assert.deepEqual(messages(expandText(cut + extra)), ['empty explanation: mount_proc']);
        assert.deepEqual(messages(expandText(cut + extra.replace(/ここに.*/, '新しい /proc を重ねます。'))), []);
    });

    test('several items can share a slide and a hash', () => {
        const { items } = diffItems(mains[3], mains[4]);
        const deck = expandText(without('header').replace(/explain: #include \w+/,
            `explain: header, #include ${hashOf(items.slice(0, 2))}`));
        assert.deepEqual(messages(deck), []);
        // この 2 つは、一覧と一緒に出る
        assert.equal(deck.slides.length, items.length);
    });

    test('the overview lists the items in the order of the explanations', () => {
        const list = ({ slides }) => [...slides[1].markdown.matchAll(/<code>(\w+)\(\)<\/code>/g)].map(([, name]) => name);
        assert.deepEqual(list(expandText(DIFF)), ['new_namespaces', 'make_mounts_private', 'mount_proc', 'child']);
        const child = /<!-- explain: child [^]*?-->[^]*?-->/.exec(DIFF)[0];
        assert.deepEqual(list(expandText(DIFF.replace(child, '').replace('<!-- explain: new_name', `${child}\n\n$&`))),
            ['child', 'new_namespaces', 'make_mounts_private', 'mount_proc']);
    });

    test('the header comment and #include are shown with the overview, or on one slide', () => {
        const { slides, total } = expandText(DIFF);
        assert.match(slides[1].markdown, /class="row add"[^]*sys\/mount\.h[^]*header の説明。[^]*#include の説明。/);
        assert.equal(slides.filter(({ title }) => /header|#include/.test(title)).length, 0);
        const long = expandText(DIFF.replace('header の説明。', 'header の説明。'.repeat(40)));
        assert.equal(long.slides.filter(({ title }) => /header|#include/.test(title)).length, 1);
        assert.equal(long.total, total);
        const longer = expandText(DIFF.replace('header の説明。', `header の説明。\n\n`.repeat(60)));
        assert.match(messages(longer).join('\n'), /cannot be cut into pages: header, #include|takes \d slides, not one/);
    });

    test('<!-- page --> sends the text to the pages in order', () => {
        const text = DIFF.replace('child の説明。', `初めのページ。\n${NOTE}\n<!-- page -->\n次のページ。`);
        const pages = expandText(text).slides.filter(({ title }) => / child/.test(title));
        assert.deepEqual(pages.map(({ markdown }) => /(初めの|次の)ページ/.exec(markdown)[1]), ['初めの', '次の']);
    });

    test('the clock adds up', () => {
        const deck = expandText(`${TITLE}---\n## a\n<!-- 2.5 分。 -->\n---\n## b\n<!-- 4 分。 -->\n`);
        assert.equal(deck.total, 7.5);
        assert.match(deck.markdown, /ここまで 3\.5 分、全体で 7\.5 分/);
    });

    test('the staircase shows the steps that are done, the one of the deck, and those ahead', () => {
        for (const [deck, wanted] of [['00', [0, 0, 9]], ['01', [0, 1, 8]], ['05', [4, 1, 4]], ['09', [8, 1, 0]]]) {
            const html = stairs(STEPS, deck);
            assert.deepEqual(['done', 'now', 'ahead'].map((state) => html.split(`<g class="${state}">`).length - 1), wanted);
        }
        assert.match(expandText(TITLE).slides[0].markdown, /<g class="now">.*>05<.*>pid-mount</);
    });

    test('a slide that holds little has larger letters', () => {
        const first = (body) => expandText(`${TITLE}---\n## a\n\n${body}\n${NOTE}\n`).slides[1].markdown;
        assert.match(first('- 文\n'.repeat(3)), /_class: airy/);
        assert.match(first('- 文\n'.repeat(7)), /_class: roomy/);
        assert.doesNotMatch(first('- 文\n'.repeat(10)), /_class/);
        assert.match(first('```console\n$ id\n```'), /_class: roomy[^]*class="console s34"/);
        assert.doesNotMatch(first(`\`\`\`console\n${'$ id\n'.repeat(12)}\`\`\``), /_class/);
        assert.match(first(`\`\`\`console\n${'$ id\n'.repeat(11)}\`\`\``), /class="console s30"/);
    });

    describe('half a day', () => {
        const optional = (text) => text.replace(/1 分。/, '1 分 (任意)。');
        const text = DIFF.replace(/<!-- explain: mount_proc[^]*?分[^]*?-->/, optional) +
            '---\n## a\n<!-- 2.5 分 (任意)。 -->\n---\n## b\n<!-- 4 分。 -->\n';
        const source = deckDir(text), day = expand({ deck: '05', source, steps: STEPS });
        const half = expand({ deck: '05', source, steps: STEPS, plan: 'halfday' });
        const titles = ({ slides }) => slides.map(({ title }) => title);

        test('optional slides and items are left out, and the clock is set again', () => {
            assert.deepEqual(titles(day).filter((title) => !titles(half).includes(title)), ['04 → 05 mount_proc', 'a']);
            assert.equal(half.total, day.total - 3.5);
            assert.match(half.markdown, new RegExp(`ここまで ${half.total} 分、全体で ${half.total} 分`));
        });

        test('the overview still names every item', () =>
            assert.equal(half.slides[1].markdown, day.slides[1].markdown));

        test('every slide but the title has one badge', () => {
            const badges = day.markdown.split('\n---\n').slice(2).map((page) =>
                [...page.matchAll(/<div class="badge (\w+)">/g)].map(([, kind]) => kind).join());
            assert.deepEqual(badges, day.slides.slice(1).map((slide) => (slide.optional ? 'optional' : 'required')));
        });

        test('it has a place of its own, and no other plan is known', () => {
            assert.match(readArgs(['05', '--plan', 'halfday']).out, /slides\/build\/halfday$/);
            assert.throws(() => readArgs(['--plan', 'week']), /^Error: unknown plan: week\n {2}ヒント: /);
        });
    });

    test('two columns become one only where that makes the code larger', () => {
        const slide = (line) => expandText(`${TITLE}---\n## a\n\n<div class="columns">\n` +
            `<div>\n\n\`\`\`console\n$ ${line}\n\`\`\`\n\n</div>\n`.repeat(2) + `</div>\n\n${NOTE}\n`).slides[1].markdown;
        assert.match(slide('id -u'), /<div class="columns">/);
        assert.match(slide(`echo ${'x'.repeat(50)}`), /<div class="stack">(?![^]*columns)/);
    });
});

describe('make diff and make tour', () => {
    const numbers = dirs.slice(1).map((name) => name.slice(0, 2));
    const diff = (step, env = {}, ...args) => execFileSync(join(TOP, 'shared/scripts/diff.sh'), [...args, step],
        { encoding: 'utf8', env: { ...process.env, ...env } }).trimEnd().split('\n');
    const deckOf = (deck) => expand({ deck, source: join(TOP, 'slides'), steps: STEPS });
    const itemsIn = (step) => diffItems(...pairs[Number(step) - 1]).items;
    const isHeading = (line) => /^== .* ==$/.test(line);
    const plain = (row) => (row.fold ? ` ⋯ 変わらない ${row.fold} 行` : row.sign + row.text);

    for (const step of numbers)
        test(`${step}: names, counts and their order are those of the overview, rows those of the slides`, () => {
            const wanted = [...deckOf(step).slides.find(({ markdown }) => /overview/.test(markdown)).markdown
                .matchAll(/<li><span.*?<\/span> (.*?)<\/li>/g)]
                .map(([, html]) => html.replace(/<[^>]*>/g, '').replace('−', '-'));
            const lines = diff(step), headings = lines.filter(isHeading).slice(1);
            assert.deepEqual(headings.map((line) => line.replace(/^== | 行 \(FN=.*\)| ==$/g, '')), wanted);
            for (const item of itemsIn(step)) {
                const rows = diff(step, { FN: item.name }).slice(1);
                assert.deepEqual(rows, fold(item.rows).map(plain), item.name);
            }
        });

    test('make diff shows the rows of every function, in one piece', () => {
        const lines = diff('07');
        for (const { name, rows } of itemsIn('07').filter((item) => item.call))
            assert.ok(lines.join('\n').includes(fold(rows).map(plain).join('\n')), name);
    });

    test('make tour has every explanation of the deck, without marks, notes and hashes', () => {
        for (const step of numbers) {
            const text = diff(step, {}, '--tour').join('\n');
            const slides = deckOf(step).slides.filter(({ markdown }) => /class="explain"/.test(markdown));
            for (const { markdown } of slides)
                for (const line of /<div class="explain">([^]*)<\/div>/.exec(markdown)[1].split('\n').filter(Boolean))
                    assert.ok(text.includes(line.replace(/\*\*|`/g, '')), line);
            assert.doesNotMatch(text, /<!--|-->|\*\*|^話すこと|\d 分。/m);
        }
    });
});

describe('the timetables of the opening deck', () => {
    // 手を動かす時間は、話す時間に数えない。まとめには 5 分
    const talks = Object.fromEntries(['00', ...dirs.map((name) => name.slice(0, 2))].map((deck) => [deck,
        expand({ deck, source: join(TOP, 'slides'), steps: STEPS }).slides
            .filter(({ title }) => deck === '00' || !/^(手で|問い|答え|発展課題)/.test(title))
            .reduce((sum, { minutes }) => sum + minutes, 0)]));
    // 半日は、手引きの本編だけ。必須のスライドを話すのも、その時間の中
    const required = Object.fromEntries(dirs.map((name) => name.slice(0, 2)).map((deck) => [deck,
        expand({ deck, source: join(TOP, 'slides'), steps: STEPS, plan: 'halfday' }).total]));
    const cores = Object.fromEntries(dirs.map((name) => [name.slice(0, 2),
        Number(/^\*\*本編 (\d+) 分\*\*/m.exec(readFileSync(join(STEPS, name, 'README.ja.md'), 'utf8'))?.[1])]));
    const clock = (text) => text.split(':').reduce((hours, minutes) => hours * 60 + +minutes, 0);
    const tables = readFileSync(join(TOP, 'slides/00.md'), 'utf8').split(/^## /m).flatMap((text) => {
        const [found, name, start, end] = /^時間割: (.+) \((.+) から (.+)\)$/m.exec(text) ?? [];
        const rows = [...text.matchAll(/^\| (\d+:\d\d) \| (.+?) \|(?: (\d+) 分)? \|(?: (\d+) 分)? \|$/mg)]
            .map(([, from, what, spoken = 0, hands = 0]) => ({ start: from, what, spoken: +spoken, hands: +hands }));
        return found ? [{ text, rows, name, start, end }] : [];
    });

    test('there are two: half a day and a day', () =>
        assert.deepEqual(tables.map(({ name }) => name), ['半日', '1 日']));

    test('what must be told takes 8 to 12 minutes a step, 15 for the last', () => {
        for (const [deck, minutes] of Object.entries(required))
            assert.ok(minutes >= 8 && minutes <= (deck === '09' ? 15 : 12), `${deck}: ${minutes}`);
    });

    for (const { name, text, rows, start, end } of tables) {
        test(`${name}: the minutes are those of the notes and of the guides' cores`, () => {
            for (const { what, spoken, hands } of rows.filter((row) => /\d\d/.test(row.what))) {
                const core = /本編/.test(what);
                const sum = (minutes) => what.match(/\d\d/g).reduce((all, deck) => all + minutes[deck], 0);
                const minutes = sum(core ? required : talks) + (/まとめ/.test(what) ? 5 : 0);
                assert.ok(spoken % 5 === 0 && Math.abs(minutes - spoken) <= 2.5,
                    `${what}: ${spoken} spoken, not ${minutes}`);
                if (core)
                    assert.equal(spoken + hands, sum(cores), what);
            }
        });

        test(`${name}: every step is there once`, () =>
            assert.deepEqual(rows.flatMap(({ what }) => what.match(/\d\d/g) ?? []),
                ['00', ...dirs.map((step) => step.slice(0, 2))]));

        test(`${name}: the clock runs from the first line to the last, with the breaks that it names`, () => {
            assert.equal(rows[0].start, start);
            rows.forEach((row, at) => {
                const over = clock(row.start) + row.spoken + row.hands;
                const next = clock(rows[at + 1]?.start ?? end);
                const time = `${Math.floor(over / 60)}:${String(over % 60).padStart(2, '0')}`;
                assert.ok(next >= over, `${row.what} ends at ${time}`);
                if (next > over)
                    assert.match(text.slice(text.indexOf('休憩')), new RegExp(`${time}.*${next - over} 分`));
            });
        });
    }
});

describe('for the class', { concurrency: false }, () => {
    const url = 'https://example.org/workshop';
    const slide = (kind) => `---\n\n<!-- _class: ${kind} -->\n\n## ${kind}\n\n本文-${kind}\n\n<!-- 1 分。ノート-${kind}。 -->\n`;
    const source = deckDir(`${TITLE}\n${['question', 'answer', 'last'].map(slide).join('\n')}`);
    const made = (file) => join(source, 'build', file);
    const tool = (name, ...args) => spawnSync(process.execPath, [join(TOP, 'slides/tool', name), '--source', source,
        '--steps', STEPS, ...args], { encoding: 'utf8' });
    const textOf = (file) => execFileSync('pdftotext', [made(file), '-'], { encoding: 'utf8' });
    const sheet = readFileSync(join(TOP, 'slides/cheatsheet.md'), 'utf8');
    const buildWith = (text) => {
        writeFileSync(join(source, 'cheatsheet.md'), text);
        return tool('build.mjs', '--url', `${url}.git`);
    };
    let built;
    before(() => { built = buildWith(sheet); });

    test('everything is made, listed, and passes the check', () => {
        assert.equal(built.status, 0, built.stderr);
        for (const file of ['05.handout.pdf', 'answers.pdf', 'cheatsheet.html', 'cheatsheet.pdf'])
            assert.ok(existsSync(made(file)) && readFileSync(made('index.html'), 'utf8').includes(`href="${file}"`), file);
        const { status, stdout, stderr } = tool('check.mjs');
        assert.equal(status, 0, stderr);
        assert.match(stdout, /^cheatsheet {2}1 page {2}ok$/m);
    });

    test('the handout has two slides a page and their notes, but no answers; those are apart', () => {
        const handout = textOf('05.handout.pdf'), answers = textOf('answers.pdf');
        for (const kind of ['question', 'last'])
            assert.match(handout, new RegExp(`本文-${kind}[^]*ノート-${kind}`));
        assert.doesNotMatch(handout, /-answer/);
        assert.match(answers, /本文-question[^]*本文-answer[^]*ノート-answer/);
        assert.doesNotMatch(answers, /-last/);
    });

    test('the cheat sheet has the nine rows of the README, with what Docker does', () => {
        const rows = readFileSync(made('cheatsheet.html'), 'utf8').match(/<tr><td>.*?<\/tr>/g);
        assert.equal(rows.length, dirs.length);
        assert.match(rows[4], /05 PID.*CLONE_NEWPID.*echo \$\$.*docker run/);
    });

    test('a row that is missing, a second page and a handout of another length are found', () => {
        const { status, stderr } = buildWith(sheet.replace(/^\| 05 .*\n/m, ''));
        assert.equal(status, 1);
        assert.match(stderr, /no row for step 05\n {2}ヒント: /);
        buildWith(`${sheet}\n${'長い文。\n\n'.repeat(40)}`);
        cpSync(made('cheatsheet.pdf'), made('05.handout.pdf'));
        writeFileSync(made('cheatsheet.html'), readFileSync(made('cheatsheet.html'), 'utf8').replace('9.5pt', '8pt'));
        const check = tool('check.mjs');
        assert.match(check.stderr, /cheatsheet {2}deck: paper: [2-9] page\(s\), smallest font 8/);
        assert.match(check.stderr, /05 {2}deck: paper: handout has [2-9] pages for 3 slides/);
    });

    test('the code on the title can be scanned', async () => {
        const html = join(work, 'qr.html');
        writeFileSync(html, `<style>svg { width: 96px }</style>${addressBlock(url)}`);
        const { data, width: across, height } = await withBrowser(async (browser) => {
            const { page, load } = await open(browser, html);
            await load();
            const png = (await page.locator('svg').screenshot()).toString('base64');
            return page.evaluate(async (text) => {
                const image = new Image();
                image.src = `data:image/png;base64,${text}`;
                await image.decode();
                const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
                const ink = canvas.getContext('2d');
                ink.drawImage(image, 0, 0);
                return { data: [...ink.getImageData(0, 0, image.width, image.height).data],
                    width: image.width, height: image.height };
            }, png);
        });
        assert.equal(jsQR(Uint8ClampedArray.from(data), across, height)?.data, url);
        assert.match(readFileSync(made('05.html'), 'utf8'), new RegExp(`class="address">.*<span>${url}</span>`));
    });

    test('no path of this machine and no password becomes an address', () => {
        assert.deepEqual(['/work/main', 'file:///work', 'git@example.org:a/b', '', 'https://u:p@example.org/a.git',
            'https://example.org/a/'].map(publicUrl), [null, null, null, null, 'https://example.org/a', 'https://example.org/a']);
        const { status, stderr } = tool('build.mjs', '--url', '/work/main');
        assert.equal(status, 2);
        assert.match(stderr, /^slides: not an address: \/work\/main\n {2}ヒント: /);
    });
});

// 良いデッキ (05) と、わざと悪くしたデッキ (00) を、1 度に作って調べる
describe('build and check', { concurrency: false }, () => {
    const tool = (name, ...args) => spawnSync(process.execPath,
        [join(TOP, 'slides/tool', name), '--source', source, '--steps', steps, ...args], { encoding: 'utf8' });
    const bad = readFileSync(join(TOP, 'slides/tool/test/bad/00.md'), 'utf8');
    const source = deckDir(DIFF), steps = join(work, 'steps');
    const product = (kind, name = '05') => join(source, 'build', `${name}.${kind}`);
    let made, run;
    before(() => {
        for (const dir of dirs.slice(3, 5))
            cpSync(join(STEPS, dir), join(steps, dir), { recursive: true });
        writeFileSync(join(source, '00.md'), bad);
        made = tool('build.mjs');
        run = tool('check.mjs');
    });

    test('HTML, PDF, notes and an index are made', () => {
        assert.equal(made.status, 0, made.stderr);
        const html = readFileSync(product('html'), 'utf8');
        // Marp は「話すこと: …」を設定と思うことがある。ノートは 1 つも失われない
        assert.equal((html.match(/話すこと: ここで話す/g) ?? []).length, 7);
        assert.match(readFileSync(product('notes.txt'), 'utf8'), /全体で \d+ 分、6 枚\n[^]*--- 2\. .*\(3 分\)/);
        assert.match(execFileSync('pdfinfo', [product('pdf')], { encoding: 'utf8' }), /Pages: +6/);
        assert.match(readFileSync(join(source, 'build/index.html'), 'utf8'), /href="05\.html"/);
    });

    test('the presenter view of the file shows the note and asks nobody else', async () => {
        const wrong = [];
        await withBrowser(async (browser) => {
            const page = await browser.newPage();
            page.on('request', (request) => wrong.push(request.url()));
            page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
            await page.goto(`file://${product('html')}`);
            const [presenter] = await Promise.all([page.context().waitForEvent('page'), page.keyboard.press('p')]);
            await presenter.getByText('話すこと: ここで話す').first().waitFor();
            await presenter.keyboard.press('ArrowRight');
            await page.waitForURL(/#2$/);
        });
        assert.deepEqual(wrong.filter((url) => !/^(file|data|blob|about):/.test(url)), []);
    });

    // 見出しは、そのスライドが破る規則の名前
    const headings = slidesOf(partsOf(bad)).map(({ parts }) => parts.find(({ text }) => /^#/.test(text)).text.replace(/^#+ /, ''));
    headings.forEach((rule, at) => {
        const slide = `00  slide ${at + 1}: `;
        if (/^[a-z]+$/.test(rule))
            test(`${rule} is found on slide ${at + 1}`, () => {
                const place = ['network', 'script'].includes(rule) ? '00  deck: ' : slide;
                assert.ok(`\n${run.stderr}`.includes(`\n${place}${rule}: `), run.stderr);
                assert.match(run.stderr, new RegExp(`  ヒント: ${rule}: `));
            });
        else
            test(`nothing is found on slide ${at + 1}`, () => assert.ok(!run.stderr.includes(slide), run.stderr));
    });

    test('a bad deck fails the check, a good one passes', () => {
        assert.equal(run.status, 1);
        assert.match(run.stdout, /^05 {2}6 slides {2}ok\n$/);
    });

    test('a PDF with another number of pages and a font that is not embedded are found', () => {
        cpSync(product('pdf', '00'), product('pdf'));
        const page = readFileSync(product('html'), 'utf8');
        assert.equal(page.match(/@font-face/g).length, 4);
        writeFileSync(product('html'), page.replace(/@font-face \{ font-family: "Noto Sans CJK JP".*\n/g, ''));
        const { status, stderr } = tool('check.mjs', '05');
        assert.equal(status, 1);
        assert.match(stderr, /deck: pages: PDF has \d\d pages, HTML has 6 slides/);
        assert.match(stderr, /slide 1: font: .* \(not embedded\)/);
    });

    test('a changed program fails the build and leaves nothing stale, and what was not built is not called good', () => {
        const main = join(steps, dirs[4], 'main.c');
        writeFileSync(main, readFileSync(main, 'utf8').replace('die("mount /")', 'die("mount root")'));
        const { status, stderr } = tool('build.mjs', '05');
        assert.equal(status, 1);
        assert.match(stderr, /05\.md:\d+: the diff has changed: make_mounts_private is \w{8}, not \w{8}\n {2}ヒント: /);
        for (const kind of ['html', 'pdf', 'notes.txt'])
            assert.ok(!existsSync(product(kind)), kind);
        const check = tool('check.mjs', '05');
        assert.equal(check.status, 2);
        assert.match(check.stderr, /^slides-check: not built: .*05\.html\n {2}ヒント: /);
    });

    test('accept mends it, and a deck that Marp does not understand takes no other with it', () => {
        writeFileSync(join(source, '00.md'), `# 00 a\n${NOTE}\n\n---\n\n<script>\n${NOTE}\n`);
        const { status, stdout, stderr } = tool('build.mjs', '--accept');
        assert.equal(status, 1);
        assert.match(stdout, /1 of \d+ explanations accepted/);
        assert.match(stderr, /^00: marp: 1 notes for 2 slides\n {2}ヒント: /);
        assert.ok(existsSync(product('pdf')) && !existsSync(product('pdf', '00')));
    });

    test('an unknown argument is refused', () => {
        for (const word of ['five', '--five'])
            assert.throws(() => readArgs(['05', word]), /^Error: unknown argument: five\n {2}ヒント: /);
    });
});
