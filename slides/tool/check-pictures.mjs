// 手で描いた図 (SVG) を、本物のブラウザーで測って調べる。
//   node slides/tool/check-pictures.mjs [ファイル.svg ...]
// 省略すると slides/pictures/*.svg。
//
// 図はスライドの HTML に直に埋め込まれ、README では 1 枚の画像になる。README を
// 読む人のマシンに、ここと同じフォントはない。だから、英数字の幅が広いフォント
// でも枠に収まることまで調べる。
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from './browser.mjs';
import { FAMILIES } from './fonts.mjs';

const SELF = fileURLToPath(import.meta.url);

const RULES = {
    // スライドの上での大きさ。図はこの中に収まるまで拡大される
    width: 1160,
    height: 520,
    fontSize: 16,
    contrast: 4.5,
    gap: 3, // 文字と線のあいだ [px]
    // 英数字がこれだけ広いフォントでも収まること
    wider: { sans: 0.1, mono: 0.2 },
    family:
        "'Noto Sans CJK JP', 'Noto Sans JP', 'Hiragino Sans', " +
        "'Yu Gothic', sans-serif",
    fonts: FAMILIES,
    // どのフォントにもない字は、四角になる。絵文字や全角の英数字も、ここで断る
    characters: '[ -~÷×←→…、-ヿ一-鿿]',
    shapes: 'rect, circle, ellipse, line, path, polyline, polygon',
    elements: [
        'svg', 'title', 'desc', 'defs', 'g', 'marker', 'text', 'tspan',
        'rect', 'circle', 'ellipse', 'line', 'path', 'polyline', 'polygon',
    ],
    // class は、埋め込んだページの CSS に色を変えられる。opacity があると、文字
    // の後ろの色が決まらない
    attributes: [
        'style', 'class', 'href', 'xlink:href', 'opacity', 'fill-opacity',
        'stroke-opacity', 'filter', 'clip-path', 'mask',
    ],
};

// --- ブラウザーの中で動く関数 ----------------------------------------------
// 文字列にして渡すので、使えるのは引数と、BROWSER に並べた関数だけ

/* SVG としての形。読めなければ、測るところまで進めない */
function inspect({ source, name, rules }) {
    const tree = new DOMParser().parseFromString(source, 'image/svg+xml');
    const root = tree.documentElement;
    if (tree.querySelector('parsererror') || root.localName !== 'svg')
        return { problems: [`xml: ${root.textContent.trim()}`], ids: [] };

    const all = [root, ...root.querySelectorAll('*')];
    const ids = all.map((element) => element.id).filter(Boolean);
    const problems = inspectRoot(root, rules);
    for (const id of ids)
        if (!id.startsWith(`${name}-`))
            problems.push(`id: "${id}" must begin with "${name}-"`);
    for (const element of all)
        problems.push(...inspectElement(element, name, rules));
    return { problems, ids };
}

function inspectRoot(root, rules) {
    const problems = [];
    if (!root.viewBox.baseVal?.width)
        problems.push('size: the root has no viewBox');
    for (const size of ['width', 'height'])
        if (root.hasAttribute(size))
            problems.push(`size: the root has a ${size}; use viewBox only`);
    const first = root.firstElementChild;
    if (first?.localName !== 'title' || !first.textContent.trim())
        problems.push('title: the first element is not a <title> with text');
    if (root.getAttribute('font-family') !== rules.family)
        problems.push('font: the root does not have the common font-family');
    return problems;
}

