// make lint-docs と、図を作る道具のテスト。どの誤りも、本当に見つかることを確かめる。textlint は
// 始めるだけで数秒かかるので、誤りはまとめて 1 度に調べる
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { check, SECTIONS } from '../check-guide.mjs';

const TOP = fileURLToPath(new URL('../../..', import.meta.url));
const NODE = 'slides/tool/node_modules';
let repo;

const run = (command, ...args) => {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: repo, encoding: 'utf8' });
  return { status, output: stdout + stderr };
};
// 借りた node_modules は、新しく見えても作り直さない
const lint = (target, ...files) => run('make', `--old-file=${NODE}`, target, `DOCS=${files.join(' ')}`);
const write = (path, text) => {
  mkdirSync(dirname(join(repo, path)), { recursive: true });
  writeFileSync(join(repo, path), text);
  return path;
};

// 誤りのない手引き。edit で、誤りを入れる
const guide = (name, edit = (text) => text) => {
  const main = readFileSync(join(repo, `steps/${name}/main.c`), 'utf8').split('\n');
  return write(`steps/${name}/README.ja.md`, edit(sound(name.slice(0, 2) + main[1].slice(2))));
};
const ABLATION = '<!-- ablate -->\n';
const BOX = ['まだ分離されていないもの', 'Docker・runc・Kubernetes では']
  .map((title) => `> **${title}**\n>\n> - 1 つ目\n> - 2 つ目\n`).join('>\n');
const sound = (title) => `# ${title}\n\n**本編 20 分** です。\n\n${SECTIONS.map((section) => `## ${section}\n\n${{
  'ねらい': '![図](../../good.svg)\n',
  '動かす': `\`\`\`console\n${'$ true\n'.repeat(11)}\`\`\`\n`,
  'この 1 行を消すと': ABLATION,
  '確かめる': `\`\`\`sh\nmake test05\n\`\`\`\n\n${BOX}\n次は [05](../../good.md) です。\n`,
  'もっと': `### 1 つ目 (5 分)\n\n${ABLATION}\n### 2 つ目 (5 分)\n\n${ABLATION}`,
}[section] ?? 'ここを読みます。\n'}\n`).join('')}`;

before(() => {
  repo = mkdtempSync(join(tmpdir(), 'docs-lint-'));
  const filter = (path) => !path.endsWith('node_modules');
  for (const path of ['GNUmakefile', 'shared/scripts', 'steps', 'slides/tool', 'tests']) {
    cpSync(join(TOP, path), join(repo, path), { recursive: true, filter });
  }
  symlinkSync(join(TOP, NODE), join(repo, NODE));
  run('git', 'init', '--quiet');
});
after(() => rmSync(repo, { recursive: true }));

test('documents without faults pass, and code is not prose', () => {
  const code = '# 題\n\n`ディレクトリ` と打ちます。\n\n```console\n$ echo ユーザ`id`です\nデフォルト\n```\n';
  const svg = '<svg xmlns="http://www.w3.org/2000/svg"><title>a</title></svg>\n';
  const { status, output } = lint('lint-docs', guide('05-pid-mount'), write('good.md', code), write('good.svg', svg));
  assert.equal(status, 0, output);
});

