// 2 つの端末。打ったものはマシンへ、マシンの出したものは画面へ
import { FitAddon } from '@xterm/addon-fit';
import { Unicode11Addon } from '@xterm/addon-unicode11';
import { Terminal } from '@xterm/xterm';

const COLUMNS = 103, RATIO = 0.6; // 字の幅と高さの比。右端のスクロールバーの分だけ広く
const SMALLEST = 11, LARGEST = 15;
// 全角のまま打ったコマンド。引用符の中と、日本語に続く記号は、そう書きたいもの
const WIDE = /[０-９Ａ-Ｚａ-ｚ　]|(^|[\s;|&])[！-～]/, QUOTED = /(["']).*?\1/g;
const THEME = { background: '#10181f', foreground: '#e8eef2', cursor: '#ffd166' };

export class Terminals extends EventTarget {
    constructor(machine, hosts) {
        super();
        this.machine = machine;
        this.wide = false;
        this.all = hosts.map((host, at) => this.open(host, at + 1));
        machine.addEventListener('output', ({ detail: { terminal, bytes } }) =>
            this.all[terminal - 1].screen.write(bytes));
        machine.addEventListener('ready', () => this.all.forEach((one) => this.resized(one)));
    }

    open(host, number) {
        const screen = new Terminal({
            allowProposedApi: true, fontSize: 15, theme: THEME, scrollback: 5000, screenReaderMode: false,
            fontFamily: 'ui-monospace, "Cascadia Mono", Menlo, "Noto Sans Mono CJK JP", monospace',
        });
        const fit = new FitAddon();
        const one = { screen, fit, number, line: '' };
        screen.loadAddon(fit);
        screen.loadAddon(new Unicode11Addon());
        screen.unicode.activeVersion = '11';
        screen.open(host);
        screen.onData((text) => {
            this.used = true;
            this.machine.type(number, text);
            this.watchWidth(text, one);
        });
        screen.attachCustomKeyEventHandler((event) => this.key(event, screen));
        screen.onResize(() => this.resized(one));
        new ResizeObserver(() => this.fit(host, one)).observe(host);
        return one;
    }

    // 手引きの例は 100 桁。入るように、字を小さくする
    fit(host, { screen, fit }) {
        const size = Math.floor(host.clientWidth / COLUMNS / RATIO * 10) / 10;
        screen.options.fontSize = Math.max(SMALLEST, Math.min(LARGEST, size));
        fit.fit();
    }

    resized({ screen, number }) {
        this.machine.resize(number, screen.rows, screen.cols);
    }

    // Ctrl-C は、選んであるときだけコピー。Ctrl-V は、ブラウザーの貼り付けに任せる
    key(event, screen) {
        const { code, ctrlKey, shiftKey, metaKey, type } = event;
        if (code === 'KeyC' && (ctrlKey || metaKey) && (shiftKey || screen.hasSelection())) {
            if (type === 'keydown') {
                event.preventDefault();
                document.execCommand('copy');
                screen.clearSelection();
            }
            return false;
        }
        return !(code === 'KeyV' && (ctrlKey || metaKey));
    }

    // 全角のまま打ったコマンドは、見つからない。Enter のときに知らせる
    watchWidth(text, one) {
        if (text !== '\r') {
            one.line = (one.line + text).replace(/[^\x7f]\x7f/gu, '').replace(/^.*[\r\x03\x15]/s, '');
            return;
        }
        const wide = one.screen.buffer.active.type === 'normal' && WIDE.test(one.line.replace(QUOTED, ''));
        one.line = '';
        if (wide !== this.wide)
            this.dispatchEvent(new CustomEvent('wide', { detail: this.wide = wide }));
    }

    // 新しいマシンには、前のプログラムの画面もモードもない
    reset() {
        for (const one of this.all) {
            one.screen.reset();
            one.line = '';
        }
    }

    // 出たもの (巻き戻せるところまで)
    text(number) {
        const buffer = this.all[number - 1].screen.buffer.active;
        return Array.from({ length: buffer.length }, (_, row) => buffer.getLine(row).translateToString(true)).join('\n');
    }

    // カーソルのある行の、カーソルまで
    line(number) {
        const { active } = this.all[number - 1].screen.buffer;
        return active.getLine(active.baseY + active.cursorY)?.translateToString(false, 0, active.cursorX) ?? '';
    }

    focus(number) {
        this.all[number - 1].screen.focus();
    }
}
