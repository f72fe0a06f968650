// コードのコメント、文字列、図も、文章と同じ語 (words.yml) で書く
//   node check-words.mjs FILE...   使わない語を「FILE:行: 語 => 使う語」で書く
import { readFileSync } from 'node:fs';
import { fromYAMLFilePath } from 'prh';

const engine = fromYAMLFilePath(new URL('words.yml', import.meta.url).pathname);
for (const file of process.argv.slice(2)) {
    readFileSync(file, 'utf8').split('\n').forEach((line, at) => {
        if (!/[ぁ-んァ-ヶ一-龠]/.test(line)) return;
        for (const { matches, expected } of engine.makeChangeSet(file, line.trim()).diffs) {
            console.log(`${file}:${at + 1}: ${matches[0]} => ${expected}`);
            process.exitCode = 1;
        }
    });
}
