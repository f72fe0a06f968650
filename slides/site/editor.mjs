// main.c を書くところ。書いたものは、すぐにマシンと、このブラウザーに残す
import { cpp } from '@codemirror/lang-cpp';
import { HighlightStyle, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { unifiedMergeView } from '@codemirror/merge';
import { Compartment, EditorState } from '@codemirror/state';
import { EditorView, keymap } from '@codemirror/view';
import { indentWithTab } from '@codemirror/commands';
import { tags } from '@lezer/highlight';
import { basicSetup } from 'codemirror';

const DELAY = 150; // 続けて打っているあいだは待つ [ms]
const encoder = new TextEncoder(), decoder = new TextDecoder();

// 元の色のうち、地との比が 4.5 に足りないものがある
const COLOURS = HighlightStyle.define([
    { tag: tags.comment, color: '#7a4900' },
    { tag: [tags.keyword, tags.modifier, tags.controlKeyword, tags.definitionKeyword], color: '#6b1d8a' },
    { tag: [tags.string, tags.character, tags.special(tags.string)], color: '#9a1c1c' },
    { tag: [tags.number, tags.bool, tags.null, tags.escape], color: '#155c2c' },
    { tag: [tags.typeName, tags.processingInstruction, tags.labelName], color: '#123f82' },
]);

const PHRASES = {
    '$ unchanged lines': '同じ $ 行',
    'Find': '探す', 'Replace': '置き換え', 'next': '次', 'previous': '前', 'all': '全部', 'close': '閉じる',
    'match case': '大文字と小文字を区別', 'by word': '単語単位', 'regexp': '正規表現', 'replace': '置き換える',
    'replace all': '全部置き換える', 'Go to line': '行番号', 'go': '移動', 'current match': 'いまの一致',
    'replaced match on line $': '$ 行目を置き換えました', 'replaced $ matches': '$ か所を置き換えました', 'on line': '行:',
};

export class Editor {
    // save(path, bytes) は、書いたものを残す
    constructor(host, machine, save) {
        this.machine = machine;
        this.save = save;
        this.lock = new Compartment();
        this.locked = false;
        this.view = new EditorView({ parent: host, state: this.state('') });
        machine.addEventListener('changed', ({ detail: { path } }) => path === this.path && this.reload());
        for (const event of ['pagehide', 'visibilitychange'])
            addEventListener(event, () => this.flush());
    }

    state(text, extensions = []) {
        return EditorState.create({
            doc: text,
            extensions: [basicSetup, syntaxHighlighting(COLOURS), cpp(), indentUnit.of('    '),
                EditorState.phrases.of(PHRASES), keymap.of([indentWithTab, { key: 'Mod-s', run: () => this.flush() && true }]),
                this.lock.of(this.readOnly()), ...extensions,
                EditorView.contentAttributes.of({ 'aria-label': 'プログラム' }),
                EditorView.domEventHandlers({ compositionend: () => void setTimeout(() => this.reload()) }),
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
        if (path !== this.path)
            await this.flush(); // 読むのを待つ間に打ったもの
        this.path = path;
        this.before = before;
        this.loading = true;
        this.view.setState(this.state(decoder.decode(bytes ?? new Uint8Array()), old ? [
            unifiedMergeView({ original: decoder.decode(old), mergeControls: false, collapseUnchanged: { margin: 3, minSize: 6 } }),
        ] : []));
        this.loading = false;
    }

    // 残せないタブと、差分では、書けなくする
    readOnly() {
        return EditorState.readOnly.of(this.locked || this.before !== undefined);
    }

    setLocked(locked) {
        this.locked = locked;
        this.view.dispatch({ effects: this.lock.reconfigure(this.readOnly()) });
    }

    // マシンの書いたものを見せる。打ったばかりのものと、日本語を変換している途中のものは、置き換えない
    async reload() {
        const path = this.path, text = path && decoder.decode(await this.machine.read(path) ?? new Uint8Array());
        if (!path || path !== this.path || this.dirty || this.view.composing || text === this.view.state.doc.toString())
            return;
        this.loading = true;
        this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text } });
        this.loading = false;
    }

    focus() {
        this.view.focus();
    }
}
