// v86 の中のマシンの、組み立てと、hvc2 越しの命令。状態を保存する Node と、ページの Worker が使う
const COMMAND_LINE = 'console=ttyS0 quiet rootfstype=ramfs tsc=reliable mitigations=off random.trust_cpu=on ' +
    'nowatchdog init_on_free=1';
const CHUNK = 512; // 受け口の 1 つは 4 kB まで
const PAUSE = 4;   // 受け口が空いたかを見る間隔 [ms]
const AGENT = 2, ALIVE = 3;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export const MEMORY = 256 * 1024 * 1024;

// 状態を戻すときも、保存したときと同じものを渡す
export function options(files) {
    return {
        memory_size: MEMORY,
        vga_memory_size: 1024 * 1024,
        cmdline: COMMAND_LINE,
        virtio_console: true,
        filesystem: {},
        disable_keyboard: true,
        disable_mouse: true,
        disable_speaker: true,
        ...files,
    };
}

// マシンの hvc0 から hvc3 まで。ready() で、命令を受ける用意ができたことが分かる
export class Ports {
    constructor(emulator, { output, alive }) {
        this.emulator = emulator;
        this.text = '';
        this.waiting = new Map();
        this.sending = [0, 1, 2, 3].map(() => Promise.resolve());
        this.last = 0;
        this.age = 0; // 作り直した回数
        this.decoder = new TextDecoder();
        for (const port of [0, 1])
            emulator.add_listener(`virtio-console${port}-output-bytes`, (bytes) => output(port, bytes));
        emulator.add_listener(`virtio-console${AGENT}-output-bytes`, (bytes) => this.answer(bytes));
        emulator.add_listener(`virtio-console${ALIVE}-output-bytes`, alive);
    }

    // 続けて呼んでも、順に届く
    send(port, data) {
        const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
        const { age } = this;
        this.sending[port] = this.sending[port].then(async () => {
            for (let at = 0; at < bytes.length; at += CHUNK) {
                await this.room(port, age);
                if (this.age !== age)
                    return;
                this.emulator.bus.send(`virtio-console${port}-input-bytes`, bytes.subarray(at, at + CHUNK));
            }
        });
        return this.sending[port];
    }

    // マシンの受け口が空くまで待つ。空いていないと、v86 は黙って捨てる。カーネルがまだ用意していない
    // 受け口に送ると、v86 はメモリーの 0 番地を受け口とみなして、関係のない所に書く
    async room(port, age) {
        const open = () => {
            const queue = this.emulator.v86?.cpu.devices.virtio_console?.virtio
                .queues[port === 0 ? 0 : 2 * port + 2];
            return queue?.is_configured() && queue.has_request();
        };
        while (!open() && this.age === age)
            await pause(PAUSE);
    }

    ask() {
        this.send(ALIVE, 'alive\n');
    }

    resize(port, rows, columns) {
        this.emulator.bus.send(`virtio-console${port}-resize`, [rows, columns]);
    }

    // 1 つの命令を root で動かす: { status, output }
    run(command) {
        const id = String(++this.last);
        const bytes = new TextEncoder().encode(command);
        return new Promise((done) => {
            this.waiting.set(id, done);
            this.send(AGENT, `${id} ${btoa(String.fromCharCode(...bytes))}\n`);
        });
    }

    // 作り直したマシンは、前の命令も、打ちかけたものも知らない
    forget() {
        this.age++;
        for (const done of this.waiting.values())
            done({ status: 255, output: '' });
        this.waiting.clear();
        this.text = '';
    }

    // 命令を受けるプロセスが動き出すまで、返事を待っては、また送る
    async ready() {
        let answered = false;
        this.waiting.set('hello', () => { answered = true; });
        while (!answered) {
            await this.send(AGENT, 'hello\n');
            await pause(200);
        }
        this.waiting.delete('hello');
    }

    answer(bytes) {
        this.text += this.decoder.decode(bytes, { stream: true });
        const lines = this.text.split('\n');
        this.text = lines.pop();
        for (const line of lines) {
            const [id, status, output = ''] = line.split(' ');
            const done = this.waiting.get(id);
            if (id !== 'hello')
                this.waiting.delete(id);
            const raw = Uint8Array.from(atob(output), (letter) => letter.charCodeAt(0));
            done?.({ status: Number(status), output: new TextDecoder().decode(raw) });
        }
    }
}
