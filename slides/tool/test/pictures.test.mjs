// check-pictures.mjs の規則が、どれも本当に失敗することを確かめる。
//   node --test slides/tool/test/pictures.test.mjs
// 良い図を 1 か所だけ壊したものを、規則ごとに作る。
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { allPictures, checkPictures } from '../check-pictures.mjs';

const GOOD = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1160 520" ` +
    `font-family="'Noto Sans CJK JP', 'Noto Sans JP', 'Hiragino Sans', 'Yu Gothic', sans-serif" font-size="20">
  <title>見本</title>
  <rect width="1160" height="520" fill="#ffffff"/>
  <rect x="20" y="20" width="300" height="60" fill="#e8f0fe" stroke="#1a56b0"/>
  <text x="36" y="57" fill="#123f82">枠の中の文字 sample</text>
  <path d="M20 200 H300" stroke="#5b6770" fill="none"/>
</svg>
`;

const add = (element) => GOOD.replace('</svg>', `${element}\n</svg>`);
const addText = (attributes, content = '文字') => add(`<text ${attributes}>${content}</text>`);

// [規則, 壊した図]。規則は、出るはずの行の最初の語
const BAD = {
    'no viewBox': ['size', GOOD.replace('viewBox', 'data-box')],
    'a width on the root': ['size', GOOD.replace('viewBox', 'width="1160" viewBox')],
    'no title': ['title', GOOD.replace(/<title>.*\n/, '')],
    'an empty title': ['title', GOOD.replace('見本', '')],
    'another font family': ['font', GOOD.replace("'Noto Sans JP'", 'serif')],
    'a font of its own': ['font', addText('x="40" y="300" font-family="Noto Serif CJK JP"')],
    'a glyph that the fonts lack': ['character', addText('x="40" y="300"', '\u{1F980}')],
    'full-width digits': ['character', addText('x="40" y="300"', '１０')],
    'a script': ['element', add('<script>1</script>')],
    'a style element': ['element', add('<style>rect { fill: red }</style>')],
    'an embedded image': ['element', add('<image width="9" height="9"/>')],
    'HTML inside': ['element', add('<foreignObject width="9" height="9"/>')],
    'an event handler': ['attribute', add('<g onclick="1"/>')],
    'a style attribute': ['attribute', add('<g style="fill: red"/>')],
    'a class': ['attribute', add('<g class="wrong"/>')],
    'opacity': ['attribute', add('<g opacity="0.5"/>')],
    'an external reference': ['reference', add('<g fill="url(http://127.0.0.1/a#b)"/>')],
    'a reference to nothing': ['reference', add('<g fill="url(#none)"/>')],
    'a reference to an id that is there twice': ['reference', add('<g id="a"/><g id="a" fill="url(#a)"/>')],
    'text of 15 px': ['small', addText('x="40" y="300" font-size="15"')],
    'a view box so large that text shrinks': ['small', GOOD.replace('0 0 1160 520', '0 0 1600 520')],
    'text that leaves the view box': ['outside', addText('x="1130" y="300"')],
    'text that leaves its box': ['edge', GOOD.replace('sample', 'sample sample sample')],
    'text that fits only in a narrow font': ['edge', GOOD.replace('枠の中の文字 sample', 'w'.repeat(16))],
    'text on a line': ['edge', addText('x="40" y="205"')],
    'text that leaves the view box in a wide font': ['outside', addText('x="990" y="300"', 'w'.repeat(10))],
    'text that meets another in a wide font': ['overlap',
        addText('x="40" y="300"', `${'w'.repeat(10)}</text><text x="208" y="300">文字`)],
    'text on text': ['overlap', addText('x="40" y="60"')],
    'two lines too close': ['overlap', addText('x="40" y="300"', '上<tspan x="40" dy="15">下</tspan>')],
    'pale text': ['contrast', addText('x="40" y="300" fill="#888888"')],
    'text hidden by a box that is drawn later': ['cover', add('<rect width="320" height="80" fill="#fff"/>')],
    'text on nothing': ['ground', GOOD
        .replace(/<rect width.*\n/, '').replace('<rect x="20"', '<rect x="620"')],
    'no text at all': ['text', GOOD.replace(/<text.*\n/, '')],
};

let dir, found;

// ブラウザーを立ち上げ直すと遅いので、まとめて調べる
before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'pictures-'));
    const files = [GOOD, ...Object.values(BAD).map(([, svg]) => svg)].map((svg, at) => {
        const file = join(dir, `${at}.svg`);
        writeFileSync(file, svg);
        return file;
    });
    found = (await checkPictures(files)).map((result) => result.found);
});

after(() => rmSync(dir, { recursive: true }));

test('a good picture has no problems', () => assert.deepEqual(found[0], []));

Object.entries(BAD).forEach(([what, [rule]], at) =>
    test(`${what}: ${rule}`, () =>
        assert.ok(found[at + 1].some((one) => one.rule === rule), JSON.stringify(found[at + 1]))));

test('a picture that cannot be measured is refused alone, too', async () =>
    assert.equal((await checkPictures([join(dir, '1.svg')]))[0].found[0].rule, 'size'));

test('all pictures of the slides are looked at', () => {
    const names = allPictures().map((file) => basename(file));
    assert.ok(names.includes('container.svg'));
    assert.ok(names.length >= 18, names.join(' '));
});
