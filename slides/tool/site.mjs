// ブラウザーのタブで使うページを作る: site.mjs OUT MACHINE
// MACHINE には、rootfs/machine の作った state.zst がある
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import * as esbuild from 'esbuild';
import { HERE, start } from './cli.mjs';
import { render } from './guide.mjs';

const TOP = join(HERE, '../..'), SITE = join(HERE, '../site');
const BIOS = '/usr/share/seabios';

// 中身が変われば、名前も変わる。だから、ずっとキャッシュしてよい
function place(out, path) {
    const bytes = readFileSync(path);
    const [stem, ...rest] = basename(path).split('.');
    const hashed = `${stem}-${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}.${rest.join('.')}`;
    mkdirSync(join(out, 'files'), { recursive: true });
    writeFileSync(join(out, 'files', hashed), bytes);
    return `files/${hashed}`;
}

// 色は、スライドと同じ
function colours() {
    const found = readFileSync(join(HERE, 'theme.css'), 'utf8').match(/^ +--[\w-]+: #[0-9a-f]+;$/gm);
    return `:root {\n${found.join('\n')}\n}`;
}

// slides/site の entries (page.mjs など) を、それぞれ 1 つのファイルにする
export function bundle(out, entries, more = {}) {
    return esbuild.build({
        entryPoints: entries.map((name) => join(SITE, name)), outdir: out, bundle: true, format: 'esm',
        platform: 'browser', logLevel: 'error', charset: 'utf8', banner: { css: colours() },
        external: ['crypto', 'fs', 'perf_hooks', 'node:*'], // v86 が Node でだけ使う
        nodePaths: [join(HERE, 'node_modules')], ...more,
    });
}

// files は、ページの読むもののパス
export function writePage(out, files) {
    const page = readFileSync(join(SITE, 'index.html'), 'utf8');
    writeFileSync(join(out, 'index.html'), page.replace('<script type="module"',
        () => `<script type="application/json" id="files">${JSON.stringify(files)}</script>\n<script type="module"`));
}

function writeGuides(out, steps) {
    mkdirSync(join(out, 'guides'), { recursive: true });
    mkdirSync(join(out, 'pictures'), { recursive: true });
    for (const [number, path] of Object.entries(steps)) {
        const guide = join(path, 'README.ja.md');
        const { html, pictures, files } = render(guide);
        writeFileSync(join(out, 'guides', `${number}.html`), html);
        writeFileSync(join(out, 'guides', `${number}.json`), execFileSync('/usr/bin/python3', ['tests/docs/parse.py', guide]));
        for (const picture of pictures)
            copyFileSync(picture, join(out, 'pictures', basename(picture)));
        for (const file of files)
            if (existsSync(file))
                cpSync(file, join(out, 'files', file), { recursive: true });
    }
}

start(import.meta.url, 'site.mjs', async (args) => {
    const [out, made] = args.map((path) => resolve(path));
    process.chdir(TOP);
    const steps = Object.fromEntries(readdirSync('steps').sort().map((name) => [name.slice(0, 2), `steps/${name}`]));
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out, { recursive: true });
    await bundle(out, ['page.mjs', 'worker.mjs', 'page.css'], { minify: true });
    writeGuides(out, steps);
    writePage(out, {
        steps,
        worker: 'worker.js',
        bios: place(out, join(BIOS, 'bios.bin')),
        vga: place(out, join(BIOS, 'vgabios-stdvga.bin')),
        wasm: place(out, join(HERE, 'node_modules/v86/build/v86.wasm')),
        state: place(out, join(made, 'state.zst')),
    });
    for (const deck of readdirSync('slides/build').filter((name) => /^\d\d(-oci)?\.html$/.test(name)))
        cpSync(join('slides/build', deck), join(out, 'slides', deck));
});