test('every kind of fault is reported with its place, in one run', () => {
  const faults = [
    ['既定です。', '既定 => デフォルト'],
    ['ディレクトリーを作ります。', 'ディレクトリー => ディレクトリ'],
    ['ケイパビリティです。', 'ケイパビリティ => ケーパビリティ'],
    ['cgroupsを作ります。', 'cgroups => cgroup'],
    ['PID1 です。', 'PID1 => PID 1'],
    ['番号(数)です。', '号(数 => 号 (数'],
    ['01〜09 です。', '〜 => から'],
    ['[ターミナル](main.c) です。', 'ターミナル => 端末'],
    [`${'これは、とても長い文です'.repeat(9)}。`, 'sentence-length'],
    ['終わりの句点がない文です', 'ja-no-mixed-period'],
    ['これは本文である。', 'no-mix-dearu-desumasu'],
    ['- 箇条書きも同じである。', 'no-mix-dearu-desumasu'],
    ['おや！ 驚きました。', 'no-exclamation-question-mark'],
    ['<!-- 3 分。ここでユーザの話をします。 -->', 'ユーザ => ユーザー'],
    ['<!-- 3 分。ここまでは正しい文です。', ''],
    ['ここはユーザの話の続きです。 -->', 'ユーザ => ユーザー'],
    ['<details><summary>メモリはどうなりますか?</summary>', 'メモリ => メモリー'],
    ['名前は`container`です。', 'a space is missing'],
    ['[無い](no/such.md) と [見出し](#no-such) です。', 'a link'],
    ['![図](no-such.svg)', 'a picture'],
  ];
  const { status, output } = lint('lint-docs',
    write('bad.md', `# 題\n\n${faults.map(([line]) => `${line}\n`).join('\n')}`),
    write('bad.svg', '<svg xmlns="http://www.w3.org/2000/svg"><title>a</svg>\n'),
    guide('06-chroot', (text) => text.replace(/^# .*/, '# 06 別の題')));
  assert.notEqual(status, 0);
  const found = output.split('\n').map((line) => line.trim());
  faults.forEach(([fault, message], index) => {
    if (!message || message.startsWith('a link') || message.startsWith('a picture')) return;
    const place = `bad.md:${2 * index + 3}:`;
    assert.ok(found.some((line) => line.startsWith(place) && line.includes(message)),
      `${fault}\n${place} ${message}\n${output}`);
  });
  for (const message of [
    /Cannot find file `no\/such\.md`/, /Cannot find file `no-such\.svg`/, /Cannot find heading for `#no-such`/,
    /^bad\.svg:1: parser error/m,
    /^steps\/06-chroot\/README\.ja\.md:1: the title is not: # 06 /m,
    /\n {2}ヒント: .*prh\.yml/,
  ]) assert.match(output, message);
  for (const tool of ['prose', 'links', 'pictures']) assert.match(output, new RegExp(`: lint-${tool}\\] Error`));
});

test('every fault in the form of a guide is found', () => {
  const good = sound('題');
  assert.deepEqual(check(good, '題').found, []);
  const faults = {
    'the section here is not: ## 動かす': (text) => text.replace('## 動かす', '## 動かしてみる'),
    'the section here is not: ## 後始末': (text) => text.replace('## 後始末', ''),
    'the section here is not: the end': (text) => `${text}## 付録\n`,
    'no line "**本編 N 分**"': (text) => text.replace('**本編 20 分**', '**本編 26 分**'),
    '13 commands before もっと': (text) => text.replace('$ true', '$ true\n# true'),
    'no picture in the first 20 lines': (text) => text.replace('![図]', '[図]'),
    'no box "> **まだ分離': (text) => text.replace('> - 2 つ目\n', ''),
    'no box "> **Docker': (text) => text.replace(/(> - 2 つ目\n)(?!>)/, '$1$1$1$1'),
    'no line that begins with 次は': (text) => text.replace('次は', '次の'),
    'does not end with its minutes': (text) => text.replace('### 2 つ目 (5 分)', '### 2 つ目'),
    'fewer than 3 ablations': (text) => text.slice(0, text.lastIndexOf(ABLATION)),
    'not exactly one ablation before': (text) => text.replace(ABLATION, ABLATION + ABLATION),
  };
  for (const [message, edit] of Object.entries(faults)) {
    const found = check(edit(good), '題').found.map(([, what]) => what);
    assert.ok(found.some((what) => what.startsWith(message) || what.includes(message)), `${message}\n${found.join('\n')}`);
  }
  assert.deepEqual(check(`${good}## 付録: cgroup v1\n`, '題').found, []);
});

test('comments, strings and pictures use the same words as the texts', () => {
  const words = (path, text) => run('make', `--old-file=${NODE}`, 'lint-words', `FILES=${write(path, text)}`);
  for (const [path, text, message] of [
    ['w.c', '/* 親: 門を開ける */\n', 'w.c:1: 門 => ゲート'],
    ['w.sh', '\n# 中の PID 1\n', 'w.sh:2: 中の => コンテナ内の'],
    ['w.svg', '<text>root の力を減らす</text>\n', 'w.svg:1: '],
  ]) {
    const { status, output } = words(path, text);
    assert.notEqual(status, 0, text);
    assert.ok(output.includes(message), output);
  }
  assert.equal(words('w.c', '/* 専門家は、出力を残し、写真をコンテナの中の棚に置く */\n').status, 0);
});

test('a line break inside a word or before a particle is a fault, in comments and in strings', () => {
  const faults = {
    '/* 語の途中で切れた行は、読みにくいディレ\n * クトリです */': 'inside ディレクトリ',
    '/* 助詞の前で切れる場所\n * にも、目が止まる */': 'before に',
    '/* ここで呼ぶのは fork\n * を先に */': 'before を',
    'f("長い文字列も、ここで切"\n  "ってはならない\\n");': 'inside 切っ',
  };
  const good = ['/* 文節で切れば、\n * 読みやすい。そして\n * 次の文が続く */', '/* 1 行 */', 'f("1 行目\\n"\n  "を 2 行にする");', 'int x; /* 後ろ */\n/* に */'];
  const run_breaks = (code, path = 'b.c') =>
    run('make', `--old-file=${NODE}`, 'lint-breaks', `FILES=${write(path, `${code}\n`)}`);
  for (const [code, message] of Object.entries(faults)) {
    const { status, output } = run_breaks(code);
    assert.notEqual(status, 0, code);
    assert.match(output, new RegExp(`^b\\.c:1: the line breaks ${message}`, 'm'));
  }
  assert.equal(run_breaks(good.join('\n')).status, 0);
  const { output } = run_breaks('#!/bin/sh\n# 語の途中で切れた行は、読みにくいディレ\n# クトリです', 'b.sh');
  assert.match(output, /^b\.sh:2: the line breaks inside ディレクトリ/m);
  assert.equal(run_breaks('#!/bin/sh\n# 題\n#   DIR ディレクトリ\n# を見る\n# --- 見出し ---\n# の下', 'b.sh').status, 0);
  assert.equal(run_breaks('# 要件: 1 になる\n# 手で: echo\n# 手で 2: ps\n# 項目: main', 'b.sh').status, 0);
});

test('a broken table of terms is an error that shows its own message', () => {
  const terms = readFileSync(join(repo, 'slides/tool/prh.yml'), 'utf8');
  write('slides/tool/prh.yml', `${terms}  - { expected: a, pattern: b, specs: [{ from: b, to: c }] }\n`);
  const { status, output } = lint('lint-prose', write('good.md', '# 題\n'));
  write('slides/tool/prh.yml', terms);
  assert.notEqual(status, 0);
  assert.match(output, /a spec failed/);
});

// 同じ数からは、いつも同じ絵になる
const draws = (chart, data) => {
  write(`${chart}.csv`, data);
  const draw = (...out) => run('gnuplot', '-c', `tests/measure/${chart}.gp`, `${chart}.csv`, ...out);
  for (const name of ['a.svg', 'b.svg']) assert.equal(draw(name).output, '');
  const svg = readFileSync(join(repo, 'a.svg'), 'utf8');
  assert.equal(svg, readFileSync(join(repo, 'b.svg'), 'utf8'));
  const { status, output } = draw();
  assert.equal(status, 0);
  return { svg, terminal: output };
};

test('cpu-chart: the same data give the same picture; the steps are there, the table is not', () => {
  const { svg, terminal } = draws('cpu-chart', '# CPU 2 個, 始めたときの負荷 0.10\n' +
    'kind,limit,threads,work,expected,measured\nlimit,0.01,1,0.03,3.000,0.323\nlimit,0.2,1,1,5.000,4.987\n' +
    'step,0.2,1,0.002,0.002,0.003\nstep,0.2,1,0.018,0.018,0.019\nstep,0.2,1,0.022,0.102,0.103\n' +
    'step,0.2,1,0.098,0.418,0.421\n');
  for (const value of ['19', '103', '421']) assert.ok(svg.includes(`>${value}<`), value);
  for (const value of ['3', '323', '4987']) assert.ok(!svg.includes(`>${value}<`), value);
  assert.match(terminal, /expected/);
});

test('memory-chart: the same data give the same picture, with the limit and the moment of the kill', () => {
  const { svg, terminal } = draws('memory-chart', '# 上限 52428800 バイト, ファイル memory.current\n' +
    'seconds,bytes,oom_kill\n0.00,159744,0\n1.00,26214400,0\n2.00,52428800,0\n2.10,172032,1\n2.20,172032,1\n');
  for (const text of ['上限 (50 MB)', 'OOM killer (2.10 秒)', 'memory.current']) assert.ok(svg.includes(`>${text}<`), text);
  assert.match(terminal, /killed 2\.10 s/);
});
