// 使う字だけの書体を、HTML に埋め込む。書体のないマシンでも、同じに見えるように
import { readFileSync, writeFileSync } from 'node:fs';
import { run } from './cli.mjs';

// theme.css で使うもの
export const FAMILIES = ['Noto Sans CJK JP', 'Noto Sans Mono CJK JP'];
const WEIGHTS = { 400: 'regular', 700: 'bold' };

// 書体のファイルと、その中で何番目か。fc-match は、なければ別の書体を答える
function find(family, style) {
    const [file, index, name] = String(run('fontconfig', 'fc-match',
        ['--format', '%{file}\n%{index}\n%{family[0]}', `${family}:${style}`])).split('\n');
    if (name !== family)
        throw new Error(`font not found: ${family} (${style})\n` +
            '  ヒント: make setup-docs で fonts-noto-cjk を入れてください');
    return { file, index };
}

// html の字をすべて持つ書体を、html に足す
export function embedFonts(html) {
    const page = readFileSync(html, 'utf8');
    const faces = FAMILIES.flatMap((family) => Object.entries(WEIGHTS).map(([weight, style]) => {
        const { file, index } = find(family, style);
        const data = run('libharfbuzz-bin', 'hb-subset',
            [`--face-index=${index}`, '--text-file=-', '--output-file=-', file],
            { input: [...new Set(page)].join('') }).toString('base64');
        return `@font-face { font-family: "${family}"; font-weight: ${weight}; ` +
            `src: url(data:font/otf;base64,${data}) format("opentype"); }\n`;
    }));
    writeFileSync(html, page.replace('</head>', () => `<style>\n${faces.join('')}</style></head>`));
}
