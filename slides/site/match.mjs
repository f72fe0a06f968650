// 文書の行と、本当に出た行を比べる。規則は tests/docs/match.py と同じで、テストが 2 つを比べる
const ANYTHING = '…';
const SAME = ['vary', 'reuse'];
const SHAPES = ['\\d+', '\\d+\\.\\d+', '0x[0-9a-f]+'];

const quote = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

function shapeOf(token) {
    return SHAPES.find((shape) => new RegExp(`^(?:${shape})$`).test(token)) ?? '\\S+?';
}

// 長い語の一部には合わない正規表現
function wholeWord(token) {
    const before = /^[\p{L}\p{N}_]/u.test(token) ? '(?<![\\p{L}\\p{N}_.])' : '';
    const after = /[\p{L}\p{N}_]$/u.test(token) ? '(?![\\p{L}\\p{N}_]|\\.\\p{N})' : '';
    return before + quote(token) + after;
}

// 変わらない部分。空白の数は、桁がずれるので見ない
function plain(text) {
    return text.split(new RegExp(`(\\s+|${ANYTHING})`)).map((part) =>
        part === ANYTHING ? '.*' : /^\s+$/.test(part) ? '[ \\t]+' : quote(part)).join('');
}

export class Matcher {
    constructor(tokens) {
        this.tokens = tokens;
        this.bound = {};
        const words = Object.keys(tokens).sort((one, other) => other.length - one.length);
        this.words = new RegExp(words.map(wholeWord).join('|') || '(?!)', 'gu');
    }

    // 行の並び全体の正規表現と、その括弧が表す語の並び
    pattern(expected) {
        const groups = [];
        let pattern = '';
        for (const line of expected.map((text) => text.trim())) {
            if (line === ANYTHING) {
                pattern += '(?:.*\\n)*?';
                continue;
            }
            let end = 0;
            pattern += '[ \\t]*';
            for (const found of line.matchAll(this.words)) {
                pattern += plain(line.slice(end, found.index)) + this.value(found[0], groups);
                end = found.index + found[0].length;
            }
            pattern += `${plain(line.slice(end))}[ \\t]*\\n`;
        }
        return [new RegExp(`^(?:${pattern})$`, 'u'), groups];
    }

    value(token, groups) {
        if (Object.hasOwn(this.bound, token))
            return quote(this.bound[token]);
        if (SAME.includes(this.tokens[token]) && groups.includes(token))
            return `\\k<g${groups.indexOf(token)}>`;
        groups.push(token);
        return `(?<g${groups.length - 1}>${shapeOf(token)})`;
    }

    // すべての行が合えば、値の決まった語を加えた bound。合わなければ null
    values(expected, actual) {
        const [pattern, groups] = this.pattern(expected);
        const found = pattern.exec(actual.map((line) => `${line}\n`).join(''));
        if (!found)
            return null;
        const bound = { ...this.bound };
        for (const [at, token] of groups.entries()) {
            const kind = this.tokens[token], value = found.groups[`g${at}`];
            if (SAME.includes(kind))
                bound[token] = value;
            else if (kind !== 'any' && Math.abs(value - token) > kind * token)
                return null;
        }
        return this.allDiffer(bound) ? bound : null;
    }

    // 違う語は、違う値か。reuse の語どうしだけは、同じ値でもよい
    allDiffer(bound) {
        const reused = Object.keys(bound).filter((token) => this.tokens[token] === 'reuse');
        return (reused.length ? reused : [null]).every((kept) => {
            const values = Object.entries(bound)
                .filter(([token]) => token === kept || !reused.includes(token))
                .map(([token, value]) => `${shapeOf(token)} ${value}`);
            return new Set(values).size === values.length;
        });
    }

    match(expected, actual) {
        const found = this.values(expected, actual);
        if (found)
            this.bound = found;
        return found !== null;
    }

    // はじめて合わなくなる行 [文書, 実際]
    firstDifference(expected, actual) {
        let used = 0;
        for (let count = 1; count <= expected.length; count++) {
            const fits = [...Array(actual.length + 1).keys()]
                .find((number) => this.values(expected.slice(0, count), actual.slice(0, number)));
            if (fits === undefined)
                return [expected[count - 1], actual[used] ?? ''];
            used = fits;
        }
        return ['(nothing more)', actual[used] ?? ''];
    }

    // 打つ行の中の語を、分かっている値に置き換える
    typed(text) {
        return text.replace(this.words, (token) => this.bound[token] ?? token);
    }
}
