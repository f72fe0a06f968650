// スライドの道具のテスト。動かし方: node --test slides/tool/test/*.test.mjs
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser.mjs';
import { expand } from '../deck.mjs';
import { diffItems, hashOf, itemsOf } from '../diff.mjs';
import { codeBlock, consoleBlock, highlight, inlineSvg } from '../markup.mjs';
import { LADDER, fold, paginate, width } from '../pages.mjs';
import { notesOf, partsOf, slidesOf } from '../source.mjs';

const TOP = fileURLToPath(new URL('../../..', import.meta.url));
const STEPS = join(TOP, 'steps');
const dirs = readdirSync(STEPS).filter((name) => /^0\d-/.test(name)).sort();
const mains = dirs.map((name) => join(STEPS, name, 'main.c'));
const pairs = mains.map((file, at) => [mains[at - 1] ?? null, file]);
const work = mkdtempSync(join(tmpdir(), 'slides-test-'));
after(() => rmSync(work, { recursive: true, force: true }));

const NOTE = '<!-- 1 分。話すこと: ここで話す。 -->';
const TITLE = `# 05 PID とマウントの名前空間を分ける\n\n1 文。\n\n${NOTE}\n`;

// 小さなデッキを 1 つ持つディレクトリー
let serial = 0;
function deckDir(text, name = '05') {
    const source = join(work, `deck${serial++}`);
    mkdirSync(source);
    writeFileSync(join(source, `${name}.md`), text);
    return source;
}

function expandText(text, options = {}) {
    return expand({ deck: '05', source: deckDir(text), steps: STEPS, ...options });
}

const messages = (deck) => deck.errors.map(({ message }) => message);

// 04 から 05 の差分のスライド。どの項目にも、正しい説明がある
function diffDeck(change = (text) => text) {
    const { items } = diffItems(mains[3], mains[4]);
    const explanations = items.map((item) =>
        `<!-- explain: ${item.name} ${hashOf([item])} -->\n${item.name} の説明。\n\n${NOTE}\n`);
    return change(`${TITLE}\n---\n\n<!-- diff: 04 05 -->\n\n${explanations.join('\n')}`);
}

function build(source, ...args) {
    return spawnSync(process.execPath, [join(TOP, 'slides/tool/build.mjs'), '--source', source, ...args],
        { encoding: 'utf8' });
}

