// 端末の 1 行ごとに、外 (ホスト) で打ったのか、コンテナの中で打ったのかを決める。プロンプトだけでは
// 分からない: 外の root も # で、rootless の中は $ になる。だから、端末ごとに、始めたシェルを積む

const PROMPT = /^((?:\/\S* )?[$#]) ?(.*)$/;
const STARTS = /\b(step\d\d|07-\w+|unshare|nsenter|chroot|runc|podman(?:\.sh)?|docker|bwrap)\b/;
const SHELL = /(?:^|\s)(?:\/bin\/)?(?:sh|bash|-i)$|\bstep\d\d run(?: -\S+(?: [^-\s]\S*)?)*$|\brunc (?:run|exec)\b|\bsudo -[is]$/;

export const isConsole = ({ type, info }) => type === 'fence' && /^console\b/.test(info);

// その端末の番号 (1 から)
export const terminalOf = (info) => Number(/(?:^|\s)([2-9])(?:\s|$)/.exec(info)?.[1] ?? 1);

// info に「外」か「中」があれば、その囲みはすべてそちら
const forced = (info) => ({ 外: 'out', 中: 'in' })[/(?:^|\s)([外中])(?:\s|$)/.exec(info)?.[1]];

// 次のプロンプトを見て、初めて分かる: シェルが始まったのか、終わったのか
function move(stack, command, before, prompt) {
    if (/(?:^|; *)exit\b/.test(command) && stack.length > 1)
        stack.pop();
    // sudo で始まったシェルなら、プロンプトは # になる
    else if (before !== prompt || SHELL.test(command) && !(prompt === '$' && /^sudo\b/.test(command)))
        stack.push(STARTS.test(command) ? 'in' : stack.at(-1));
}

function sideLines(lines, state, side) {
    return lines.map((line) => {
        const typed = PROMPT.exec(line);
        if (typed) {
            const [, prompt, command] = typed;
            if (state.command !== undefined)
                move(state.stack, state.command, state.prompt, prompt);
            Object.assign(state, { command, prompt });
        }
        return side ?? state.stack.at(-1);
    });
}

// 端末の囲みごとに、行の側 (sides) を書き込む。並びはデッキの順
export function markSides(parts) {
    const states = new Map();
    for (const part of parts) {
        if (part.type === 'hidden' && part.text === 'new terminals')
            states.clear();
        if (!isConsole(part))
            continue;
        const number = terminalOf(part.info);
        if (!states.has(number))
            states.set(number, { stack: ['out'] });
        part.sides = sideLines(part.lines, states.get(number), forced(part.info));
    }
    return parts;
}
