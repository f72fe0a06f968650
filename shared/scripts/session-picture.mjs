// 録画 (asciicast v2) の最後の画面を、1 枚の SVG にする
//   session-picture.mjs CAST        標準出力に SVG を出す
//   session-picture.mjs --text SVG  図の中の文字を出す
// 空白と、全角と半角の境目で分け、それぞれの場所と長さを決める。だから、どのフォントで
// も全角は 2 桁になる
import { readFileSync } from 'node:fs';
import xterm from '@xterm/headless';

const CELL = 8.8;
const LINE = 24;
const SIZE = 16;
const MARGIN = 18;
const BAR = 30;

const escape = (text) => text.replace(/[&<>]/g, (mark) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[mark]);
const unescape = (text) => text.replace(/&(amp|lt|gt);/g, (_, name) => ({ amp: '&', lt: '<', gt: '>' })[name]);

async function replay(path) {
  const [head, ...events] = readFileSync(path, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  const terminal = new xterm.Terminal({ cols: head.width, rows: head.height, allowProposedApi: true });
  for (const [, kind, data] of events) {
    if (kind === 'o') await new Promise((done) => terminal.write(data, done));
  }
  return terminal;
}

// 画面の 1 行を、{ 桁, 文字, 1 文字の幅, 幅 } の並びにする。全角の 2 桁目は幅 0
function wordsOf(line, columns) {
  const words = [];
  for (let x = 0; x < columns; x += 1) {
    const cell = line.getCell(x);
    const [text, wide] = [cell.getChars(), cell.getWidth()];
    const last = words.at(-1);
    if (wide === 0 || !text.trim()) continue;
    if (last && last.wide === wide && last.x + last.width === x) {
      last.text += text;
      last.width += wide;
    } else {
      words.push({ x, text, wide, width: wide });
    }
  }
  return words;
}

// 最後の exit と、その前の空のプロンプトは、録画を終わらせるためのもの
function screenOf(terminal) {
  const buffer = terminal.buffer.active;
  const lines = [];
  for (let y = 0; y < buffer.length; y += 1) {
    const line = buffer.getLine(y);
    lines.push({ text: line.translateToString(true), words: wordsOf(line, terminal.cols) });
  }
  const last = lines.findLastIndex(({ text }) => /^\$ exit$/.test(text));
  if (last < 0) throw new Error('the recording does not end with "$ exit"');
  return lines.slice(0, last);
}

// 打った文字は太く、プロンプトは色を変える
function textElements({ text, words }, row) {
  const typed = /^[$#] /.test(text);
  const y = BAR + MARGIN + row * LINE + SIZE;
  return words.map(({ x, text: word, width }, index) => {
    const name = typed ? ` class="${index ? 'typed' : 'prompt'}"` : '';
    const place = `x="${(MARGIN + x * CELL).toFixed(1)}" y="${y}"`;
    return `<text${name} ${place} textLength="${(width * CELL).toFixed(1)}">${escape(word)}</text>`;
  }).join('\n');
}

function svgOf(lines, columns) {
  const width = Math.ceil(columns * CELL + 2 * MARGIN);
  const height = BAR + 2 * MARGIN + lines.length * LINE;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="session-title session-desc">
<title id="session-title">ステップ 05 のコンテナの中で打ったところ</title>
<desc id="session-desc">${escape(lines.map(({ text }) => text).join('\n'))}</desc>
<style>
.session text { font: ${SIZE}px "Noto Sans Mono CJK JP", Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #e6e6e6; }
.session .prompt { fill: #7fd1ff; }
.session .typed { fill: #fff; font-weight: bold; }
</style>
<g class="session">
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="9" fill="#1b1f24" stroke="#6e7681"/>
<path d="M1 ${BAR}h${width - 2}" stroke="#6e7681"/>
<circle cx="20" cy="15" r="5" fill="#6e7681"/><circle cx="38" cy="15" r="5" fill="#6e7681"/><circle cx="56" cy="15" r="5" fill="#6e7681"/>
${lines.map(textElements).filter(Boolean).join('\n')}
</g>
</svg>
`;
}

const [first, second] = process.argv.slice(2);
if (first === '--text') {
  const found = /<desc[^>]*>([^]*?)<\/desc>/.exec(readFileSync(second, 'utf8'));
  console.log(unescape(found[1]));
} else {
  const terminal = await replay(first);
  process.stdout.write(svgOf(screenOf(terminal), terminal.cols));
}
