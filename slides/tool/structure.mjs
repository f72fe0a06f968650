// C の行の構造: どのコメントとブロックの中にあるか、そこで文が終わっているか
const TOKEN = /\/\*|\*\/|\/\/.*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\S/g;

// コードの 1 語を読む。ブロックは、それを始める文の行 (宣言や条件から「{」まで) で表す。
// 「} else {」は、「if (…) {」の行も引き継ぐ
function readCode(state, info, token, at) {
    const top = state.parens === 0;
    if (token === '}') {
        info.closes.push(state.blocks.pop() ?? []);
        state.from = null;
    } else if (token === '{') {
        const from = state.from ?? at;
        state.blocks.push([...from === at ? info.closes.at(-1) ?? [] : [],
            ...Array.from({ length: at - from + 1 }, (_, more) => from + more)]);
        state.from = null;
    } else if (top && /[;,]/.test(token)) {
        state.from = null;
    } else {
        state.from ??= at;
    }
    state.parens += token === '(' ? 1 : token === ')' ? -1 : 0;
    info.code += token;
}

function readLine(state, text, at) {
    const info = { code: '', comment: state.comment, closes: [], within: [...new Set(state.blocks.flat())] };
    for (const [token] of text.matchAll(TOKEN))
        if (state.comment) {
            state.comment.push(...state.comment.at(-1) === at ? [] : [at]);
            if (token === '*/')
                state.comment = null;
        } else if (token === '/*') {
            info.comment = state.comment = [at];
        } else if (token.startsWith('//')) {
            info.comment = [at];
        } else {
            readCode(state, info, token, at);
        }
    if (/^#.*[^\\]$|:$/.test(info.code))
        state.from = null;
    return { ...info, open: state.comment !== null || state.from !== null };
}

// 行ごとに、code (コメントを除いたもの)、comment (それを含むコメントの行)、within (中に
// いるブロックを始めた行)、closes (終わるブロック)、open (次の行に続くか)
export function structureOf(lines) {
    const state = { comment: null, parens: 0, from: null, blocks: [] };
    return lines.map((text, at) => readLine(state, text, at));
}