describe('diff', () => {
    test('every step adds up to what git counts', () => {
        for (const [before, file] of pairs) {
            const out = spawnSync('git', ['diff', '--no-index', '--histogram', '--numstat',
                before ?? '/dev/null', file], { encoding: 'utf8' }).stdout;
            const [added, deleted] = out.split('\t').map(Number);
            const diff = diffItems(before, file);
            assert.deepEqual([diff.added, diff.deleted], [added, deleted], file);
        }
    });

    test('every changed line is on exactly one item', () => {
        for (const [before, file] of pairs) {
            const shown = diffItems(before, file).items.flatMap((item) => item.rows)
                .filter((row) => row.counted && row.text.trim()).map((row) => row.sign + row.text).sort();
            const out = spawnSync('git', ['diff', '--no-index', '--histogram', '-U0',
                before ?? '/dev/null', file], { encoding: 'utf8' }).stdout;
            const wanted = out.slice(out.indexOf('@@')).split('\n')
                .filter((line) => /^[+-]/.test(line) && line.slice(1).trim()).sort();
            assert.deepEqual(shown, wanted, file);
        }
    });

    test('the items of a program are found by name', () => {
        const names = itemsOf(readFileSync(mains[8], 'utf8')).map((item) => item.name);
        for (const name of ['header', '#include', '#define HOSTNAME', 'controllers', 'groups', 'veth',
            'covers', 'mounts', 'limit_cpu', 'child', 'main'])
            assert.equal(names.filter((one) => one === name).length, 1, name);
        assert.equal(new Set(names).size, names.length);
    });

    test('the items cover every line once, in order', () => {
        for (const file of mains) {
            let next = 0;
            for (const item of itemsOf(readFileSync(file, 'utf8'))) {
                assert.equal(item.start, next, `${file}: ${item.name}`);
                next = item.end;
            }
            assert.equal(next, readFileSync(file, 'utf8').trimEnd().split('\n').length, file);
        }
    });

    test('a deleted function is an item of its own', () => {
        const gone = diffItems(mains[5], mains[6]).items.find((item) => item.name === 'change_root');
        assert.equal(gone.kind, 'gone');
        assert.ok(gone.rows.every((row) => row.sign === '-' || !row.text.trim()));
    });

    test('deletions come before additions', () => {
        for (const [before, file] of pairs)
            for (const { name, rows } of diffItems(before, file).items)
                rows.forEach((row, at) => assert.ok(!(row.sign === '-' && rows[at - 1]?.sign === '+'), name));
    });

    test('braces and quotes in comments and strings do not count', () => {
        const items = itemsOf('/* { */\n\nint a(void)\n{\n    return \'{\' + "}"[0]; /* } */\n}\n\nint b;\n');
        assert.deepEqual(items.map((item) => item.name), ['header', 'a', 'b']);
    });

    test('the hash changes with a changed line, not with a moved one', () => {
        const { items } = diffItems(mains[3], mains[4]);
        const moved = join(work, 'moved'), changed = join(work, 'changed');
        const text = readFileSync(mains[4], 'utf8');
        writeFileSync(moved, text.replace('#define HOSTNAME', '\n\n#define HOSTNAME'));
        writeFileSync(changed, text.replace('die("mount /")', 'die("mount root")'));
        const hash = (file) => hashOf([diffItems(mains[3], file).items
            .find((item) => item.name === 'make_mounts_private')]);
        assert.equal(hash(moved), hashOf([items.find((item) => item.name === 'make_mounts_private')]));
        assert.notEqual(hash(changed), hash(moved));
    });
});

