// 手引きの形を調べる (make lint-docs): 節の並び、本編の分とコマンドの数、囲み、「もっと」の題
//   node check-guide.mjs FILE...   誤りを「FILE:行: 何が違うか」で書く
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';

export const SECTIONS = [
    'ねらい', '手でやってみる', '動かす', '書いてみる', '差分を読む', 'この 1 行を消すと', '確かめる',
    'もっと', 'うまくいかないとき', 'man ページ', '後始末',
];
const APPENDIX = '付録: cgroup v1'; // あれば、終わりに
const BOX = ['まだ分離されていないもの', 'Docker・runc・Kubernetes では'];
const MINUTES = [20, 25];
const MOST_COMMANDS = 12;
const FEWEST_ABLATIONS = 3;
const PICTURE_WITHIN = 20;

// 囲みの外の見出しと、囲みの中の打つ行。行の番号は 1 から
function read(text) {
    const headings = [], commands = [];
    let fence = null;
    text.split('\n').forEach((line, at) => {
        const [, mark, info] = /^ *(```+|~~~+)(.*)$/.exec(line) ?? [];
        if (mark && !fence)
            fence = { mark, console: /^console/.test(info), sh: /^sh\b/.test(info), v1: /if=cgroup1/.test(info) };
        else if (mark && mark === fence.mark)
            fence = null;
        else if (fence?.console ? /^((?:[~/]\S* )?[$#]) \S/.test(line) && !fence.v1 : fence?.sh && /^[^#\s]/.test(line))
            commands.push(at + 1);
        else if (!fence && /^#{1,4} /.test(line))
            headings.push({ line: at + 1, level: line.indexOf(' '), title: line.replace(/^#+ /, '') });
    });
    return { headings, commands };
}

// 「> **題**」に続く「> - 」の数。囲みがなければ -1
function countBox(lines, title) {
    const start = lines.indexOf(`> **${title}**`);
    const rest = lines.slice(start + 1).filter((line) => line !== '>');
    const end = rest.findIndex((line) => !/^> {1,3}[- ]/.test(line));
    return start < 0 ? -1 : rest.slice(0, end < 0 ? undefined : end).filter((line) => line.startsWith('> - ')).length;
}

export function check(text, title) {
    const lines = text.split('\n');
    const { headings, commands } = read(text);
    const found = [];
    const fault = (line, message) => found.push([line, message]);
    const sections = headings.filter(({ level }) => level === 2);
    const more = sections.find((section) => section.title === 'もっと')?.line ?? lines.length;
    const core = lines.slice(0, more);

    if (lines[0] !== `# ${title}`) fault(1, `the title is not: # ${title}`);
    const expected = [...SECTIONS, ...(sections.at(-1)?.title === APPENDIX ? [APPENDIX] : [])];
    const wrong = expected.findIndex((name, at) => sections[at]?.title !== name);
    if (wrong >= 0 || sections.length !== expected.length)
        fault(sections[wrong < 0 ? expected.length : wrong]?.line ?? lines.length,
            `the section here is not: ${wrong < 0 ? 'the end' : `## ${expected[wrong]}`}`);

    const minutes = Number(/^\*\*本編 (\d+) 分\*\*/m.exec(core.join('\n'))?.[1] ?? NaN);
    if (!(minutes >= MINUTES[0] && minutes <= MINUTES[1]))
        fault(1, `no line "**本編 N 分**" with N from ${MINUTES[0]} to ${MINUTES[1]}`);
    const count = commands.filter((line) => line < more).length;
    if (count > MOST_COMMANDS) fault(1, `${count} commands before もっと, at most ${MOST_COMMANDS}`);
    if (!lines.slice(0, PICTURE_WITHIN).some((line) => /^!\[/.test(line)))
        fault(1, `no picture in the first ${PICTURE_WITHIN} lines`);
    for (const name of BOX) {
        const items = countBox(core, name);
        if (items < 2 || items > 4) fault(more, `no box "> **${name}**" of 2 to 4 lines before もっと`);
    }
    if (!/^次は.*\[/m.test(core.join('\n'))) fault(more, 'no line that begins with 次は and links on, before もっと');

    const end = sections[sections.findIndex((section) => section.line === more) + 1]?.line ?? lines.length;
    for (const { line, level, title: part } of headings)
        if (level === 3 && line > more && line < end && !/ \(\d+ 分\)$/.test(part))
            fault(line, 'the title of a part of もっと does not end with its minutes: (15 分)');
    const ablations = lines.flatMap((line, at) => (/^<!-- ablate -->$/.test(line) ? [at + 1] : []));
    if (ablations.length < FEWEST_ABLATIONS) fault(1, `fewer than ${FEWEST_ABLATIONS} ablations`);
    if (ablations.filter((line) => line < more).length !== 1) fault(1, 'not exactly one ablation before もっと');
    return { found, minutes, count };
}

// 題は、プログラムの 2 行目。steps/09-*/oci は 09-oci
const nameOf = (dir) => (basename(dir) === 'oci' ? `${nameOf(dirname(dir))}-oci` : basename(dir).slice(0, 2));
const titleOf = (guide) => `${nameOf(dirname(guide))} ${
    readFileSync(`${dirname(guide)}/main.c`, 'utf8').split('\n')[1].replace(/^ \* /, '')}`;

if (process.argv[1] === import.meta.filename || process.argv[1]?.endsWith('/check-guide.mjs')) {
    for (const guide of process.argv.slice(2)) {
        for (const [line, message] of check(readFileSync(guide, 'utf8'), titleOf(guide)).found) {
            console.log(`${guide}:${line}: ${message}`);
            process.exitCode = 1;
        }
    }
}
