// ページの全体: 手引き、エディター、端末、マシンをつなぐ
import { Blocks } from './blocks.mjs';
import { Editor } from './editor.mjs';
import { Machine } from './machine.mjs';
import { Memory, Store, isKept } from './store.mjs';
import { pack, unpack } from './tar.mjs';
import { Terminals } from './terminals.mjs';

const $ = (selector) => document.querySelector(selector);
const files = JSON.parse($('#files').textContent); // build.mjs が書く
const machine = new Machine(files);
const status = (text) => ($('#status').textContent = text);
const terminals = new Terminals(machine, [...document.querySelectorAll('.terminal > div')]);
const blocks = new Blocks(machine, terminals);
let store, editor, step, shipped, ready = false;

const stepPath = (number) => files.steps[number];
const isStep = (text) => Object.hasOwn(files.steps, text);

// --- 残す ----------------------------------------------------------------------
const same = (one, other) => one && other && one.length === other.length && one.every((byte, at) => byte === other[at]);

// 配ったものと同じなら、残さない
async function keep(path, bytes) {
    if (!store.owns)
        return;
    const change = bytes && !same(bytes, shipped?.get(path)) ? store.put(path, bytes) : store.remove(path);
    await change.catch((error) => store.owns && status(`保存できません: ${error.message}`));
}

// マシンの書いたもの、消したもの。作り直している間の「ない」は、消したのではない
async function saveChanged(path) {
    const bytes = isKept(path) && await machine.read(path);
    if (ready && isKept(path))
        await keep(path, bytes);
    if (ready && path.startsWith('my/'))
        await showFiles();
}

let saving = Promise.resolve();
machine.addEventListener('changed', ({ detail: { path } }) => {
    saving = saving.then(() => saveChanged(path));
});

// 残してあるものを、新しいマシンに戻す
async function putBack() {
    for (const [path, bytes] of await store.all())
        await machine.write(path, bytes.slice());
}

async function readShipped() {
    const paths = (await machine.list()).filter((path) => path.startsWith('steps/'));
    return new Map(await Promise.all(paths.map(async (path) => [path, await machine.read(path)])));
}

// ほかのタブの書いたものに、このマシンをそろえる
async function catchUp() {
    const stored = new Map(await store.all());
    for (const path of (await machine.list()).filter((one) => isKept(one) && !stored.has(one))) {
        if (!shipped.has(path))
            await machine.remove(path);
        else if (!same(await machine.read(path), shipped.get(path)))
            await machine.write(path, shipped.get(path).slice());
    }
    await putBack();
    await showFiles(true);
}

// --- 手引き --------------------------------------------------------------------
async function fetchText(url) {
    const response = await fetch(url);
    if (!response.ok)
        throw new Error(`${url}: ${response.status}`);
    return response.text();
}

async function showStep(number, place = 0) {
    if (number === step)
        return;
    step = number;
    $('#step').value = number;
    $('#deck').href = `slides/${number}.html`;
    const [html, data] = await Promise.all(['html', 'json'].map((kind) => fetchText(`guides/${number}.${kind}`)))
        .catch(({ message }) => [`<p>手引きを読めません (${message})。ページを読み込み直してください。</p>`,
            '{"tokens": {}, "blocks": []}']);
    if (number !== step)
        return; // 待つ間に、ほかを選んだ
    blocks.show(JSON.parse(data));
    $('#guide').innerHTML = html;
    $('#guide').scrollTop = place;
    if (ready)
        await showFiles(true);
    await store.set('step', number).catch(() => {});
}

// 読んでいたところを覚える
let scrolled;
$('#guide').addEventListener('scroll', () => {
    clearTimeout(scrolled);
    scrolled = setTimeout(() => store.set('place', [step, $('#guide').scrollTop]).catch(() => {}), 300);
});

