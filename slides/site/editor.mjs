// main.c を書くところ。書いたものは、すぐにマシンと、このブラウザーに残す
import { cpp } from '@codemirror/lang-cpp';
import { indentUnit } from '@codemirror/language';
import { unifiedMergeView } from '@codemirror/merge';
import { Compartment, EditorState } from '@codemirror/state';
import { EditorView, keymap } from '@codemirror/view';
import { indentWithTab } from '@codemirror/commands';
import { basicSetup } from 'codemirror';

const DELAY = 150; // 続けて打っているあいだは待つ [ms]
const encoder = new TextEncoder(), decoder = new TextDecoder();

export class Editor {
    // save(path, bytes) は、書いたものを残す
    constructor(host, machine, save) {
        this.machine = machine;
        this.save = save;
        this.difference = new Compartment();
        this.view = new EditorView({ parent: host, state: this.state('') });
        machine.addEventListener('changed', ({ detail: { path } }) => path === this.path && !this.dirty && this.reload());
        for (const event of ['pagehide', 'visibilitychange'])
            addEventListener(event, () => this.flush());
    }

    state(text, extensions = []) {
        return EditorState.create({
            doc: text,
            extensions: [basicSetup, cpp(), indentUnit.of('    '), keymap.of([indentWithTab]),
                this.difference.of([]), ...extensions,
                EditorView.contentAttributes.of({ 'aria-label': 'プログラム' }),
                EditorView.updateListener.of((update) => update.docChanged && this.changed())],
        });
    }

    changed() {
        if (!this.path || this.loading)
            return;
        this.dirty = true;
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.flush(), DELAY);
    }

    async flush() {
        clearTimeout(this.timer);
        if (!this.dirty)
            return;
        this.dirty = false;
        const bytes = encoder.encode(this.view.state.doc.toString());
        await Promise.all([this.save(this.path, bytes), this.machine.write(this.path, bytes.slice())]);
    }

    // path を開く。before があれば、そのファイルとの差分を重ねて見せる
    async open(path, before) {
        await this.flush();
        const [bytes, old] = await Promise.all([this.machine.read(path), before && this.machine.read(before)]);
        this.path = path;
        this.before = before;
        this.loading = true;
        this.view.setState(this.state(decoder.decode(bytes ?? new Uint8Array()), old ? [
            unifiedMergeView({ original: decoder.decode(old), mergeControls: false, collapseUnchanged: { margin: 3, minSize: 6 } }),
            EditorState.readOnly.of(true)] : []));
        this.loading = false;
    }

    // 日本語を変換している途中では、置き換えない
    async reload() {
        if (this.view.composing)
            return;
        const text = decoder.decode(await this.machine.read(this.path) ?? new Uint8Array());
        if (text === this.view.state.doc.toString() || this.dirty)
            return;
        this.loading = true;
        this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text } });
        this.loading = false;
    }

    focus() {
        this.view.focus();
    }
}
