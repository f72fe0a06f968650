// 2 つのステップの差分を、一番外側の項目 (関数、表、#include など) ごとに分ける。
// 説明は行番号でなく項目の名前に付くので、行が動いても外れない
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { run } from './cli.mjs';
import { structureOf } from './structure.mjs';

const linesOf = (file) => readFileSync(file, 'utf8').replace(/\n$/, '').split('\n');

// 一番外側の宣言と、#include、#define
function tagsOf(file) {
    return String(run('universal-ctags', 'ctags', ['--language-force=C', '--kinds-C=dfghpstuvx',
        '--extras=+r', '--fields=+ne', '--output-format=json', '-o', '-', file])).split('\n')
        .filter(Boolean).map((line) => JSON.parse(line)).sort((a, b) => a.line - b.line);
}

// ファイルを項目に分ける。前の空行とコメントは、続く項目のもの
export function itemsOf(file) {
    const lines = linesOf(file), items = [], seen = new Map();
    // 冒頭のコメントは、それだけで 1 つの項目
    if (lines[0].startsWith('/*'))
        items.push({ name: 'header', code: 0, end: lines.findIndex((line) => line.endsWith('*/')) + 1 });
    for (const { name: tag, line, end = line, kind, scope } of tagsOf(file)) {
        const include = kind === 'header' || tag === '_GNU_SOURCE';
        const name = include ? '#include' : kind === 'macro' ? `#define ${tag}` : tag;
        const last = items.at(-1);
        // #include は続くものすべてを、#define は間に空行のないものを 1 つにする。構造体の
        // 「;」までに変数の名前があれば、それを項目の名前にする
        const reach = (last?.end ?? 0) + (kind === 'macro' && last?.kind === kind);
        if (include ? last?.name !== name : line > reach)
            items.push({ name, code: line - 1, end, kind: include ? 'header' : kind });
        else if (/variable|typedef/.test(kind) && !scope)
            last.name = name;
        items.at(-1).end = Math.max(items.at(-1).end, end);
    }
    items.at(-1).end = lines.length;
    return items.map((item, at) => {
        const count = (seen.get(item.name) ?? 0) + 1;
        seen.set(item.name, count);
        return { ...item, name: count === 1 ? item.name : `${item.name}#${count}`,
            call: /function|prototype/.test(item.kind), start: items[at - 1]?.end ?? 0 };
    });
}

// どの行がどの項目のもので、どのブロックの中か。signature は、宣言の初めから
// 「{」まで (表なら「= {」まで)
function ownersOf(file) {
    const lines = linesOf(file), structure = structureOf(lines);
    return itemsOf(file).flatMap(({ name, call, code, start, end }) => {
        const body = /^(#|header$)/.test(name) ? [] : lines.slice(code, end);
        const table = call ? -1 : body.findIndex((line) => /=\s*\{\s*$/.test(line));
        const shown = code + (table >= 0 ? table : body.findIndex((line) => /\{\s*$/.test(line)));
        return structure.slice(start, end).map((line, at) => ({ ...line, item: name, call,
            signature: start + at >= code && start + at <= shown, last: start + at === end - 1 }));
    });
}

function gitDiff(before, after) {
    const out = String(run('git', 'git', ['diff', '--no-index', '--histogram', '--no-ext-diff', '--no-color',
        '-U1000000', '--', before, after], { fine: [0, 1] }));
    return out.slice(out.indexOf('\n@@')).split('\n').filter((line) => /^[ +-]/.test(line));
}

// 前と後の両方にある行でも、属する項目が違えば、消えて増えた行として見せる。そう
// しないと、消えた関数と増えた関数が「{」だけでつながって見える。消える行は、増える
// 行の前
function rowsOf(before, after) {
    const old = before ? ownersOf(before) : [], now = ownersOf(after);
    const rows = [], added = [], names = new Set();
    let i = 0, j = 0;
    for (const line of gitDiff(before ?? '/dev/null', after)) {
        const sign = line[0], text = line.slice(1);
        const from = sign !== '+' && { text, ...old[i], old: i++ };
        const to = sign !== '-' && { text, ...now[j], now: j++ };
        // 空行は隣の項目に付いていることがあるので、項目は文字のある行の順に並べる
        for (const row of [from, to].filter((one) => one && text.trim() !== ''))
            names.add(row.item);
        if (from && to && from.item === to.item) {
            rows.push(...added.splice(0), { ...from, ...to, sign: ' ' });
            continue;
        }
        if (from)
            rows.push({ ...from, sign: '-', counted: !to });
        if (to)
            added.push({ ...to, sign: '+', counted: !from });
    }
    return { rows: [...rows, ...added], names };
}

export function hashOf(items) {
    const changed = items.flatMap(({ rows }) => rows).filter(({ sign }) => sign !== ' ');
    const text = changed.map((row) => `${row.sign}${row.text}\n`).join('');
    return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

const countOf = (rows, sign) => rows.filter((row) => row.sign === sign && row.counted).length;

// 変わった項目の一覧と、全体の行数。before が null なら、全体が増えた行になる
export function diffItems(before, after) {
    const { rows: all, names } = rowsOf(before, after);
    const full = (row) => row.text.trim() !== '';
    const items = [...names].flatMap((name) => {
        const mine = all.filter((row) => row.item === name);
        const rows = mine.slice(mine.findIndex(full), mine.findLastIndex(full) + 1);
        const signs = [...new Set(rows.filter(full).map((row) => row.sign))].join('');
        const kind = { '+': 'new', '-': 'gone' }[signs] ?? 'changed';
        return signs === ' ' ? [] : [{ name, kind, call: rows[0].call, rows,
            added: countOf(mine, '+'), deleted: countOf(mine, '-') }];
    });
    return { items, added: countOf(all, '+'), deleted: countOf(all, '-') };
}