function verdictText({ ok, done = '✓ 書いてあるとおりです', message, document, terminal, prompt, wanted }) {
    if (ok)
        return done;
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
        return blocks.command(1, figure.dataset.type, signal).then((verdict) => ({ ...verdict, done: '' }));
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

// 差分を、教材の main.c に当てる。もう一度押すと、元に戻す。「この 1 行を消すと」は、前に当てたものを
// みな取り除いてから当て、作り直す
let applied = {};
async function applyEdit(figure, signal) {
    const path = `${stepPath(step)}/main.c`, ablation = figure.classList.contains('ablation');
    const now = new TextDecoder().decode(await machine.read(path));
    const last = applied.path === path && applied.after === now ? applied : {};
    const original = last.original ?? now, before = ablation ? original : now, undo = last.figure === figure;
    const after = undo ? last.before : edited(before, figure.querySelector('code').textContent);
    if (after === undefined)
        return { ok: false, message: 'その行が見つかりません。先に、元に戻してください' };
    applied = after === original ? {} : { path, original, before, after, figure: undo ? null : figure };
    const bytes = new TextEncoder().encode(after);
    await keep(path, bytes);
    // 9p の時刻は秒までなので、作ったばかりのものより古く見えないように、次の秒を待つ。時計のずれも見込む
    await new Promise((done) => setTimeout(done, 1400 - Date.now() % 1000));
    await machine.write(path, bytes.slice());
    await editor.open(path);
    blocks.forget();
    const verdict = ablation ? await blocks.command(1, `make step${step}`, signal) : { ok: true };
    return { ...verdict, done: undo ? '元に戻しました' : '当てました。もう一度押すと、元に戻します' };
}

// 差分を当てた本文。当たらなければ undefined
function edited(text, diff) {
    const lines = diff.split('\n');
    const side = (sign) => lines.filter((line) => line[0] === sign || line[0] === ' ' || line === '')
        .map((line) => `${line.slice(1)}\n`).join('').replace(/\n+$/, '\n');
    const parts = text.split(side('-'));
    return parts.length === 2 ? parts.join(side('+')) : undefined;
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
    // コンテナの中や、打ちかけた行に続けては打たない
    if (blocks.prompt(1) !== '$ ')
        return status('端末 1 のプロンプトが $ になってから、もう一度押してください');
    status('');
    await editor?.flush();
    terminals.used = true;
    const word = button.dataset.make;
    machine.type(1, `make ${word}${word === 'progress' ? '' : step}\r`);
    terminals.focus(1);
}));

async function restart() {
    status('マシンを作り直しています…');
    await editor.flush();
    await saving;
    ready = false;
    terminals.reset();
    await machine.restart();
}

$('#restart').addEventListener('click', restart);
$('#about').addEventListener('click', () => $('#machine').showModal());
$('#take').addEventListener('click', async () => {
    await store.take();
    await catchUp();
});
$('#upload-button').addEventListener('click', () => $('#upload').click());

$('#download').addEventListener('click', async () => {
    await editor.flush();
    const link = document.createElement('a');
    try {
        link.href = URL.createObjectURL(new Blob([pack(await store.all())], { type: 'application/x-tar' }));
    } catch (error) {
        return status(`ダウンロードできません: ${error.message}`);
    }
    link.download = 'container-steps.tar';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // すぐに消すと、始まらないブラウザーがある
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

terminals.addEventListener('wide', ({ detail }) =>
    status(detail ? '全角文字で打っています。半角に切り替えてください' : ''));

// F6 で、手引き、エディター、端末 1、端末 2 を巡る
const places = [$('#guide'), $('#editor'), ...document.querySelectorAll('section.terminal')];
const enter = [() => $('#guide').focus(), () => editor.focus(), () => terminals.focus(1), () => terminals.focus(2)];
addEventListener('keydown', (event) => {
    if (event.key !== 'F6')
        return;
    event.preventDefault();
    const here = places.findIndex((place) => place.contains(document.activeElement));
    enter.at(event.shiftKey ? Math.max(here, 0) - 1 : (here + 1) % enter.length)();
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
    shipped ??= await readShipped();
    await putBack();
    ready = true;
    await showFiles(true);
    document.body.dataset.ready = 'yes';
    status('');
    // エミュレーターは、初めて通るコードを、その場で訳す。先に 1 度、裏で調べておく
    if (!location.search.includes('cold'))
        await machine.run('nice -n 19 sudo -u attendee make check04 BIN=./step04');
});
machine.addEventListener('frozen', () => {
    if ($('#frozen').open)
        return;
    $('#frozen').returnValue = ''; // 前の答えが残っている
    $('#frozen').showModal();
});
machine.addEventListener('alive', () => $('#frozen').close('wait'));
$('#frozen').addEventListener('close', () => $('#frozen').returnValue === 'restart' && restart());

// 書けるタブかどうかを、見えるようにする
function showOwner() {
    $('#banner').hidden = store.owns && !store.forgets;
    $('#upload-button').disabled = !store.owns;
    editor.setLocked(!store.owns);
    if (!store.forgets)
        return;
    $('#banner span').textContent = 'このブラウザーには、書いたものを残せません。終わる前に、ダウンロードしてください。';
    $('#take').hidden = true;
}

async function begin() {
    store = await Store.open().catch(() => new Memory());
    editor = new Editor($('#editor'), machine, keep);
    store.addEventListener('lost', showOwner);
    store.addEventListener('owns', showOwner);
    showOwner();
    $('#step').replaceChildren(...Object.entries(files.steps).map(([number, path]) =>
        new Option(path.replace(/^steps\//, ''), number)));
    const wanted = location.hash.slice(1);
    const first = isStep(wanted) ? wanted : await store.setting('step') ?? '01';
    const [number, place] = await store.setting('place') ?? [];
    await showStep(first, number === first ? place : 0);
    await machine.start().catch((error) => status(`マシンを始められません: ${error.message}`));
}

// ブラウザーのコンソールと、テストから触れる
globalThis.workshop = { machine, terminals, blocks };
begin();
