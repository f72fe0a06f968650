// 文章を調べる道具 (lint-docs.sh, step-table.sh) と、図を作る道具のテスト。どの誤りも、本当
// に見つかることを確かめる
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const TOP = fileURLToPath(new URL('../../..', import.meta.url));
const GUIDE = 'steps/05-pid-mount/README.ja.md';
const SECTIONS = ['ねらい', '前のステップとの差分', '手でやってみる', '動かす', 'こう表示されたら成功', 'なぜ?',
  'この 1 行を消すと', 'うまくいかないとき', '発展課題', 'man ページ', '後始末'];
let repo;

const run = (command, ...args) => {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: repo, encoding: 'utf8' });
  return { status, output: stdout + stderr };
};
const lint = (...files) => run('slides/tool/lint-docs.sh', ...files);
const write = (path, text) => {
  mkdirSync(dirname(join(repo, path)), { recursive: true });
  writeFileSync(join(repo, path), text);
};

// 誤りのない手引き
const guide = ({ title = '05 PID とマウントの名前空間を分ける', sections = SECTIONS, ablations = 3, more = '' } = {}) => [
  `# ${title}`, '',
  ...sections.flatMap((name) => [`## ${name}`, '', 'ここを読みます。', '']),
  ...Array(ablations).fill('<!-- ablate -->'), '', more, ''].join('\n');

before(() => {
  repo = mkdtempSync(join(tmpdir(), 'docs-lint-'));
  const filter = (path) => !path.endsWith('node_modules');
  for (const path of ['shared', 'steps', 'README.ja.md', 'slides/tool', 'tests/chain', 'tests/measure']) {
    cpSync(join(TOP, path), join(repo, path), { recursive: true, filter });
  }
  symlinkSync(join(TOP, 'slides/tool/node_modules'), join(repo, 'slides/tool/node_modules'));
});
after(() => rmSync(repo, { recursive: true }));

test('a guide without faults passes', () => {
  write(GUIDE, guide());
  const { status, output } = lint(GUIDE);
  assert.equal(status, 0, output);
  for (const tool of ['textlint', 'links', 'spaces', 'sections', 'files']) {
    assert.match(output, new RegExp(`^${tool} +ok +\\d+\\.\\d s$`, 'm'));
  }
});

test('a picture that is not well-formed XML is refused', () => {
  write('slides/good.svg', '<svg xmlns="http://www.w3.org/2000/svg"><title>a</title></svg>\n');
  write('slides/bad.svg', '<svg xmlns="http://www.w3.org/2000/svg"><title>a</svg>\n');
  assert.equal(lint('slides/good.svg').status, 0);
  const { status, output } = lint('slides/good.svg', 'slides/bad.svg');
  assert.equal(status, 1);
  assert.match(output, /slides\/bad\.svg:1: parser error/);
});

test('every kind of fault in the prose is reported with its line', () => {
  const faults = [
    ['デフォルトです。', 'デフォルト => 既定'],
    ['ディレクトリを作ります。', 'ディレクトリ => ディレクトリー'],
    ['ケイパビリティです。', 'ケイパビリティ => ケーパビリティー'],
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
    ['<details><summary>メモリはどうなりますか?</summary>', 'メモリ => メモリー'],
    ['名前は`container`です。', 'a space is missing', 'spaces'],
  ];
  const text = `# 題\n\n${faults.map(([line]) => `${line}\n`).join('\n')}`;
  write('bad.md', text);
  const { status, output } = lint('bad.md');
  assert.equal(status, 1);
  const found = output.split('\n').map((line) => line.trim());
  faults.forEach(([fault, message], index) => {
    const place = `bad.md:${2 * index + 3}:`;
    assert.ok(found.some((line) => line.startsWith(place) && line.includes(message)),
      `${fault}\n${place} ${message}\n${output}`);
  });
});

test('code is not prose', () => {
  write('good.md', '# 題\n\n`ディレクトリ` と打ちます。\n\n```console\n$ echo ユーザ`id`です\nデフォルト\n```\n');
  const { status, output } = lint('good.md');
  assert.equal(status, 0, output);
});

