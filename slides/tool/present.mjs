// 発表者ツールで見せる。このマシンからだけ開ける
// 使い方: present.mjs DOC。元を直したら、ブラウザーで読み直すと作り直す
import { createReadStream, existsSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { buildDeck, parseArgs } from './build.mjs';

const TYPES = { html: 'text/html', pdf: 'application/pdf', txt: 'text/plain' };
// スライドの中の何かがよそにつなごうとしても、ブラウザーが断る
const POLICY = "default-src 'self' 'unsafe-inline' data: blob:";

// 発表者ツールは同じページをいくつも開くので、作るのは 1 度に 1 回だけにする
let building = Promise.resolve(true);
function rebuild(options, name) {
    building = building.then(() => buildDeck(options, name));
    return building;
}

function send(response, status, type, body) {
    response.writeHead(status, {
        'Content-Type': `${type}; charset=utf-8`,
        'Content-Security-Policy': POLICY,
        'Cache-Control': 'no-store',
    });
    if (typeof body === 'string')
        response.end(body);
    else
        body.pipe(response);
}

async function answer(options, request, response) {
    const path = new URL(request.url, 'http://localhost').pathname;
    if (path === '/favicon.ico') {
        response.writeHead(204).end();
        return;
    }
    const found = /^\/(\d\d)\.(html|pdf|notes\.txt)$/.exec(path);
    if (path === '/') {
        response.writeHead(302, { Location: `/${options.decks[0]}.html` });
        response.end();
        return;
    }
    if (found?.[2] === 'html' && !(await rebuild(options, found[1]))) {
        send(response, 500, 'text/plain', `${found[1]}: 作れませんでした。端末を見てください\n`);
        return;
    }
    const file = found && join(options.out, path.slice(1));
    if (file && existsSync(file))
        send(response, 200, TYPES[found[2].split('.').at(-1)], createReadStream(file));
    else
        send(response, 404, 'text/plain', 'not found\n');
}

async function main() {
    const options = parseArgs(process.argv.slice(2));
    options.quiet = true;
    mkdirSync(options.out, { recursive: true });
    if (options.decks.length !== 1)
        throw new Error('give one deck\n  ヒント: make present05 のように、1 つだけ選んでください');
    if (!(await rebuild(options, options.decks[0])))
        return 1;
    const server = createServer((request, response) => {
        answer(options, request, response).catch((error) => {
            console.error(`present: ${error.message}`);
            send(response, 500, 'text/plain', 'internal error\n');
        });
    });
    await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done));
    console.log(`http://127.0.0.1:${server.address().port}/${options.decks[0]}.html`);
    console.log('  p で発表者ツール、f で全画面。元を直したら、読み直すと作り直します。Ctrl-C で終わります');
    for (const signal of ['SIGINT', 'SIGTERM'])
        process.once(signal, () => {
            server.close();
            server.closeAllConnections();
        });
    return 0;
}

try {
    process.exitCode = await main();
} catch (error) {
    console.error(`present: ${error.message}`);
    process.exitCode = 2;
}
