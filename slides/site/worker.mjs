// マシンを動かす Worker。ページが重くても、タブが裏にあっても、こちらは止まらない
import { real } from './clock.mjs'; // v86 より先に読む
import { V86 } from 'v86';
import { Ports, options } from '../../rootfs/machine/machine.mjs';

const HEALTH = 2_000;     // 生きているかを尋ねる間隔 [ms]
const SILENT = 8_000;     // 返事がなければ、止まったとみなす [ms]
const LOOK = 50;          // 9p に書かれたものを調べる間隔 [ms]
const EXACT = 300;        // マシンの時計のずれを測れる、返事までの時間と、許すずれ [ms]

let emulator, ports, fresh, asked, answered, health, known, serial = '', frozen = false;
let behind = 0; // マシンの時計の遅れ [ms]
const tell = (type, detail = {}) => postMessage({ type, detail });
// マシンの時計を、今に合わせる。命令が動くまでの時間は分からないので、あとで少し直す
const setClock = () => ports.run(`date -s @${Date.now() / 1000}`);

function measureClock(answer) {
    const now = real(), time = /\d{10}\.\d{6}\n$/.exec(answer)?.[0];
    if (now - asked > EXACT || !time)
        return;
    behind = Date.now() - (now - asked) / 2 - 1000 * time;
    if (Math.abs(behind) > EXACT)
        ports.run(`date -s '${(behind / 1000).toFixed(3)} seconds'`);
}

async function fetchBytes(url, progress) {
    const response = await fetch(url);
    if (!response.ok)
        throw new Error(`${url}: ${response.status}`);
    const parts = [];
    let loaded = 0;
    for (const reader = response.body.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done)
            break;
        parts.push(value);
        progress?.({ loaded: loaded += value.length });
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function start({ files }) {
    const [bios, vga, state] = await Promise.all([fetchBytes(files.bios), fetchBytes(files.vga),
        fetchBytes(files.state, (detail) => tell('progress', detail))]);
    emulator = new V86(options({
        wasm_path: files.wasm,
        bios: { buffer: bios.buffer },
        vga_bios: { buffer: vga.buffer },
        initial_state: { buffer: state.buffer },
    }));
    await new Promise((done) => emulator.add_listener('emulator-ready', done));
    ports = new Ports(emulator, {
        output: (port, bytes) => tell('output', { terminal: port + 1, bytes: bytes.slice() }),
        alive: (bytes) => {
            answered = real();
            measureClock(new TextDecoder().decode(bytes));
            if (frozen)
                tell('alive');
            frozen = false;
        },
    });
    emulator.add_listener('serial0-output-byte', watchPanic);
    // 作り直すときの状態。展開したものを持つより、もう 1 度展開するほうが、メモリーが要らない
    fresh = state;
    await begin();
}

async function begin() {
    await emulator.run();
    await ports.ready();
    await setClock();
    known = new Map(list().map((path) => [path, stamp(path)]));
    answered = real();
    frozen = false;
    clearInterval(health);
    health = setInterval(checkHealth, HEALTH);
    ask();
    tell('ready');
}

// カーネルの最後の言葉は、シリアルに出る
function watchPanic(byte) {
    serial = (serial + String.fromCharCode(byte)).slice(-200);
    if (serial.includes('Kernel panic') && !frozen)
        freeze('panic');
}

function freeze(reason) {
    frozen = true;
    tell('frozen', { reason });
}

// 前の見回りから長くあいていれば、止まっていたのはこちら。時計だけを合わせる
let looked = real();
function checkHealth() {
    const now = real(), slept = now - looked > 3 * HEALTH;
    looked = now;
    if (slept) {
        answered = now;
        setClock();
    }
    if (now - answered > SILENT && !frozen)
        freeze('silent');
    ask();
}

function ask() {
    asked = real();
    ports.ask();
}

// --- 共有しているファイル ------------------------------------------------------
const fs = () => emulator.fs9p;

function nodeOf(path) {
    return fs().SearchPath(path).id;
}

function list() {
    const found = [];
    const walk = (id, path) => {
        for (const [name, child] of fs().GetInode(id).direntries) {
            if (name === '.' || name === '..')
                continue;
            if (fs().IsDirectory(child))
                walk(child, `${path}${name}/`);
            else
                found.push(path + name);
        }
    };
    walk(0, '');
    return found;
}

function stamp(path) {
    const { size, mtime, qid } = fs().GetInode(nodeOf(path));
    return `${size} ${mtime} ${qid.version}`;
}

// マシンの書いたもの、消したものを知らせる
function look() {
    if (!known)
        return; // まだ動いていない
    const now = new Map(list().map((path) => [path, stamp(path)]));
    for (const path of new Set([...known.keys(), ...now.keys()]))
        if (known.get(path) !== now.get(path))
            tell('changed', { path });
    known = now;
}

async function write(path, bytes) {
    await ensure(path.split('/').slice(0, -1));
    await emulator.create_file(path, bytes);
    const inode = fs().GetInode(nodeOf(path));
    inode.uid = inode.gid = 1000;
    inode.mtime = inode.ctime = Math.floor((Date.now() - behind) / 1000);
    known.set(path, stamp(path));
}

async function ensure(names) {
    let parent = 0;
    for (const name of names) {
        let id = fs().Search(parent, name);
        if (id === -1) {
            id = fs().CreateDirectory(name, parent);
            fs().GetInode(id).uid = fs().GetInode(id).gid = 1000;
        }
        parent = id;
    }
}

// 調べたあとで消えることもある
async function read(path) {
    return emulator.read_file(path).catch(() => null);
}

function remove(path) {
    const { parentid, name, id } = fs().SearchPath(path);
    if (id !== -1)
        fs().Unlink(parentid, name);
    known?.delete(path);
}

async function restart() {
    clearInterval(health);
    known = undefined;
    await emulator.stop();
    serial = '';
    ports.forget();
    await emulator.restore_state(fresh.buffer);
    await begin();
}

const calls = {
    start,
    write,
    read,
    remove,
    list: async () => list(),
    run: (command) => ports.run(command),
    restart,
};

addEventListener('message', async ({ data: { id, name, args } }) => {
    if (name === 'type')
        return ports?.send(args[0] - 1, args[1]);
    if (name === 'resize')
        return ports?.resize(args[0] - 1, args[1], args[2]);
    try {
        postMessage({ id, result: await calls[name](...args) });
    } catch (error) {
        postMessage({ id, error: String(error?.stack ?? error) });
    }
});
setInterval(look, LOOK);