test('links to missing files and headings are reported', () => {
  write('links.md', '# 題\n\n[無い](no/such.md) と [見出し](#no-such) です。\n\n![図](no-such.svg)\n');
  const { status, output } = lint('links.md');
  assert.equal(status, 1);
  assert.match(output, /Cannot find file `no\/such\.md`/);
  assert.match(output, /Cannot find file `no-such\.svg`/);
  assert.match(output, /Cannot find heading for `#no-such`/);
});

test('sections: order, title and the number of ablations count', () => {
  const wrong = [
    [{ sections: SECTIONS.filter((name) => name !== '後始末') }, /^ *\+後始末$/m],
    [{ sections: ['動かす', ...SECTIONS.filter((name) => name !== '動かす')] }, /^ *-動かす$/m],
    [{ title: '05 別の題' }, /the title is not: # 05 PID とマウントの名前空間を分ける/],
    [{ ablations: 2 }, /fewer than 3 ablations/],
  ];
  for (const [fault, message] of wrong) {
    write(GUIDE, guide(fault));
    const { status, output } = lint(GUIDE);
    assert.equal(status, 1, output);
    assert.match(output, /^sections +FAILED/m);
    assert.match(output, message);
  }
  write(GUIDE, guide());
});

test('a file that does not exist is reported', () => {
  const { status, output } = lint(GUIDE, 'slides/99.md');
  assert.equal(status, 1);
  assert.match(output, /slides\/99\.md: no such file/);
});

test('a broken table of terms is an error that shows its own message', () => {
  const terms = readFileSync(join(repo, 'slides/tool/prh.yml'), 'utf8');
  write('slides/tool/prh.yml', `${terms}  - { expected: a, pattern: b, specs: [{ from: b, to: c }] }\n`);
  const { status, output } = lint(GUIDE);
  write('slides/tool/prh.yml', terms);
  assert.equal(status, 1);
  assert.match(output, /a spec failed/);
});

test('step-table: the committed table is up to date; a changed program is noticed and the table made again', () => {
  const table = (...args) => run('tests/chain/step-table.sh', ...args);
  assert.equal(table('--check').status, 0);
  const main = readFileSync(join(repo, 'steps/04-uts-hostname/main.c'), 'utf8');
  write('steps/04-uts-hostname/main.c', main.replace('die("sethostname " HOSTNAME)', 'die("setdomainname")'));
  const { status, output } = table('--check');
  assert.equal(status, 1);
  assert.match(output, /out of date\n {2}ヒント: /);
  assert.equal(table().status, 0);
  assert.equal(table('--check').status, 0);
  const readme = readFileSync(join(repo, 'README.ja.md'), 'utf8').split('\n');
  const rows = readme.filter((line) => line.startsWith('| [0'));
  assert.equal(rows.length, 9);
  assert.match(rows[3], /\| `setdomainname`, `CLONE_NEWUTS` \|.*\| \+16 −2 \|/);
  assert.match(rows[1], /\| `clone3`, `CLONE_NEWIPC`, `CLONE_NEWNET`, `CLONE_NEWUSER` \|/);
  assert.match(rows[6], /`pivot_root`, `umount2` \|.*\(steps\/07-pivot-root\/main\.c\), \[スライド\]\(slides\/07\.md\)/);
});

test('cpu-chart: the same data give the same picture, with every measured value', () => {
  const data = '# 1 本の仕事 0.250 s, CPU 2 個\ncpus,threads,expected,measured\n' +
    '0.1,1,2.500,2.481\n1,1,0.250,0.262\n2,1,0.250,0.263\n0.1,4,10.000,9.912\n1,4,1.000,1.021\n2,4,0.500,0.534\n';
  write('chart.csv', data);
  const draw = (out) => run('gnuplot', '-c', 'tests/measure/cpu-chart.gp', 'chart.csv', ...(out ? [out] : []));
  for (const name of ['a.svg', 'b.svg']) assert.equal(draw(name).output, '');
  const svg = readFileSync(join(repo, 'a.svg'), 'utf8');
  assert.equal(svg, readFileSync(join(repo, 'b.svg'), 'utf8'));
  for (const value of ['2.48', '0.26', '9.91', '1.02', '0.53']) assert.ok(svg.includes(`>${value}<`), value);
  const { status, output } = draw();
  assert.equal(status, 0);
  assert.match(output, /1 threads/);
});