function inspectElement(element, name, rules) {
    const problems = [];
    const tag = element.tagName;
    if (!rules.elements.includes(tag))
        problems.push(`element: <${tag}> is not allowed`);
    for (const { name: key, value } of element.attributes) {
        if (rules.attributes.includes(key) || key.startsWith('on'))
            problems.push(`attribute: ${key} on <${tag}>`);
        if (/url\(/.test(value) && !value.startsWith(`url(#${name}-`))
            problems.push(`reference: ${key}="${value}" on <${tag}>`);
    }
    return problems;
}

function toScreen(element, x, y) {
    return new DOMPoint(x, y).matrixTransform(element.getScreenCTM());
}

/* 同じ書式の続き。extra は、英数字の広いフォントで増える幅 */
function measureRun(node, scale, wider) {
    const parent = node.parentElement;
    const style = getComputedStyle(parent);
    const size = parseFloat(style.fontSize) * scale;
    const range = document.createRange();
    range.selectNodeContents(node);
    const { left, right, width } = range.getBoundingClientRect();
    const start = parent.getStartPositionOfChar(0);
    const full = [...node.data].filter((c) => c.charCodeAt(0) >= 0x2e80).length;
    const mono = style.fontFamily.includes('Mono');
    return {
        text: node.data,
        left,
        right,
        size,
        baseline: toScreen(parent, start.x, start.y).y,
        fill: style.fill,
        extra: Math.max(0, width - full * size) * wider[mono ? 'mono' : 'sans'],
    };
}

/* 行の枠。フォントの高さでなく、字のある高さにする */
function lineOf(text, runs) {
    const anchor = getComputedStyle(text).textAnchor;
    const extra = runs.reduce((sum, run) => sum + run.extra, 0);
    const toLeft = { start: 0, middle: 0.5, end: 1 }[anchor];
    const sizes = runs.map((run) => run.size);
    return {
        element: text,
        runs,
        text: runs.map((run) => run.text).join('').trim(),
        size: Math.min(...sizes),
        left: Math.min(...runs.map((run) => run.left)) - extra * toLeft,
        right: Math.max(...runs.map((run) => run.right)) + extra * (1 - toLeft),
        top: runs[0].baseline - Math.max(...sizes) * 0.86,
        bottom: runs[0].baseline + Math.max(...sizes) * 0.2,
    };
}

/* 1 つの <text> を、同じ高さの行に分ける */
function linesOf(text, scale, wider) {
    const lines = new Map();
    const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        if (!walker.currentNode.data.trim()) continue;
        const run = measureRun(walker.currentNode, scale, wider);
        const key = Math.round(run.baseline);
        lines.set(key, [...(lines.get(key) ?? []), run]);
    }
    return [...lines.values()].map((runs) => lineOf(text, runs));
}

/* 図形の輪郭を、画面の上の点の列にする */
function shapeOf(element, scale) {
    const style = getComputedStyle(element);
    const matrix = element.getScreenCTM();
    const inverse = matrix.inverse();
    const length = element.getTotalLength();
    const points = [];
    for (let at = 0; at <= length; at += 2)
        points.push(element.getPointAtLength(at).matrixTransform(matrix));
    return {
        element,
        points,
        name: `<${element.localName}>`,
        fill: style.fill,
        halfStroke: style.stroke === 'none' ? 0
            : parseFloat(style.strokeWidth) * scale / 2,
        holds: (x, y) => style.fill !== 'none' && element.isPointInFill(
            new DOMPoint(x, y).matrixTransform(inverse)),
    };
}

