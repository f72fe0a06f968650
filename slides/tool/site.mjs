// ブラウザーのタブで使うページを作る: build.mjs OUT MACHINE
// MACHINE には、rootfs/machine の作った state.zst がある
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';
import { render } from './guide.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const TOP = join(HERE, '../..'), SITE = join(HERE, '../site');
const BIOS = '/usr/share/seabios';
const [out, made] = process.argv.slice(2).map((path) => join(process.cwd(), path));
const steps = Object.fromEntries(readdirSync(join(TOP, 'steps')).sort().map((name) => [name.slice(0, 2), `steps/${name}`]));

// 中身が変われば、名前も変わる。だから、ずっとキャッシュしてよい
function place(path, name = basename(path)) {
    const bytes = readFileSync(path);
    const [stem, ...rest] = name.split('.');
    const hashed = `${stem}-${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}.${rest.join('.')}`;
    mkdirSync(join(out, 'files'), { recursive: true });
    writeFileSync(join(out, 'files', hashed), bytes);
    return `files/${hashed}`;
}

async function bundle(name) {
    await esbuild.build({
        entryPoints: [join(SITE, `${name}.mjs`)], outfile: join(out, `${name}.js`), bundle: true, minify: true,
        format: 'esm', platform: 'browser', logLevel: 'error', charset: 'utf8',
        external: ['crypto', 'fs', 'perf_hooks', 'node:*'], // v86 が Node でだけ使う
        nodePaths: [join(HERE, 'node_modules')],
    });
}

function writeGuides() {
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

process.chdir(TOP);
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const v86 = createRequire(join(HERE, 'package.json')).resolve('v86/build/libv86.mjs');
await Promise.all([bundle('page'), bundle('worker'), esbuild.build({
    entryPoints: [join(SITE, 'page.css')], outfile: join(out, 'page.css'), bundle: true, minify: true, logLevel: 'error',
    nodePaths: [join(HERE, 'node_modules')],
})]);
writeGuides();
const files = {
    steps,
    worker: 'worker.js',
    bios: place(join(BIOS, 'bios.bin')),
    vga: place(join(BIOS, 'vgabios-stdvga.bin')),
    wasm: place(join(v86, '../v86.wasm')),
    state: place(join(made, 'state.zst')),
};
const page = readFileSync(join(SITE, 'index.html'), 'utf8');
writeFileSync(join(out, 'index.html'), page.replace('<script type="module"',
    () => `<script type="application/json" id="files">${JSON.stringify(files)}</script>\n<script type="module"`));
if (existsSync('slides/build'))
    for (const deck of readdirSync('slides/build').filter((name) => /^\d\d\.html$/.test(name)))
        cpSync(join('slides/build', deck), join(out, 'slides', deck));
