// 端末の囲みを、外 (ホスト) とコンテナの中の箱に分けて、HTML にする
import { escape } from './markup.mjs';
import { isConsole, terminalOf } from './sides.mjs';

const NAMES = { out: '外', in: 'コンテナの中' };
const PROMPT = /^((?:\/\S* )?[$#>] |(?:\/\S* )?[$#]$)(.*)$/;
const LIMIT = 3; // 1 枚の箱の数: 打つ、外から見る、戻る
// 箱の名前、余白、間隔と、囲みの下の余白 (px)。theme.css と同じにする
const LABEL = 26, PADDING = 16, GAP = 8, MARGIN = 18, INDENT = 64;

const isColumns = ({ type, text }) => type === 'text' && /class="columns"/.test(text);
const isTyped = (line) => PROMPT.test(line) || /^\^[A-Z]$/.test(line);

// 続いて同じ側にある行を、1 つの箱にする
function panesOf({ lines, sides = [], looks = new Set() }) {
    const panes = [];
    lines.forEach((text, at) => {
        const side = sides[at] ?? 'out';
        if (panes.at(-1)?.side !== side)
            panes.push({ side, rows: [] });
        panes.at(-1).rows.push({ text, look: looks.has(at) });
    });
    return panes;
}

// コードの行のほかに要る高さと、列でないときに要る幅
export function consoleSpace(fence) {
    const count = panesOf(fence).length;
    return { height: count * (LABEL + PADDING) + (count - 1) * GAP + MARGIN, width: INDENT };
}

function rowOf({ text, look }) {
    const typed = PROMPT.exec(text);
    const html = typed ? `<span class="prompt">${escape(typed[1])}</span>${escape(typed[2])}` : escape(text);
    const names = ['row', ...isTyped(text) ? ['typed'] : [], ...look ? ['look'] : []];
    return `<span class="${names.join(' ')}">${html || ' '}</span>`;
}

export function consoleBlock(fence, px) {
    const version = /if=cgroup([12])/.exec(fence.info)?.[1];
    const words = [fence.named && `端末 ${terminalOf(fence.info)}`, version && `cgroup v${version} のマシンで`];
    const panes = panesOf(fence).map(({ side, rows }) => `<div class="pane ${side}">` +
        `<figcaption>${[NAMES[side], ...words].filter(Boolean).join('・')}</figcaption>` +
        `<pre><code>${rows.map(rowOf).join('')}</code></pre></div>`);
    return `<figure class="console s${px}">${panes.join('')}</figure>`;
}

// <!-- look: 語 --> を、次の端末の、その語のある行に付ける
function findLooks(parts, report) {
    let wanted = [];
    const missing = ({ line, text }) => report(line, `no output line to look at: ${text.slice(6)}`,
        '次の端末に出る 1 行の、一部をそのまま書いてください');
    for (const part of parts) {
        if (part.type === 'look')
            wanted.push(part);
        if (!isConsole(part))
            continue;
        part.looks = new Set(wanted.flatMap((look) => {
            const word = look.text.slice(6);
            const found = [...part.lines.keys()].filter((at) => !isTyped(part.lines[at]) && part.lines[at].includes(word));
            if (found.length === 0)
                missing(look);
            return found;
        }));
        if (part.looks.size > 2)
            report(part.line, `${part.looks.size} lines to look at`, '見る行は 2 行までにしてください');
        wanted = [];
    }
    wanted.forEach(missing);
}

// 正解と間違いの、それぞれの端末
function sidesOf(parts) {
    const found = { order: [], right: [], wrong: [] };
    let now = null;
    for (const part of parts) {
        const name = part.type === 'text' && /^\s*<div class="(right|wrong)"/.exec(part.text)?.[1];
        if (name)
            found.order.push(now = name);
        else if (part.type === 'text' && /^\s*<\/div>/.test(part.text))
            now = null;
        else if (now && isConsole(part))
            found[now].push(part);
    }
    return found;
}

// 比べる 2 つは、同じコマンドで、○ が左。どちらかにしかない行に、印を付ける
function compare(parts, report) {
    const { order, right, wrong } = sidesOf(parts);
    if (order.length < 2)
        return;
    const line = parts[0].line;
    if (!parts.some(isColumns))
        report(line, 'right and wrong are not side by side', '<div class="columns"> で囲んでください');
    if (order.join() !== 'right,wrong')
        report(line, `compared in the order ${order}`, '○ の正解を左に、× の間違いを右に書きます');
    const typed = (consoles) => consoles.flatMap(({ lines }) => lines.filter(isTyped))
        .map((text) => text.replace(/step\d\d/g, 'step'));
    const [good, bad] = [right, wrong].map(typed);
    if (!good.every((command, at) => at >= bad.length || command === bad[at]))
        report(line, 'right and wrong run different commands', '同じコマンドの、違う結果を並べてください');
    if ([...right, ...wrong].some(({ looks }) => looks.size))
        return;
    const outputs = (consoles) => new Set(consoles.flatMap(({ lines }) => lines.filter((text) => !isTyped(text))));
    for (const [mine, others] of [[right, outputs(wrong)], [wrong, outputs(right)]])
        for (const one of mine) {
            const only = [...one.lines.keys()].filter((at) => !isTyped(one.lines[at]) && !others.has(one.lines[at]) &&
                !/の PID は .* です$|^…$/.test(one.lines[at]));
            one.looks = new Set(only.length <= 2 ? only : []);
        }
}

// 1 枚のスライドの端末に、見る行、端末の名前、箱の数を決める
export function prepareConsoles(parts, report) {
    findLooks(parts, report);
    compare(parts, report);
    const consoles = parts.filter(isConsole);
    const named = new Set(consoles.map(({ info }) => terminalOf(info))).size > 1;
    consoles.forEach((one) => Object.assign(one, { named: named || terminalOf(one.info) > 1 }));
    const boxes = consoles.flatMap(panesOf).length;
    if (boxes > LIMIT && !parts.some(isColumns))
        report(consoles[0].line, `${boxes} boxes of terminals`,
            `外とコンテナ内の行き来は、1 枚に 1 度 (箱は ${LIMIT} つ) までです。スライドを分けてください`);
}
