// コメントの改行を調べる (make lint-docs): 改行は、、か。のあと、または文節の切れ目に置く。語の途中や
// 助詞の前で切れた行は、目が止まる。使い方: node check-breaks.mjs FILE...
import { readFileSync } from 'node:fs';
import { tokenize } from 'kuromojin';

const JAPANESE = /[\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Han}ー々]/u;

// 行ごとに、コメントならその文章、コメントでなければ null
function blockComments(lines) {
  let inside = false;
  return lines.map((line) => {
    if (!inside && !/^\s*\/\*/.test(line)) return null;
    inside = !line.includes('*/');
    return line.replace(/^\s*(\/\*+|\*(?!\/))? ?/, '').replace(/\s*\*\/.*$/, '');
  });
}
// 見出しの線と #! の行は、文章ではない
const lineComments = (lines) => lines.map((line) => /^\s*(?:#(?!!)|\/\/) ?(.*(?<!--))$/.exec(line)?.[1] ?? null);

// 要件: や 手で: のような、名前の付いた行は、前の行の続きではない
const LABEL = /^(要件|要件なし|手で|手で 2|手引き|項目): /;

// 字下げが減れば、別の段落
const indent = (text) => text.search(/\S|$/);

// 改行をはさんで続く文章: コメントの 2 行か、並んだ 2 つの文字列
function* seams(file) {
  const lines = readFileSync(file, 'utf8').split('\n');
  const comments = /\.[ch]$/.test(file) ? blockComments(lines) : lineComments(lines);
  for (let i = 0; i + 1 < lines.length; i++) {
    if (comments[i] !== null && comments[i + 1] !== null && !LABEL.test(comments[i + 1]) && indent(comments[i]) <= indent(comments[i + 1]))
      yield { line: i + 1, before: comments[i], after: comments[i + 1].trimStart() };
    const before = /"((?:[^"\\]|\\.)*)"$/.exec(lines[i]), after = /^\s*"((?:[^"\\]|\\.)*)"/.exec(lines[i + 1]);
    if (comments[i] === null && before && after) yield { line: i + 1, before: before[1], after: after[1] };
  }
}

// 前の語に付いて 1 つの文節になるもの: 助詞、助動詞、接尾語、補助の動詞
const follows = ({ pos, pos_detail_1: detail, basic_form: word }) =>
  pos === '助詞' || pos === '助動詞' || detail === '接尾' ||
  (detail === '非自立' && ['する', 'いる', 'ある', 'おく', 'しまう', 'くる', 'いく', 'みる', 'の', 'ん'].includes(word));

// before と after のあいだで改行してはならないなら、その理由
export async function badBreak(before, after) {
  if (before === '' || /([、。]|\\n)$/.test(before.trimEnd()) || !JAPANESE.test(after[0] ?? '')) return '';
  const tokens = await tokenize(before + after);
  let at = 0;
  for (const token of tokens) {
    if (at === before.length)
      return follows(token) ? `before ${token.surface_form}` : '';
    at += token.surface_form.length;
    if (at > before.length) return `inside ${token.surface_form}`;
  }
  return '';
}

async function check(file) {
  const found = [];
  for (const { line, before, after } of seams(file)) {
    const reason = await badBreak(before, after);
    if (reason) found.push(`${file}:${line}: the line breaks ${reason}: ${before.slice(-8)}/${after.slice(0, 8)}`);
  }
  return found;
}

if (process.argv[1] === import.meta.filename) {
  const found = (await Promise.all(process.argv.slice(2).map(check))).flat();
  if (found.length) console.log(found.join('\n'));
  process.exitCode = found.length ? 1 : 0;
}
