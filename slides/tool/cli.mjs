// どの道具も使うもの: コマンドラインの語、失敗の知らせ方、ほかのコマンド
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export const HERE = fileURLToPath(new URL('.', import.meta.url));

// 進め方。day はすべてのスライド、halfday は必須のものだけ
const PLANS = { day: '', halfday: 'halfday' };

// デッキの名前 (05、09-oci)。番号は 1 桁でもよい
export const DECK = /^\d\d(-oci)?$/;
export const isDeck = (word) => DECK.test(word.padStart(2, '0'));
const isDeckFile = (file) => file.endsWith('.md') && DECK.test(file.slice(0, -3));

// デッキの名前と --source DIR, --steps DIR, --out DIR, --plan NAME。知らない語は断る
export function readArgs(args, more = {}) {
    const path = (start) => ({ type: 'string', default: join(HERE, start) });
    const options = { source: path('..'), steps: path('../../steps'), out: { type: 'string' },
        plan: { type: 'string', default: 'day' }, ...more };
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true, strict: false });
    const all = readdirSync(values.source).filter(isDeckFile).sort();
    if (all.length === 0)
        throw new Error('no decks\n  ヒント: slides/05.md のような名前で作ってください');
    const decks = positionals.filter(isDeck);
    const known = [...decks, ...Object.keys(options)];
    const rest = [...positionals, ...Object.keys(values)].find((word) => !known.includes(word));
    if (rest)
        throw new Error(`unknown argument: ${rest}\n  ヒント: 00 から 09 を指定します: make slides DOC=05`);
    if (!Object.hasOwn(PLANS, values.plan))
        throw new Error(`unknown plan: ${values.plan}\n  ヒント: make slides PLAN=halfday (半日)。書かなければ 1 日`);
    return { ...values, out: join(resolve(values.out ?? join(values.source, 'build')), PLANS[values.plan]),
        decks: (decks.length ? decks : all).map((word) => word.replace(/\.md$/, '').padStart(2, '0')) };
}

// url のファイルがコマンドとして動かされたのなら、main を動かして、終了ステータスを決める
export async function start(url, name, main) {
    if (!process.argv[1] || resolve(process.argv[1]) !== fileURLToPath(url))
        return;
    try {
        process.exitCode = await main(process.argv.slice(2));
    } catch (error) {
        console.error(`${name}: ${error.message}`);
        process.exitCode = 2;
    }
}

// コマンドを動かして、標準出力を返す。なければ、どのパッケージのものかを言う
export function run(packageName, command, args, { input, fine = [0] } = {}) {
    const { status, stdout, stderr, error } = spawnSync(command, args, { input, maxBuffer: 2 ** 26 });
    if (error || !fine.includes(status))
        throw new Error(`${command}: ${error?.message ?? String(stderr).trim()}\n` +
            `  ヒント: make setup-docs で ${packageName} を入れてください`);
    return stdout;
}
