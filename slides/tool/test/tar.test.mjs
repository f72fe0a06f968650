// ページの tar は、本物の tar(1) と読み書きできるか
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { pack, unpack } from '../../site/tar.mjs';

let directory;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'tar-'))));
afterEach(() => rmSync(directory, { recursive: true }));
const bytes = (text) => new TextEncoder().encode(text);
const tar = (...args) => execFileSync('tar', ['-C', directory, ...args]);

test('tar(1) unpacks what the page packs', () => {
    const files = [['my/05/main.c', bytes('int main() {}\n')], ['my/05/日本語.c', bytes('x'.repeat(1025))], ['my/.hints', bytes('')]];
    writeFileSync(join(directory, 'a.tar'), pack(files));
    tar('-xf', join(directory, 'a.tar'));
    for (const [path, content] of files)
        assert.deepEqual(new Uint8Array(readFileSync(join(directory, path))), content);
});

test('a name of over 100 bytes is divided, and one that cannot be is refused', () => {
    const long = `my/05/${'長い'.repeat(12)}/${'名前'.repeat(14)}.c`;
    writeFileSync(join(directory, 'a.tar'), pack([[long, bytes('a\n')]]));
    tar('-xf', join(directory, 'a.tar'));
    assert.equal(readFileSync(join(directory, long), 'utf8'), 'a\n');
    assert.deepEqual(unpack(pack([[long, bytes('a\n')]])), [[long, bytes('a\n')]]);
    assert.throws(() => pack([[`my/${'x'.repeat(101)}`, bytes('')]]), /too long/);
});

test('what the tar of macOS adds is left out, and odd names are refused', () => {
    assert.deepEqual(unpack(pack([['my/05/._main.c', bytes('x')], ['my/05/main.c', bytes('a')]])), [['my/05/main.c', bytes('a')]]);
    for (const path of ['/my/a', 'my//a', 'my/./a', 'my/', 'my', 'my/a\nb', 'other/my/a', '../my/a'])
        assert.throws(() => unpack(pack([[path, bytes('')]])), /not a file of this workshop/, path);
});

for (const format of ['ustar', 'gnu', 'pax'])
    test(`the page unpacks what tar(1) packs as ${format}`, () => {
        const long = `my/05/${'長'.repeat(format === 'ustar' ? 10 : 60)}.c`;
        mkdirSync(join(directory, 'my/05'), { recursive: true });
        writeFileSync(join(directory, 'my/05/main.c'), 'a\n');
        writeFileSync(join(directory, long), 'b\n');
        const found = unpack(new Uint8Array(tar(`--format=${format}`, '-cf', '-', './my')));
        assert.deepEqual(found.map(([path]) => path).sort(), ['my/05/main.c', long].sort());
        assert.deepEqual(found.find(([path]) => path === long)[1], bytes('b\n'));
    });

test('a name outside my/ and steps/, a link and a broken file are refused', () => {
    mkdirSync(join(directory, 'my'));
    writeFileSync(join(directory, 'my/a'), 'a');
    writeFileSync(join(directory, 'b'), 'b');
    symlinkSync('/etc/passwd', join(directory, 'my/link'));
    const packed = (...args) => new Uint8Array(tar('-cf', '-', '-P', ...args));
    assert.throws(() => unpack(packed('b')), /not a file of this workshop: b/);
    assert.throws(() => unpack(packed('my/../b')), /not a file of this workshop/);
    assert.throws(() => unpack(packed('my/link')), /not a file of this workshop: my\/link/);
    assert.throws(() => unpack(packed('my/a').slice(0, 512)), /ends early/);
    assert.throws(() => unpack(bytes('not a tar'.repeat(100))), /not a tar file/);
});
