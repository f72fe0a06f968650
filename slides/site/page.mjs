// ページの全体: 手引き、エディター、端末、マシンをつなぐ
import { Blocks } from './blocks.mjs';
import { Editor } from './editor.mjs';
import { Machine } from './machine.mjs';
import { Store, isKept } from './store.mjs';
import { pack, unpack } from './tar.mjs';
import { Terminals } from './terminals.mjs';

const $ = (selector) => document.querySelector(selector);
const files = JSON.parse($('#files').textContent); // build.mjs が書く
const machine = new Machine(files);
const status = (text) => ($('#status').textContent = text);
const terminals = new Terminals(machine, [...document.querySelectorAll('.terminal > div')]);
const blocks = new Blocks(machine);
let store, editor, step, ready = false;

const stepPath = (number) => files.steps[number];
const isStep = (text) => Object.hasOwn(files.steps, text);

// --- 残す ----------------------------------------------------------------------
async function keep(path, bytes) {
    if (!store.owns)
        return;
    await (bytes ? store.put(path, bytes) : store.remove(path)).catch((error) => status(`保存できません: ${error.message}`));
}

// マシンの書いたもの、消したもの
machine.addEventListener('changed', async ({ detail: { path } }) => {
    if (isKept(path))
        await keep(path, await machine.read(path));
    if (path.startsWith('my/'))
        await showFiles();
});

// 残してあるものを、新しいマシンに戻す
async function putBack() {
    for (const [path, bytes] of await store.all())
        await machine.write(path, bytes.slice());
}

// --- 手引き --------------------------------------------------------------------
async function showStep(number) {
    step = number;
    $('#step').value = number;
    $('#deck').href = `slides/${number}.html`;
    const [html, data] = await Promise.all([
        fetch(`guides/${number}.html`).then((response) => response.text()),
        fetch(`guides/${number}.json`).then((response) => response.json())]);
    blocks.show(data);
    $('#guide').innerHTML = html;
    $('#guide').scrollTop = 0;
    if (ready)
        await showFiles(true);
    await store.set('step', number).catch(() => {});
}

function verdictText({ ok, quiet, message, document, terminal, prompt, wanted }) {
    if (ok && quiet)
        return '';
    if (ok)
        return '✓ 書いてあるとおりです';
    if (wanted)
        return `この囲みは、プロンプトが「${wanted.trim()}」のときに打ちます (今は「${prompt.trim() || '実行中'}」)`;
    if (message === 'timeout')
        return '✗ 1 分待っても終わりません';
    if (message === 'stopped')
        return '途中でやめました';
    if (message)
        return `✗ ${message}`;
    return `✗ 違うところ\n  手引き: ${document}\n  端末:   ${terminal}`;
}

function run(figure, signal) {
    if (figure.classList.contains('edit'))
        return applyEdit(figure, signal);
    if (figure.dataset.type !== undefined)
        return blocks.command(1, figure.dataset.type, signal).then((verdict) => ({ ...verdict, quiet: true }));
    return blocks.play(Number(figure.dataset.block), signal);
}

async function play(figure) {
    const button = figure.querySelector('.play');
    if (figure.stop)
        return figure.stop.abort();
    figure.stop = new AbortController();
    figure.classList.remove('ok', 'ng');
    button.textContent = '■';
    const verdict = await run(figure, figure.stop.signal);
    figure.stop = undefined;
    button.textContent = '▶';
    figure.classList.add(verdict.ok ? 'ok' : 'ng');
    figure.querySelector('output').textContent = verdictText(verdict);
}

// 「この 1 行を消すと」の差分を、教材の main.c に当てて、作り直す
async function applyEdit(figure, signal) {
    const path = `${stepPath(step)}/main.c`, lines = figure.querySelector('code').textContent.split('\n');
    const side = (sign) => lines.filter((line) => line[0] === sign || line[0] === ' ' || line === '')
        .map((line) => `${line.slice(1)}\n`).join('');
    const text = new TextDecoder().decode(await machine.read(path));
    const parts = text.split(side('-').replace(/\n+$/, '\n'));
    if (parts.length !== 2)
        return { ok: false, message: 'その行が見つかりません。先に、元に戻してください' };
    const bytes = new TextEncoder().encode(parts.join(side('+').replace(/\n+$/, '\n')));
    await keep(path, bytes);
    await machine.write(path, bytes.slice());
    await editor.open(path);
    return { ...await blocks.command(1, `make step${step}`, signal), quiet: true };
}

$('#guide').addEventListener('click', (event) => {
    const button = event.target.closest('.play'), link = event.target.closest('a[data-heading]');
    if (button)
        play(button.closest('figure'));
    if (link)
        showHeading(link.dataset.heading);
});

function showHeading(text) {
    const wanted = [...$('#guide').querySelectorAll('h2, h3')].find((heading) => heading.textContent === text);
    wanted?.scrollIntoView();
}

addEventListener('hashchange', () => isStep(location.hash.slice(1)) && showStep(location.hash.slice(1)));
$('#step').addEventListener('change', ({ target }) => (location.hash = target.value));

