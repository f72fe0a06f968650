// 使う字だけの書体を、HTML に埋め込む。書体のないマシンでも、同じに見えるように
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// theme.css で使うもの
export const FAMILIES = ['Noto Sans CJK JP', 'Noto Sans Mono CJK JP'];
const WEIGHTS = { 400: 'regular', 700: 'bold' };

// 動かして、標準出力を返す
function run(command, hint, ...args) {
    try {
        return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    } catch (error) {
        throw new Error(`${command}: ${error.stderr?.trim() || error.message}\n  ヒント: ${hint}`);
    }
}

// 書体のファイルと、その中で何番目か。fc-match は、なければ別の書体を答える
function find(family, style) {
    const [file, index, name] = run('fc-match', 'make setup-docs で fontconfig を入れてください',
        '--format', '%{file}\n%{index}\n%{family[0]}', `${family}:${style}`).split('\n');
    if (name !== family)
        throw new Error(`font not found: ${family} (${style})\n  ヒント: make setup-docs で fonts-noto-cjk を入れてください`);
    return { file, index };
}

// text の字をすべて持つ書体の、@font-face の並び
function fontFaces(text) {
    const dir = mkdtempSync(join(tmpdir(), 'fonts-'));
    const [letters, subset] = [join(dir, 'letters'), join(dir, 'subset.otf')];
    try {
        writeFileSync(letters, [...new Set(text)].join(''));
        return FAMILIES.flatMap((family) => Object.entries(WEIGHTS).map(([weight, style]) => {
            const { file, index } = find(family, style);
            run('hb-subset', 'make setup-docs で libharfbuzz-bin を入れてください',
                `--face-index=${index}`, `--text-file=${letters}`, `--output-file=${subset}`, file);
            const data = readFileSync(subset).toString('base64');
            return `@font-face { font-family: "${family}"; font-weight: ${weight}; ` +
                `src: url(data:font/otf;base64,${data}) format("opentype"); }\n`;
        })).join('');
    } finally {
        rmSync(dir, { recursive: true });
    }
}

export function embedFonts(html) {
    const page = readFileSync(html, 'utf8');
    const style = `<style>\n${fontFaces(page)}</style>`;
    writeFileSync(html, page.replace('</head>', () => `${style}</head>`));
}
