// 手引きの ▶: 囲みを端末に打ち、出たものが書いてあるとおりかを見る。待ち方は
// tests/docs/terminal.py と run.py に、比べ方は match.mjs にそろえる
import { Matcher } from './match.mjs';

const ESCAPES = /\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[=>()][0B]?|\x07/g;
const AT_PROMPT = /(?:^|\n)((?:[~/]\S* )?[$#>] )$/;
const SETTLE = 60;      // プロンプトのあと、これだけ静かなら終わり [ms]
const STEADY = 1_000;   // 出力を待たないものは、これだけ静かなら、動き出したとみなす [ms]
const LIMIT = 60_000;   // 1 つのコマンドを待つ時間 [ms]
const KEPT = 1_000_000; // 覚えておく字の数

function clean(raw) {
    return raw.replace(ESCAPES, '').replace(/\r+\n/g, '\n').split('\n')
        .map((line) => line.slice(line.lastIndexOf('\r') + 1)).join('\n');
}

// 1 つの端末に出たもの。打つたびに忘れる
class Screen {
    constructor() {
        this.decoder = new TextDecoder();
        this.changed = () => {};
        this.forget();
    }

    forget() {
        this.raw = '';
        this.typed = false;
    }

    add(bytes) {
        this.raw = (this.raw + this.decoder.decode(bytes, { stream: true })).slice(-KEPT);
        this.changed();
    }

    get prompt() {
        return AT_PROMPT.exec(clean(this.raw.slice(-1_000)))?.[1] ?? '';
    }

    // 今までに出た行。打った行の反響と、終わりのプロンプトを除く
    lines() {
        let text = clean(this.raw);
        if (this.typed)
            text = text.slice(text.indexOf('\n') + 1 || text.length);
        text = text.replace(AT_PROMPT, (all) => all.startsWith('\n') ? '\n' : '').replace(/\n$/, '');
        return text ? text.split('\n').map((line) => line.trimEnd()) : [];
    }

    // done() が真になり、そのあと quiet だけ静かになるまで待つ
    wait(done, quiet, signal) {
        return new Promise((resolve, reject) => {
            let timer;
            const end = setTimeout(() => stop(reject, new Error('timeout')), LIMIT);
            const abort = () => stop(reject, new Error('stopped'));
            const stop = (settle, value) => {
                clearTimeout(end);
                clearTimeout(timer);
                signal?.removeEventListener('abort', abort);
                this.changed = () => {};
                settle(value);
            };
            this.changed = () => {
                clearTimeout(timer);
                if (done())
                    timer = setTimeout(() => stop(resolve), quiet);
            };
            signal?.addEventListener('abort', abort);
            this.changed();
        });
    }
}

export class Blocks {
    constructor(machine, terminals) {
        this.machine = machine;
        this.terminals = terminals;
        this.screens = new Map([1, 2].map((number) => [number, new Screen()]));
        this.queues = new Map([1, 2].map((number) => [number, Promise.resolve()]));
        machine.addEventListener('output', ({ detail: { terminal, bytes } }) => this.screens.get(terminal).add(bytes));
        machine.addEventListener('ready', () => this.matcher && this.forget());
    }

    // 手引きを 1 つ受け持つ
    show(data) {
        this.data = data;
        this.matcher = new Matcher(data.tokens);
    }

    // PID などの、今までに分かった値を忘れる
    forget() {
        this.matcher.bound = {};
    }

    // 端末に出ているプロンプト。何かが動いていれば、空。打って消した行は、画面を見ると分かる
    prompt(terminal) {
        return this.screens.get(terminal).prompt || (AT_PROMPT.exec(this.terminals.line(terminal))?.[1] ?? '');
    }

    // 比べずに打ち、終わるまで待つ: { ok, message }。何行あってもよい
    command(terminal, text, signal) {
        const items = text.trimEnd().split('\n').map((line) => ({ prompt: ' ', text: line, expected: ['…'] }));
        return this.queue({ terminal, items }, signal);
    }

    // 囲みを 1 つ動かす: { ok, message } か、{ ok, document, terminal }
    play(number, signal) {
        return this.queue(this.data.blocks[number], signal);
    }

    // 1 つの端末では、順に動かす
    queue(block, signal) {
        const turn = this.queues.get(block.terminal).then(() => this.block(block, signal));
        this.queues.set(block.terminal, turn.catch(() => {}));
        return turn;
    }

    async block(block, signal) {
        const screen = this.screens.get(block.terminal);
        for (const [at, item] of block.items.entries()) {
            const after = block.items[at + 1];
            const verdict = await this.item(screen, block, item, after ? !after.prompt : block.running, signal);
            if (!verdict.ok)
                return verdict;
        }
        return { ok: true };
    }

    async item(screen, block, item, runsOn, signal) {
        const prompt = this.prompt(block.terminal);
        if (item.prompt.trim() && prompt !== item.prompt)
            return { ok: false, prompt, wanted: item.prompt };
        try {
            await this.type(screen, block.terminal, item, runsOn, signal);
        } catch (error) {
            return { ok: false, message: error.message };
        }
        const actual = screen.lines();
        if (runsOn)
            screen.forget(); // プロンプトは、まだ出ない
        if (this.matcher.match(item.expected, actual))
            return { ok: true };
        const [document, terminal] = this.matcher.firstDifference(item.expected, actual);
        return { ok: false, document, terminal };
    }

    async type(screen, terminal, item, runsOn, signal) {
        const text = this.matcher.typed(item.text);
        if (text) {
            screen.forget();
            screen.typed = true;
            this.machine.type(terminal, item.prompt ? `${text}\r` : String.fromCharCode(text.charCodeAt(1) - 64));
        }
        const fits = () => screen.raw.endsWith('\n') && this.matcher.values(item.expected, screen.lines()) !== null;
        if (!runsOn)
            await screen.wait(() => screen.prompt !== '', SETTLE, signal);
        else if (item.expected.length)
            await screen.wait(() => fits() || screen.prompt !== '', 0, signal);
        else
            await screen.wait(() => true, STEADY, signal);
    }
}