/* コントラスト比は WCAG 2 の式 */
function contrastOf(colors) {
    const [dark, light] = colors.map((color) => {
        const [r, g, b] = color.match(/[\d.]+/g).map((text) => {
            const value = text / 255;
            return value <= 0.03928 ? value / 12.92
                : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    }).sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
}

/* 文字の後ろに見える図形。あとから描いたもので隠れていれば、それも言う */
function groundOf(line, shapes, report) {
    const x = (line.left + line.right) / 2;
    const y = (line.top + line.bottom) / 2;
    const here = shapes.filter((shape) => shape.holds(x, y));
    const isEarlier = ({ element }) =>
        line.element.compareDocumentPosition(element) &
        Node.DOCUMENT_POSITION_PRECEDING;
    const ground = here.findLast(isEarlier);
    if (here.at(-1) !== ground)
        report('cover', line, `hidden by a later ${here.at(-1).name}`);
    if (!ground)
        report('ground', line, 'nothing is painted behind it');
    return ground;
}

function checkContrast(line, ground, rules, report) {
    for (const { fill } of line.runs) {
        const colors = [fill, ground.fill];
        if (!colors.every((color) => /^rgb\(/.test(color)))
            report('contrast', line, `cannot compare ${colors.join(' and ')}`);
        else if (contrastOf(colors) < rules.contrast)
            report('contrast', line, `${contrastOf(colors).toFixed(2)} : 1`);
    }
}

/* 後ろの図形より先に描いた線は、隠れて見えない。後ろの図形の輪郭に触れるなら、
 * 文字がはみ出している */
function checkEdges(line, ground, shapes, rules, report) {
    for (const shape of shapes.slice(Math.max(0, shapes.indexOf(ground)))) {
        const gap = rules.gap + shape.halfStroke;
        if (shape.points.some(({ x, y }) =>
            x > line.left - gap && x < line.right + gap &&
            y > line.top - gap && y < line.bottom + gap))
            report('edge', line, `touches or leaves a ${shape.name}`);
    }
}

function overlap(a, b) {
    return a.left < b.right && b.left < a.right &&
        a.top < b.bottom && b.top < a.bottom;
}

/* 置いてある図を測り、見つけた問題を返す */
function measure(rules) {
    const svg = document.querySelector('svg');
    const frame = svg.getBoundingClientRect();
    const scale = frame.width / svg.viewBox.baseVal.width;
    const lines = [...svg.querySelectorAll('text')]
        .flatMap((text) => linesOf(text, scale, rules.wider));
    const shapes = [...svg.querySelectorAll(rules.shapes)]
        .filter((element) => !element.closest('defs'))
        .map((element) => shapeOf(element, scale));
    const problems = lines.length > 0 ? [] : ['text: there is none'];
    const report = (rule, line, more) =>
        problems.push(`${rule}: ${more}: "${line.text}"`);

    const allowed = new RegExp(`^${rules.characters}*$`);
    lines.forEach((line, index) => {
        if (!allowed.test(line.text))
            report('character', line, 'outside of RULES.characters');
        if (line.size < rules.fontSize)
            report('small', line, `${line.size.toFixed(1)} px`);
        if (line.left < frame.left || line.right > frame.right ||
            line.top < frame.top || line.bottom > frame.bottom)
            report('outside', line, 'leaves the view box');
        const ground = groundOf(line, shapes, report);
        if (ground) checkContrast(line, ground, rules, report);
        checkEdges(line, ground, shapes, rules, report);
        for (const other of lines.slice(index + 1))
            if (overlap(line, other))
                report('overlap', line, `overlaps "${other.text}"`);
    });
    return problems;
}

const BROWSER = [
    inspect, inspectRoot, inspectElement, toScreen, measureRun, lineOf, linesOf,
    shapeOf, contrastOf, groundOf, checkContrast, checkEdges, overlap, measure,
];

// --- Node の側 -------------------------------------------------------------

/* 文字がなければ別のフォントで補われる。本当に使われたものを聞く */
async function foreignFonts(page) {
    const client = await page.context().newCDPSession(page);
    await client.send('DOM.enable');
    await client.send('CSS.enable');
    const { root } = await client.send('DOM.getDocument');
    const { nodeIds } = await client.send('DOM.querySelectorAll',
        { nodeId: root.nodeId, selector: 'text, tspan' });
    const answers = await Promise.all(nodeIds.map((nodeId) =>
        client.send('CSS.getPlatformFontsForNode', { nodeId })));
    await client.detach();
    const used = answers.flatMap(({ fonts }) => fonts.map((f) => f.familyName));
    return [...new Set(used)].filter((font) => !RULES.fonts.includes(font));
}

async function show(page, body) {
    await page.setContent(`<!doctype html><body style="margin:0">${body}`);
    await page.addScriptTag({ content: BROWSER.map(String).join('\n') });
}

async function checkPicture(page, file, seen) {
    const name = basename(file, '.svg');
    const source = readFileSync(file, 'utf8');
    await show(page, '');
    const { problems, ids } = await page.evaluate((args) => inspect(args),
        { source, name, rules: RULES });
    for (const id of ids) {
        if (seen.has(id))
            problems.push(`id: "${id}" is also in ${seen.get(id)}`);
        seen.set(id, basename(file));
    }
    if (problems.length > 0) return problems;

    // スライドと同じように、HTML に直に埋め込む
    const box = /viewBox="([^"]*)"/.exec(source)[1];
    const [, , width, height] = box.split(/[\s,]+/);
    const shown = Math.min(RULES.width, RULES.height * width / height);
    await show(page, `<div style="width:${shown}px">${source}</div>`);
    problems.push(...await page.evaluate((rules) => measure(rules), RULES));
    for (const font of await foreignFonts(page))
        problems.push(`font: a glyph comes from "${font}"`);
    return problems;
}

/* ファイルごとの問題の一覧を返す */
export async function checkPictures(files) {
    const browser = await launch();
    try {
        const page = await browser.newPage();
        const requests = [];
        page.on('request', (request) => requests.push(request.url()));
        const seen = new Map();
        const results = [];
        for (const file of files) {
            const problems = await checkPicture(page, file, seen);
            for (const url of requests.splice(0))
                problems.push(`request: ${url}`);
            results.push({ file, problems });
        }
        return results;
    } finally {
        await browser.close();
    }
}

export function allPictures() {
    const dir = join(SELF, '../../pictures');
    return [
        ...readdirSync(dir).filter((file) => /(?<!cpu-chart)\.svg$/.test(file)).sort()
            .map((file) => join(dir, file)),
    ];
}

async function main(args) {
    const results = await checkPictures(args.length > 0 ? args : allPictures());
    for (const { file, problems } of results) {
        if (problems.length === 0) console.log(`  ok    ${basename(file)}`);
        for (const problem of problems)
            console.log(`  FAIL  ${basename(file)}: ${problem}`);
    }
    const bad = results.filter(({ problems }) => problems.length > 0).length;
    if (bad > 0) {
        console.error(`check-pictures: ${bad} picture(s) failed\n` +
            '  ヒント: 規則は slides/tool/check-pictures.mjs の RULES にあります');
        process.exitCode = 1;
    }
}

if (process.argv[1] && resolve(process.argv[1]) === SELF)
    await main(process.argv.slice(2));
