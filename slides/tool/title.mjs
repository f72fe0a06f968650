// 標題のスライドに添えるもの: 9 段の階段と、リポジトリのアドレス
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import QRCode from 'qrcode';
import { HERE } from './cli.mjs';
import { escape } from './markup.mjs';

const STEP = { width: 122, base: 58, rise: 13 }; // 1 段の幅、初めの段の高さ、段差 (px)

// steps の 9 つを階段にする。deck の段が「いま」で、その前が「済み」
export function stairs(steps, deck) {
    const names = readdirSync(steps).filter((dir) => /^0[1-9]-/.test(dir)).sort();
    const height = STEP.base + STEP.rise * (names.length - 1);
    const columns = names.map((dir, at) => {
        const number = dir.slice(0, 2), x = at * STEP.width, top = height - STEP.base - STEP.rise * at;
        const state = number === deck ? 'now' : number < deck ? 'done' : 'ahead';
        const text = (name, y, word) => `<text class="${name}" x="${x + 10}" y="${top + y}">${word}</text>`;
        return `<g class="${state}"><rect x="${x + 1}" y="${top + 1}" width="${STEP.width - 2}" ` +
            `height="${height - top - 2}"/>${text('number', 26, number)}${text('name', 48, dir.slice(3))}</g>`;
    });
    const where = deck === '00' ? '9 つのステップ' : `9 つのステップのうち ${deck}`;
    return `<div class="stairs"><svg viewBox="0 0 ${STEP.width * names.length} ${height}" role="img" ` +
        `aria-label="${where}">${columns.join('')}</svg></div>`;
}

// 見せてよいアドレス。パスワードや .git は除く。http(s) のものでなければ null
export function publicUrl(text) {
    if (!URL.canParse(text) || !/^https?:/.test(text))
        return null;
    const url = new URL(text);
    url.username = url.password = '';
    return url.href.replace(/(\.git)?\/?$/, '');
}

// 指定されたものか、git の origin
export function repositoryUrl(wanted) {
    const { stdout } = spawnSync('git', ['-C', HERE, 'remote', 'get-url', 'origin'], { encoding: 'utf8' });
    const url = publicUrl(wanted ?? (stdout ?? '').trim());
    if (wanted && !url)
        throw new Error(`not an address: ${wanted}\n  ヒント: make slides REPO_URL=https://… の形にしてください`);
    return url;
}

// アドレスと、その QR コード。周りに 4 つ分の余白が要る
export function addressBlock(url) {
    const { size, data } = QRCode.create(url).modules;
    const dark = [...data].flatMap((bit, at) => (bit ? `M${at % size + 4} ${Math.floor(at / size) + 4}h1v1h-1z` : []));
    return `<div class="address"><svg viewBox="0 0 ${size + 8} ${size + 8}" shape-rendering="crispEdges" role="img" ` +
        `aria-label="QR コード"><path d="${dark.join('')}"/></svg><span>${escape(url)}</span></div>`;
}
