// 端末の箱: どちら側か、見る行、比べる 2 つ
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bodyMarkdown } from '../body.mjs';
import { consoleBlock, prepareConsoles } from '../console.mjs';
import { markSides } from '../sides.mjs';
import { partsOf } from '../source.mjs';

const fence = (info, ...lines) => `\`\`\`${info}\n${lines.join('\n')}\n\`\`\`\n`;
const partsIn = (...blocks) => markSides(partsOf(blocks.join('\n')));
// 行ごとの側を、o と i で
const sidesIn = (...blocks) => partsIn(...blocks).flatMap(({ sides = [] }) => sides.map(([letter]) => letter)).join('');

describe('sides', () => {
    const cases = [
        ['a program without a shell stays outside', 'ooo', fence('console', '$ sudo ./step05 run id -u', '0', '$ ls')],
        ['what the launcher prints is outside, the next prompt inside', 'ooiio',
            fence('console', '$ sudo ./step05 run', 'step05: …', '# id', '# exit', '$ ls')],
        ['the same prompt after unshare is inside', 'oii', fence('console', '$ unshare --user sh', '$ id -u', '65534')],
        ['exit at the end of a line leads out', 'oio', fence('console', '$ unshare --user sh', '$ rm x; exit', '$ ls')],
        ['a shell that could not start leads nowhere', 'ooo',
            fence('console', '$ sudo chroot build/x /bin/sh', 'chroot: failed to run command', '$ ls')],
        ['a root shell on the host is outside', 'oo', fence('console', '$ sudo sh', '# ls')],
        ['a terminal keeps its shell over blocks, and another has its own', 'oioi',
            fence('console', '$ sudo ./step05 run', '# ls') + '\n' + fence('console 2', '$ ls') + '\n' + fence('console', '# ps')],
        ['new terminals start outside', 'oio', fence('console', '$ sudo ./step05 run', '# ls') +
            '\n<!-- new terminals -->\n\n' + fence('console', '# ls')],
        ['a forced block', 'ooi', fence('console 外', '$ sudo unshare --mount sh', '# ls') + '\n' + fence('console 2 中', '$ ls')],
    ];
    for (const [title, expected, text] of cases)
        test(title, () => assert.equal(sidesIn(text), expected));
});

const prepared = (...blocks) => {
    const parts = partsIn(...blocks), found = [];
    prepareConsoles(parts, (line, message) => found.push(message));
    return { parts: parts.filter(({ type }) => type === 'fence'), found };
};
const columns = (right, wrong) => `<div class="columns">\n<div class="${right[0]}">\n\n${right[1]}\n</div>\n` +
    `<div class="${wrong[0]}">\n\n${wrong[1]}\n</div>\n</div>\n`;
const looksOf = ({ parts }) => parts.map(({ looks }) => [...looks]);

describe('consoles', () => {
    test('boxes carry the side, and with two terminals their number', () => {
        const { parts } = prepared(fence('console', '$ sudo ./step05 run', '# a < b'), fence('console 2', '$ ls'));
        const [first, second] = parts.map((part) => consoleBlock(part, 22));
        assert.match(first, /^<figure class="console s22"><div class="pane out"><figcaption>外・端末 1<\/figcaption>/);
        assert.match(first, /<div class="pane in"><figcaption>コンテナの中・端末 1<.*<span class="row typed"><span class="prompt"># <\/span>a &lt; b/);
        assert.match(second, /<figcaption>外・端末 2</);
        assert.match(consoleBlock(prepared(fence('console if=cgroup2', '$ a')).parts[0], 22), /外・cgroup v2 のマシンで</);
    });

    test('what was typed is bold, what came out is not', () => {
        const lines = ['$ id -u', '0', '/ # ls', '/tmp # pwd', '# exit', '> more', '^C', 'a $ b'];
        const html = consoleBlock({ info: 'console', lines }, 22);
        assert.equal((html.match(/class="row typed"/g) ?? []).length, 6);
        for (const part of ['<span class="row">0</span>', '<span class="row">a $ b</span>', '<span class="prompt">/tmp # </span>pwd'])
            assert.ok(html.includes(part), part);
    });

    test('a look marks output lines of the next console only', () => {
        const one = prepared('<!-- look: uid -->\n\n' + fence('console', '$ echo uid', 'uid 0'), fence('console', 'uid 1'));
        assert.deepEqual([one.found, looksOf(one)], [[], [[1], []]]);
        assert.match(consoleBlock(one.parts[0], 22), /<span class="row look">uid 0/);
        const md = bodyMarkdown(partsIn('<!-- look: 0 -->\n\n' + fence('console', '$ id', '0')), { report: assert.fail, deck: '05' });
        assert.match(md, /row look/);
    });

    for (const [title, message, ...blocks] of [
        ['a look that matches nothing', /no output line to look at: gid/, '<!-- look: gid -->\n\n' + fence('console', '$ gid', '0')],
        ['a look without a console', /no output line to look at: x/, fence('console', 'x') + '\n<!-- look: x -->'],
        ['a look at three lines', /3 lines to look at/, '<!-- look: a -->\n\n' + fence('console', 'a', 'a', 'a')],
        ['four boxes on a slide', /4 boxes/, fence('console', '$ sudo ./step05 run', '# ls', '# exit', '$ ls') + '\n' + fence('console 2', '$ ls')],
        ['wrong before right', /in the order wrong,right/, columns(['wrong', fence('console', '$ a')], ['right', fence('console', '$ a')])],
        ['different commands', /different commands/, columns(['right', fence('console', '$ a')], ['wrong', fence('console', '$ b')])],
    ])
        test(`${title} is refused`, () => assert.match(prepared(...blocks).found.join('\n'), message));

    test('of two that are compared, the lines that only one has are marked; steps may differ', () => {
        const both = prepared(columns(['right', fence('console', '$ ./step07 run id', 'same', 'a')],
            ['wrong', fence('console', '$ ./step06 run id', 'same', 'b', '$ kill 1')]));
        assert.deepEqual([both.found, looksOf(both)], [[], [[2], [2]]]);
    });
});
