// build/site を配る: serve.mjs DIR [HOST [PORT]]
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize, resolve } from 'node:path';
import { createGzip } from 'node:zlib';
import { start } from './cli.mjs';

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
    '.svg': 'image/svg+xml', '.wasm': 'application/wasm', '.md': 'text/plain; charset=utf-8', '.c': 'text/plain; charset=utf-8',
    '.h': 'text/plain; charset=utf-8', '.sh': 'text/plain; charset=utf-8' };
// もう圧縮してあるもの
const PACKED = new Set(['.zst', '.bin']);

// root の下の普通のファイル。読めない URL や、ないものは undefined
function fileOf(root, url) {
    try {
        const path = join(root, normalize(decodeURIComponent(new URL(url, 'http://localhost').pathname)));
        const inside = path === join(root, '/') ? join(path, 'index.html') : path;
        const found = statSync(inside, { throwIfNoEntry: false });
        return inside.startsWith(join(root, '/')) && found?.isFile() ? { path: inside, size: found.size, mtime: found.mtime } : undefined;
    } catch {
        return undefined;
    }
}

function answer(root, request, response) {
    const file = fileOf(root, request.url);
    if (!file) {
        response.writeHead(404).end('not found\n');
        return;
    }
    const extension = extname(file.path);
    // 名前に中身のハッシュがあるものは、変わらない
    const cache = /-[0-9a-f]{12}\.\w+$/.test(file.path) ? 'max-age=31536000, immutable' : 'no-cache';
    const headers = { 'content-type': TYPES[extension] ?? 'application/octet-stream', 'cache-control': cache,
        'last-modified': file.mtime.toUTCString() };
    if (request.headers['if-modified-since'] === headers['last-modified']) {
        response.writeHead(304, headers).end();
        return;
    }
    const packs = !PACKED.has(extension) && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
    response.writeHead(200, { ...headers, ...packs ? { 'content-encoding': 'gzip' } : { 'content-length': file.size } });
    const source = createReadStream(file.path);
    (packs ? source.pipe(createGzip()) : source).pipe(response);
}

// 配り始める。port が 0 なら、空いているもの
export function serve(directory, host, port) {
    const root = resolve(directory);
    const server = createServer((request, response) => answer(root, request, response));
    return new Promise((done, fail) => server.once('error', fail).listen(port, host, () => done(server)));
}

start(import.meta.url, 'serve.mjs', async ([directory, host = 'localhost', port = '8000']) => {
    await serve(directory, host, Number(port));
    console.log(`http://${host === '0.0.0.0' ? 'このマシンのアドレス' : host}:${port}/ で開けます。終わりは Ctrl-C`);
});
