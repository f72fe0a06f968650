// ページから見たマシン。本体は worker.mjs が動かす
export class Machine extends EventTarget {
    constructor(files) {
        super();
        this.files = files;
        this.calls = new Map();
        this.count = 0;
        this.worker = new Worker(files.worker, { type: 'module' });
        this.worker.addEventListener('message', ({ data }) => this.receive(data));
        this.worker.addEventListener('error', ({ message }) =>
            this.dispatchEvent(new CustomEvent('frozen', { detail: { reason: message } })));
    }

    receive({ id, type, detail, result, error }) {
        if (type)
            return this.dispatchEvent(new CustomEvent(type, { detail }));
        const { done, fail } = this.calls.get(id);
        this.calls.delete(id);
        return error ? fail(new Error(error)) : done(result);
    }

    call(name, ...args) {
        const id = ++this.count;
        this.worker.postMessage({ id, name, args });
        return new Promise((done, fail) => this.calls.set(id, { done, fail }));
    }

    // 状態を取ってきて、動かす。用意ができると ready が届く
    start() {
        return this.call('start', { files: this.files });
    }

    // 端末 1 か 2 に打つ
    type(terminal, text) {
        this.worker.postMessage({ name: 'type', args: [terminal, text] });
    }

    resize(terminal, rows, columns) {
        this.worker.postMessage({ name: 'resize', args: [terminal, rows, columns] });
    }

    // root のシェルで 1 つの命令を動かす: { status, output }
    run(command) {
        return this.call('run', command);
    }

    // my/ か steps/ の下のパス
    write(path, bytes) {
        return this.call('write', path, bytes);
    }

    // なければ null
    read(path) {
        return this.call('read', path);
    }

    remove(path) {
        return this.call('remove', path);
    }

    list() {
        return this.call('list');
    }

    // 新しいマシンにする。ファイルを戻すのは、ready を受けたページ
    restart() {
        return this.call('restart');
    }
}
