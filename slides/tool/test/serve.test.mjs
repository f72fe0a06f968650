// 教室に配るサーバーは、どんな要求でも止まらない
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { serve } from '../serve.mjs';

let top, server;
before(async () => {
    top = mkdtempSync(join(tmpdir(), 'serve-'));
    mkdirSync(join(top, 'site/guides'), { recursive: true });
    mkdirSync(join(top, 'site-other'));
    writeFileSync(join(top, 'site/index.html'), 'top');
    writeFileSync(join(top, 'site-other/a'), 'secret');
    server = await serve(join(top, 'site'), '127.0.0.1', 0);
});
after(() => {
    server.close();
    server.closeAllConnections();
    rmSync(top, { recursive: true });
});

// 書いたとおりのパスを頼む。fetch は .. や % を直してしまう
const status = (path) => new Promise((done, fail) => {
    const socket = connect(server.address().port, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`));
    let text = '';
    socket.on('data', (data) => (text += data)).on('end', () => done(Number(text.split(' ')[1]))).on('error', fail);
});

for (const [path, wanted] of [['/', 200], ['/?cold', 200], ['/index.html?a=b', 200], ['/guides', 404], ['/guides?x', 404],
    ['/%', 404], ['/%00', 404], ['//', 404], ['/..%2fsite-other/a', 404], ['/%2e%2e/site-other/a', 404], ['/nothing', 404]])
    test(`GET ${path} is answered with ${wanted}`, async () => assert.equal(await status(path), wanted));