describe('pages', () => {
    const layouts = pairs.flatMap(([before, file]) => diffItems(before, file).items.map((item) => {
        const rows = fold(item.rows);
        return { name: `${file}: ${item.name}`, rows, layout: paginate(rows, (page) => (page ? 500 : 400)) };
    }));

    test('every item of every step can be cut into pages that fit', () => {
        for (const { name, layout } of layouts) {
            assert.ok(layout, name);
            const { row } = LADDER.find(({ px }) => px === layout.px);
            layout.pages.forEach((page, at) => assert.ok(page.length * row <= (at ? 500 : 400), name));
        }
    });

    test('nothing is lost and nothing is shown twice, but the signature', () => {
        const keep = (rows) => rows.filter((row) => !row.again && (row.fold || row.text.trim()));
        for (const { name, rows, layout } of layouts)
            assert.deepEqual(keep(layout.pages.flat()), keep(rows), name);
    });

    test('no page ends in a comment, at a brace, or between a - and its +', () => {
        let cuts = 0;
        for (const { name, layout } of layouts)
            for (let at = 1; at < layout.pages.length; at++) {
                cuts++;
                const last = layout.pages[at - 1].at(-1);
                const first = layout.pages[at].find((row) => !row.again);
                assert.doesNotMatch(last.text, /^\s*(\/\*| \*)|\{$/, name);
                assert.doesNotMatch(first.text, /^\s*(\{$|\})/, name);
                assert.ok(!(last.sign === '-' && first.sign === '+'), name);
            }
        assert.ok(cuts >= 3, 'the programs are too short to test this');
    });

    test('a function that goes on shows its signature again', () => {
        const long = layouts.find(({ name, layout }) => name.endsWith(' main') && layout.pages.length > 1);
        assert.match(long.layout.pages[1][0].text, /^int main/);
        assert.ok(long.layout.pages[1][0].again);
    });

    test('folded rows say how many lines they stand for', () => {
        for (const [before, file] of pairs)
            for (const { name, rows } of diffItems(before, file).items) {
                const lines = fold(rows).reduce((sum, row) => sum + (row.fold ?? 1), 0);
                assert.equal(lines, rows.length, name);
                assert.ok(fold(rows).every((row) => row.fold !== 1));
            }
    });

    test('two lines of context and the signature stay visible', () => {
        const { rows } = diffItems(mains[3], mains[4]).items.find((item) => item.name === 'child');
        const shown = fold(rows);
        const first = shown.findIndex((row) => row.sign === '+');
        assert.ok(shown.some((row) => row.text.startsWith('static _Noreturn void child(')));
        assert.ok([1, 2].every((back) => shown[first - back].sign === ' ' && !shown[first - back].fold));
        assert.ok(shown[first - 3].fold >= 2);
    });

    test('a wide character counts as two columns', () => {
        assert.equal(width('abc'), 3);
        assert.equal(width('門 (gate)…'), 11);
        assert.equal(width('ﾊﾝ'), 2);
    });

    test('what cannot be cut is refused', () => {
        const rows = ['/*', ...Array(30).fill(' * 注釈'), ' */'].map((text) => ({ sign: '+', text }));
        assert.equal(paginate(rows, () => 400), null);
    });
});

describe('source', () => {
    test('--- and <!-- in a fence belong to the fence', () => {
        const slides = slidesOf(partsOf('# a\n---\n```sh\n---\n<!-- no -->\n```\n---\nb\n'));
        assert.equal(slides.length, 3);
        assert.deepEqual(slides[1].parts.map((part) => part.type), ['fence']);
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

    test('what was typed is bold, what came out is not', () => {
        const html = consoleBlock(['$ id -u', '0', '/ # ls', '/tmp # pwd', '# exit', '> more', '^C', 'a $ b'], '', 22);
        assert.equal((html.match(/class="row typed"/g) ?? []).length, 6);
        assert.match(html, /<span class="row">0<\/span>/);
        assert.match(html, /<span class="row">a \$ b<\/span>/);
        assert.match(html, /<span class="prompt">\/tmp # <\/span>pwd/);
    });

    test('a second terminal is named', () => {
        assert.match(consoleBlock(['$ a'], '2', 22), /<figcaption>別の端末<\/figcaption>/);
        assert.match(consoleBlock(['$ a'], '1 running', 22), /^<figure class="console s22"><pre>/);
        assert.match(consoleBlock(['$ a'], 'if=cgroup2', 22), /cgroup v2/);
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
    test('a complete deck has no errors', () => {
        const deck = expandText(diffDeck());
        assert.deepEqual(messages(deck), []);
        assert.equal(deck.slides.length, 2 + diffItems(mains[3], mains[4]).items.length);
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
        ['a change without an explanation', diffDeck((text) => text.replace(/<!-- explain: mount_proc[^]*?分[^]*?-->/, '')),
            /no explanation for mount_proc/],
        ['an explanation without a change', diffDeck((text) => `${text}\n<!-- explain: drop_groups 00000000 -->\nある。\n${NOTE}\n`),
            /explanation without a change: drop_groups/],
        ['the same item twice', diffDeck((text) => `${text}\n<!-- explain: child 00000000 -->\nある。\n${NOTE}\n`),
            /explanation without a change: child/],
        ['a wrong hash', diffDeck((text) => text.replace(/(explain: child )\w+/, '$100000000')), /the diff has changed: child/],
        ['a missing hash', diffDeck((text) => text.replace(/(explain: child) \w+/, '$1')), /explanation without a hash: child/],
        ['an empty explanation', diffDeck((text) => text.replace('child の説明。', '')), /empty explanation: child/],
    ];
    for (const [name, text, message] of refused)
        test(`${name} is refused`, () => {
            const deck = expandText(text);
            assert.ok(messages(deck).some((one) => message.test(one)), messages(deck).join('\n'));
            for (const { line, hint } of deck.errors)
                assert.ok(line >= 1 && hint.length > 0);
        });

    test('the stub that is printed can be pasted, but not left as it is', () => {
        const cut = diffDeck((text) => text.replace(/<!-- explain: mount_proc[^]*?分[^]*?-->/, ''));
        const { extra } = expandText(cut).errors[0];
        assert.deepEqual(messages(expandText(cut + extra)), ['empty explanation: mount_proc']);
        assert.deepEqual(messages(expandText(cut + extra.replace(/ここに.*/, '新しい /proc を重ねます。'))), []);
    });

    test('several items can share a slide and a hash', () => {
        const { items } = diffItems(mains[3], mains[4]);
        const pair = items.slice(0, 2);
        const text = diffDeck((all) => all.replace(/<!-- explain: header[^]*?分[^]*?-->/, '')
            .replace(/<!-- explain: #include \w+/, `<!-- explain: header, #include ${hashOf(pair)}`));
        const deck = expandText(text);
        assert.deepEqual(messages(deck), []);
        assert.equal(deck.slides.length, 1 + items.length);
    });

    test('<!-- page --> sends the text to the pages in order', () => {
        const text = diffDeck((all) => all.replace('child の説明。', `初めのページ。\n${NOTE}\n<!-- page -->\n次のページ。`));
        const pages = expandText(text).slides.filter((slide) => / child/.test(slide.title));
        assert.equal(pages.length, 2);
        assert.match(pages[0].markdown, /初めのページ/);
        assert.match(pages[1].markdown, /次のページ/);
    });

    test('the clock adds up', () => {
        const deck = expandText(`${TITLE}---\n## a\n<!-- 2.5 分。 -->\n---\n## b\n<!-- 4 分。 -->\n`);
        assert.equal(deck.total, 7.5);
        assert.match(deck.markdown, /ここまで 3\.5 分、全体で 7\.5 分/);
    });
});

describe('layout', () => {
    const columns = (line) => ['right', 'wrong'].map((name) =>
        `<div class="${name}">\n\n\`\`\`console\n$ ${line}\n\`\`\`\n\n</div>\n`).join('');
    const slide = (line) => expandText(
        `${TITLE}---\n## a\n\n<div class="columns">\n${columns(line)}</div>\n\n${NOTE}\n`).slides[1].markdown;

    test('two columns stay where the code is as large as in one', () => {
        assert.match(slide('id -u'), /<div class="columns">/);
    });

    test('two columns become one where that makes the code larger', () => {
        const markdown = slide(`echo ${'x'.repeat(50)}`);
        assert.match(markdown, /<div class="stack">/);
        assert.doesNotMatch(markdown, /columns/);
    });
});

describe('the timetables of the opening deck', () => {
    const HANDS_ON = /^(手で|問い|答え|発展課題)/;
    const SUMMARY = 5;
    const talk = (deck) => expand({ deck, source: join(TOP, 'slides'), steps: STEPS }).slides
        .filter(({ title }) => deck === '00' || !HANDS_ON.test(title))
        .reduce((sum, { minutes }) => sum + minutes, 0);
    const clock = (text) => text.split(':').reduce((hours, minutes) => hours * 60 + +minutes, 0);
    const tables = readFileSync(join(TOP, 'slides/00.md'), 'utf8').split(/^## /m)
        .flatMap((text) => {
            const found = /^時間割: (.+) \((.+) から (.+)\)$/m.exec(text);
            const rows = [...text.matchAll(/^\| (\d+:\d\d) \| (.+?) \| (\d+) 分 \|(?: (\d+) 分)? \|$/mg)]
                .map(([, start, what, spoken, hands]) => ({ start, what, spoken: +spoken, hands: +(hands ?? 0) }));
            return found ? [{ text, rows, name: found[1], start: found[2], end: found[3] }] : [];
        });

    test('there are two: half a day and a day', () => {
        assert.deepEqual(tables.map(({ name }) => name), ['半日', '1 日']);
    });

    for (const { name, text, rows, start, end } of tables) {
        test(`${name}: the minutes are those of the notes`, () => {
            for (const { what, spoken } of rows.filter((row) => /\d\d/.test(row.what) && !/見せる/.test(row.what))) {
                const minutes = what.match(/\d\d/g).reduce((sum, deck) => sum + talk(deck), 0) +
                    (/まとめ/.test(what) ? SUMMARY : 0);
                assert.ok(Math.abs(minutes - spoken) <= 2.5, `${what}: ${spoken}, not ${minutes}`);
            }
        });

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

describe('build', { concurrency: false }, () => {
    const steps = join(work, 'steps');
    let source;
    const product = (kind) => join(source, 'build', `05.${kind}`);
    before(() => {
        for (const dir of dirs.slice(3, 5))
            cpSync(join(STEPS, dir), join(steps, dir), { recursive: true });
        source = deckDir(diffDeck());
    });
    const make = (...args) => build(source, '--steps', steps, ...args);

    test('HTML, PDF, notes and an index are made', () => {
        const run = make();
        assert.equal(run.status, 0, run.stderr);
        const html = readFileSync(product('html'), 'utf8');
        // Marp は「話すこと: …」を設定と思うことがある。ノートは 1 つも失われない
        assert.equal((html.match(/話すこと: ここで話す/g) ?? []).length, 7);
        assert.match(readFileSync(product('notes.txt'), 'utf8'), /全体で \d+ 分、8 枚\n[^]*--- 2\. .*\(1 分\)/);
        assert.match(execFileSync('pdfinfo', [product('pdf')], { encoding: 'utf8' }), /Pages: +8/);
        assert.match(readFileSync(join(source, 'build/index.html'), 'utf8'), /href="05\.html"/);
    });

    test('what has not changed is not built again', () => {
        const time = statSync(product('html')).mtimeMs;
        assert.match(make().stdout, /up to date/);
        assert.equal(statSync(product('html')).mtimeMs, time);
    });

    test('a changed program fails the build and leaves nothing stale; accept mends it', () => {
        const main = join(steps, dirs[4], 'main.c');
        writeFileSync(main, readFileSync(main, 'utf8').replace('die("mount /")', 'die("mount root")'));
        const run = make();
        assert.equal(run.status, 1);
        assert.match(run.stderr, /05\.md:\d+: the diff has changed: make_mounts_private is \w{8}, not \w{8}\n {2}ヒント: /);
        for (const kind of ['html', 'pdf', 'notes.txt'])
            assert.ok(!existsSync(product(kind)), kind);
        assert.match(make('--accept').stdout, /1 of \d+ explanations accepted/);
        assert.ok(existsSync(product('pdf')));
    });

    test('an unknown argument is refused', () => {
        const run = build(source, 'five');
        assert.equal(run.status, 2);
        assert.match(run.stderr, /^slides: unknown argument: five\n {2}ヒント: /);
    });
});

describe('check', { concurrency: false }, () => {
    const out = join(work, 'bad');
    const bad = join(TOP, 'slides/tool/test/bad');
    const check = () => spawnSync(process.execPath,
        [join(TOP, 'slides/tool/check.mjs'), '--source', bad, '--out', out], { encoding: 'utf8' });
    let run;
    before(() => {
        const made = build(bad, '--out', out);
        assert.equal(made.status, 0, made.stderr);
        run = check();
    });

    // 見出しは、そのスライドが破る規則の名前
    const headings = slidesOf(partsOf(readFileSync(join(bad, '00.md'), 'utf8')))
        .map((slide) => slide.parts.find((part) => /^#/.test(part.text))?.text.replace(/^#+ /, ''));
    headings.forEach((rule, at) => {
        const slide = `00  slide ${at + 1}: `;
        if (/^[a-z]+$/.test(rule))
            test(`${rule} is found on slide ${at + 1}`, () => {
                const place = ['network', 'script'].includes(rule) ? '00  deck: ' : slide;
                assert.ok(run.stderr.includes(`\n${place}${rule}: `) || run.stderr.startsWith(`${place}${rule}: `), run.stderr);
            });
        else
            test(`nothing is found on slide ${at + 1}`, () => assert.ok(!run.stderr.includes(slide), run.stderr));
    });

    test('the check fails, and every rule has a hint', () => {
        assert.equal(run.status, 1);
        for (const rule of new Set(headings.filter((name) => /^[a-z]+$/.test(name))))
            assert.match(run.stderr, new RegExp(`  ヒント: ${rule}: `));
    });

    test('a PDF with another number of pages is found', () => {
        const other = deckDir(`# 00 一枚\n${NOTE}\n`, '00');
        assert.equal(build(other).status, 0);
        cpSync(join(other, 'build/00.pdf'), join(out, '00.pdf'));
        assert.match(check().stderr, /deck: pages: PDF has 1 pages, HTML has \d\d slides/);
    });

    test('a good deck passes', () => {
        const good = deckDir(diffDeck());
        assert.equal(build(good).status, 0);
        const result = spawnSync(process.execPath, [join(TOP, 'slides/tool/check.mjs'), '--source', good], { encoding: 'utf8' });
        assert.equal(result.stderr, '');
        assert.match(result.stdout, /^05 {2}8 slides {2}ok\n$/);
    });

    test('a font that is not embedded is found', () => {
        const plain = deckDir(TITLE);
        assert.equal(build(plain).status, 0);
        const html = join(plain, 'build/05.html');
        const page = readFileSync(html, 'utf8');
        assert.equal(page.match(/@font-face/g).length, 4);
        writeFileSync(html, page.replace(/@font-face \{ font-family: "Noto Sans CJK JP".*\n/g, ''));
        const result = spawnSync(process.execPath, [join(TOP, 'slides/tool/check.mjs'), '--source', plain], { encoding: 'utf8' });
        assert.equal(result.status, 1);
        assert.match(result.stderr, /slide 1: font: .* \(not embedded\)/);
    });

    test('a deck that was not built is not called good', () => {
        const result = spawnSync(process.execPath,
            [join(TOP, 'slides/tool/check.mjs'), '--source', deckDir(TITLE)], { encoding: 'utf8' });
        assert.equal(result.status, 2);
        assert.match(result.stderr, /^slides-check: not built: .*05\.html\n {2}ヒント: /);
    });
});

describe('present', { concurrency: false }, () => {
    let server, url;
    const source = deckDir(TITLE);
    before(async () => {
        server = spawn(process.execPath, [join(TOP, 'slides/tool/present.mjs'), '--source', source, '05']);
        url = await new Promise((done, failed) => {
            server.stdout.on('data', (data) => done(/http:\S+/.exec(data)?.[0]));
            server.on('exit', () => failed(new Error('present.mjs ended')));
        });
    });
    after(() => server.kill());

    test('it listens on this machine only', () => {
        assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/05\.html$/);
        const port = new URL(url).port;
        const table = readFileSync('/proc/net/tcp', 'utf8') + readFileSync('/proc/net/tcp6', 'utf8');
        const hex = Number(port).toString(16).toUpperCase().padStart(4, '0');
        const listening = table.split('\n').map((line) => line.trim().split(/\s+/))
            .filter(([, local, , state]) => state === '0A' && local.endsWith(`:${hex}`)).map(([, local]) => local);
        assert.deepEqual(listening, [`0100007F:${hex}`]);
    });

    test('the presenter view shows the note and asks nobody else', async () => {
        const browser = await launch();
        try {
            const page = await browser.newPage();
            const wrong = [];
            page.on('request', (request) => {
                if (!request.url().startsWith(new URL(url).origin) && !/^(data|blob|about):/.test(request.url()))
                    wrong.push(request.url());
            });
            page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
            await page.goto(`${url}?view=presenter`);
            await page.getByText('話すこと: ここで話す').first().waitFor();
            assert.deepEqual(wrong, []);
        } finally {
            await browser.close();
        }
    });

    test('a changed deck is built again on reload; a broken one is not shown', async () => {
        writeFileSync(join(source, '05.md'), `${TITLE}---\n## 足したスライド\n${NOTE}\n`);
        assert.match(await (await fetch(url)).text(), /足したスライド/);
        writeFileSync(join(source, '05.md'), `${TITLE}---\n## ノートのないスライド\n`);
        assert.equal((await fetch(url)).status, 500);
    });

    test('nothing but the decks is served', async () => {
        for (const path of ['/05.md', '/..%2f05.md', '/05.json', '/etc/passwd'])
            assert.equal((await fetch(new URL(path, url))).status, 404, path);
    });
});
