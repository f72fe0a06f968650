// 標題のスライドに添えるもの: 9 段の階段
import { readdirSync } from 'node:fs';

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