// --- ファイル ------------------------------------------------------------------
function choices(paths) {
    const mine = `my/${step}/main.c`, ours = `${stepPath(step)}/main.c`;
    const before = step === '01' ? undefined : `${stepPath(`0${step - 1}`)}/main.c`;
    return [
        ...paths.includes(mine) ? [['自分の main.c', mine]] : [],
        ['教材の main.c', ours],
        ...before ? [['前のステップとの差分', ours, before]] : [],
        ...before && paths.includes(mine) ? [['自分の main.c と、前のステップとの差分', mine, before]] : [],
    ];
}

let shown = [];
async function showFiles(open) {
    const now = choices(await machine.list());
    const same = JSON.stringify(now) === JSON.stringify(shown);
    if (same && !open)
        return;
    // 書き始めたら、それを開く
    const started = now.length > shown.length && shown[0]?.[1] !== now[0][1];
    const kept = editor.path && now.findIndex(([, path, before]) => path === editor.path && before === editor.before);
    shown = now;
    $('#file').replaceChildren(...now.map(([name], at) => new Option(name, at)));
    const at = open || started || kept === -1 ? 0 : kept;
    $('#file').value = at;
    if (open || started || kept === -1)
        await editor.open(now[at][1], now[at][2]);
}

$('#file').addEventListener('change', ({ target }) => editor.open(shown[target.value][1], shown[target.value][2]));

// --- ボタン --------------------------------------------------------------------
document.querySelectorAll('[data-make]').forEach((button) => button.addEventListener('click', async () => {
    await editor.flush();
    const word = button.dataset.make;
    machine.type(1, `make ${word}${word === 'progress' ? '' : step}\r`);
    terminals.focus(1);
}));

async function restart() {
    status('マシンを作り直しています…');
    ready = false;
    await editor.flush();
    await machine.restart();
}

$('#restart').addEventListener('click', restart);
$('#about').addEventListener('click', () => $('#machine').showModal());
$('#take').addEventListener('click', () => store.take());

$('#download').addEventListener('click', async () => {
    await editor.flush();
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([pack(await store.all())], { type: 'application/x-tar' }));
    link.download = 'container-steps.tar';
    link.click();
    URL.revokeObjectURL(link.href);
});

$('#upload').addEventListener('change', async ({ target }) => {
    try {
        const found = unpack(new Uint8Array(await target.files[0].arrayBuffer()));
        for (const [path, bytes] of found) {
            await keep(path, bytes);
            await machine.write(path, bytes.slice());
        }
        status(`${found.length} 個のファイルを戻しました`);
        await showFiles(true);
    } catch (error) {
        status(`読めません: ${error.message}`);
    }
    target.value = '';
});

terminals.addEventListener('wide', () => status('全角文字で打っています。半角に切り替えてください'));

// F6 で、手引き、エディター、端末 1、端末 2 を巡る
const places = [() => $('#guide').focus(), () => editor.focus(), () => terminals.focus(1), () => terminals.focus(2)];
let place = 0;
addEventListener('keydown', (event) => {
    if (event.key !== 'F6')
        return;
    event.preventDefault();
    place = (place + (event.shiftKey ? places.length - 1 : 1)) % places.length;
    places[place]();
}, true);

// Ctrl-W はタブを閉じるキーなので、尋ねる。書いたものは、もう残してある
addEventListener('beforeunload', (event) => {
    editor?.flush();
    if (terminals.used)
        event.preventDefault();
});

// --- 始める --------------------------------------------------------------------
machine.addEventListener('progress', ({ detail: { loaded } }) =>
    status(`マシンを読み込んでいます… ${(loaded / 1e6).toFixed(1)} MB`));
machine.addEventListener('ready', async () => {
    await putBack();
    ready = true;
    await showFiles(true);
    document.body.dataset.ready = 'yes';
    status('');
    // エミュレーターは、初めて通るコードを、その場で訳す。先に 1 度、裏で調べておく
    if (!location.search.includes('cold'))
        await machine.run('nice -n 19 sudo -u attendee make check04 BIN=./step04');
});
machine.addEventListener('frozen', () => !$('#frozen').open && $('#frozen').showModal());
machine.addEventListener('alive', () => $('#frozen').close('wait'));
$('#frozen').addEventListener('close', () => $('#frozen').returnValue === 'restart' && restart());

async function begin() {
    store = await Store.open();
    const banner = () => ($('#banner').hidden = store.owns);
    store.addEventListener('lost', banner);
    store.addEventListener('owns', banner);
    banner();
    editor = new Editor($('#editor'), machine, keep);
    $('#step').replaceChildren(...Object.entries(files.steps).map(([number, path]) =>
        new Option(path.replace(/^steps\//, ''), number)));
    const wanted = location.hash.slice(1);
    await showStep(isStep(wanted) ? wanted : await store.setting('step') ?? '01');
    await machine.start();
}

// ブラウザーのコンソールと、テストから触れる
globalThis.workshop = { machine, terminals, blocks };
begin();
