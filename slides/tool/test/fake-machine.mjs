// ページのテストで、machine.mjs の代わりをする。ファイルを持ち、打たれたものを覚える
const bytes = (text) => new TextEncoder().encode(text);
const SHIPPED = { 'steps/01-fork-exec/main.c': 'int one;\n', 'steps/02-namespaces/main.c': 'int one;\nint two;\n' };

export class Machine extends EventTarget {
    constructor() {
        super();
        this.starts = 0;
        this.typed = { 1: '', 2: '' };
        this.sizes = [];
        this.ran = [];
        this.pause = 0; // read が返るまでの時間 [ms]
        this.slow = 0;  // 作り直すのにかかる時間 [ms]
    }

    tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }

    async start() {
        this.starts++;
        if (globalThis.broken)
            throw new Error('no state');
        this.files = new Map(Object.entries(SHIPPED).map(([path, text]) => [path, bytes(text)]));
        await new Promise((done) => setTimeout(done, this.slow));
        this.shows(1, '$ ');
        this.tell('ready');
    }

    restart() {
        return this.start();
    }

    type(terminal, text) {
        this.typed[terminal] += typeof text === 'string' ? text : new TextDecoder().decode(text);
    }

    resize(terminal, rows, columns) {
        this.sizes.push([terminal, rows, columns]);
    }

    async run(command) {
        this.ran.push(command);
        return { status: 0, output: '' };
    }

    async write(path, content) {
        this.files.set(path, content);
    }

    async read(path) {
        await new Promise((done) => setTimeout(done, this.pause));
        return this.files.get(path) ?? null;
    }

    async remove(path) {
        this.files.delete(path);
    }

    async list() {
        return [...this.files.keys()];
    }

    // マシンの中のプログラムが書いた
    writes(path, text) {
        this.files.set(path, bytes(text));
        this.tell('changed', { path });
    }

    // マシンの中のプログラムが、端末に出した
    shows(terminal, text) {
        this.tell('output', { terminal, bytes: bytes(text) });
    }

    text(path) {
        return this.files.has(path) ? new TextDecoder().decode(this.files.get(path)) : undefined;
    }
}
