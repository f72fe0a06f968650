// 2 つのステップの差分を、一番外側の項目 (関数、表、#include など) ごとに分ける。
// 説明は行番号でなく項目の名前に付くので、行が動いても外れない
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

// 文字列、文字、注釈を、同じ長さの空白に変える。かっこを数えるときの邪魔になる
export function blank(text) {
    const literal = /\/\*[^]*?\*\/|\/\/.*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g;
    return text.replace(literal, (found) => found.replace(/[^\n]/g, ' '));
}

// 宣言の名前。中かっこなどの中身を除くと、関数なら「(」の前、変数なら終わりの語
function nameOf(code) {
    if (/^\s*#\s*define\s+(?!_GNU_SOURCE)/.test(code))
        return `#define ${/define\s+(\w+)/.exec(code)[1]}`;
    if (/^\s*#/.test(code))
        return '#include';
    let flat = code.replace(/__attribute__\s*\(\(.*?\)\)/g, ' ');
    for (let before = ''; before !== flat; ) {
        before = flat;
        flat = flat.replace(/\{[^{}]*\}|\[[^[\]]*\]/g, ' ');
    }
    const head = flat.split(/[=;]/)[0];
    const call = /(\w+)\s*\(/.exec(head);
    return call ? `${call[1]}()` : /(\w+)\s*$/.exec(head)?.[1] ?? 'code';
}

// start 行目から始まる 1 つの宣言の、終わりの次の行
function endOfDeclaration(lines, start) {
    let depth = 0;
    for (let at = start; at < lines.length; at++) {
        for (const c of lines[at])
            depth += '({['.includes(c) ? 1 : ')}]'.includes(c) ? -1 : 0;
        // 関数は行頭の「}」だけの行、ほかは「;」で終わる
        if (depth === 0 && /(^\}|;)\s*$/.test(lines[at]))
            return at + 1;
    }
    return lines.length;
}

// #include と #define は、続いているものをまとめて 1 つにする。#include は、
// 間の空行と _GNU_SOURCE も含む
function endOfDirectives(lines, start) {
    const first = /^#\s*define\s+(?!_GNU_SOURCE)/.test(lines[start]);
    let end = start;
    for (let at = start; at < lines.length; at++) {
        const continued = at > start && lines[at - 1].endsWith('\\');
        const define = /^#\s*define\s+(?!_GNU_SOURCE)/.test(lines[at]);
        if (continued || (lines[at].startsWith('#') && define === first))
            end = at + 1;
        else if (first || lines[at].trim() !== '')
            break;
    }
    return end;
}

// ファイルを項目に分ける。前の空行と注釈は、続く項目のもの
export function itemsOf(text) {
    const source = text.replace(/\n$/, '').split('\n');
    const lines = blank(text).split('\n').slice(0, source.length);
    const items = [];
    const seen = new Map();
    const add = (found, start, end, code) => {
        const base = found.replace('()', '');
        const count = (seen.get(base) ?? 0) + 1;
        seen.set(base, count);
        const name = count === 1 ? base : `${base}#${count}`;
        items.push({ name, start, end, code, call: base !== found });
    };
    let start = 0;
    for (let at = 0; at < source.length; ) {
        if (lines[at].trim() === '') {
            // 初めの注釈は、それだけで 1 つの項目
            if (items.length === 0 && source[at].endsWith('*/')) {
                add('header', start, at + 1, at + 1);
                start = at + 1;
            }
            at++;
            continue;
        }
        const directive = lines[at].startsWith('#');
        const end = directive ? endOfDirectives(lines, at) : endOfDeclaration(lines, at);
        add(nameOf(lines.slice(at, end).join('\n')), start, end, at);
        start = at = end;
    }
    return items;
}

// 宣言の初めの行から「{」まで。表なら「= {」まで。畳まずに、いつも見せる
function signatureLines(lines, item) {
    if (item.name === 'header' || item.name.startsWith('#'))
        return [];
    const body = lines.slice(item.code, item.end);
    const table = body.findIndex((line) => /=\s*\{\s*$/.test(line));
    const last = !item.call && table >= 0 ? table : body.findIndex((line) => /\{\s*$/.test(line));
    return body.slice(0, last + 1).map((line, at) => item.code + at);
}

// 行から項目への表
function owners(text) {
    const lines = text.replace(/\n$/, '').split('\n');
    const table = lines.map(() => ({ item: null, signature: false }));
    for (const item of itemsOf(text)) {
        for (let at = item.start; at < item.end; at++)
            Object.assign(table[at], { item: item.name, call: item.call });
        for (const at of signatureLines(lines, item))
            table[at].signature = true;
        table[item.end - 1].last = true;
    }
    for (let at = 0; at < table.length; at++)
        table[at].item ??= table[at - 1]?.item ?? 'header';
    return table;
}

function gitDiff(before, after) {
    const args = ['--no-pager', 'diff', '--no-index', '--histogram', '--no-ext-diff',
        '--no-color', '-U1000000', '--', before, after];
    const run = spawnSync('git', args, { encoding: 'utf8' });
    if (run.status !== 0 && run.status !== 1)
        throw new Error(`git diff: ${run.stderr || run.error}`);
    return run.stdout.split('\n').filter((line, at, all) =>
        at > all.findIndex((l) => l.startsWith('@@')) && /^[ +-]/.test(line));
}

// 前と後の両方にある行でも、属する項目が違えば、消えて増えた行として見せる。
// そうしないと、消えた関数と増えた関数が「{」だけでつながって見える
function rowsOf(before, after) {
    const old = owners(readFileSync(before, 'utf8'));
    const now = owners(readFileSync(after, 'utf8'));
    const rows = [];
    let i = 0, j = 0;
    const push = (sign, text, place, counted) => rows.push({ sign, text, counted, ...place });
    for (const line of gitDiff(before, after)) {
        const sign = line[0], text = line.slice(1);
        const from = sign === '+' ? null : { ...old[i], old: i++ };
        const to = sign === '-' ? null : { ...now[j], now: j++ };
        if (from && to && from.item === to.item) {
            push(' ', text, to, false);
            continue;
        }
        if (from)
            push('-', text, from, sign === '-');
        if (to)
            push('+', text, to, sign === '+');
    }
    return rows;
}

// 続く変更の中では、消える行を先にまとめる
function deletionsFirst(rows) {
    const sorted = [];
    for (let at = 0; at < rows.length; ) {
        let end = at;
        while (end < rows.length && rows[end].sign !== ' ')
            end++;
        const run = rows.slice(at, end);
        sorted.push(...run.filter((row) => row.sign === '-'),
            ...run.filter((row) => row.sign === '+'));
        if (end < rows.length)
            sorted.push(rows[end]);
        at = end + 1;
    }
    return sorted;
}

function trimBlank(rows) {
    const full = (row) => row.text.trim() !== '';
    const first = rows.findIndex(full);
    const last = rows.findLastIndex(full);
    return rows.slice(first, last + 1);
}

export function hashOf(items) {
    const hash = createHash('sha256');
    for (const item of items)
        for (const row of item.rows)
            if (row.sign !== ' ')
                hash.update(`${row.sign}${row.text}\n`);
    return hash.digest('hex').slice(0, 8);
}

function describe(name, rows) {
    const count = (sign) => rows.filter((r) => r.sign === sign && r.counted).length;
    const all = (sign) => rows.every((r) => r.sign === sign || !r.text.trim());
    const kind = all('+') ? 'new' : all('-') ? 'gone' : 'changed';
    return { name, kind, call: rows[0].call, added: count('+'), deleted: count('-') };
}

// 変わった項目の一覧と、全体の行数。before が null なら、全体が増えた行になる
export function diffItems(before, after) {
    const groups = new Map();
    const all = rowsOf(before ?? '/dev/null', after);
    // 空行は隣の項目に付いていることがあるので、文字のある行の順に並べる
    for (const row of all.filter((r) => r.text.trim() !== ''))
        groups.set(row.item, []);
    for (const row of all)
        groups.get(row.item)?.push(row);
    const items = [];
    for (const [name, rows] of groups)
        if (rows.some((row) => row.sign !== ' ' && row.text.trim() !== ''))
            items.push({ ...describe(name, rows), rows: trimBlank(deletionsFirst(rows)) });
    const count = (sign) => all.filter((r) => r.sign === sign && r.counted).length;
    return { items, added: count('+'), deleted: count('-') };
}
