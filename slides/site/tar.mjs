// 受講者のファイルを、1 つの tar (ustar) にする。読むほうは、GNU tar や bsdtar のものも読める
const BLOCK = 512;
const encoder = new TextEncoder(), decoder = new TextDecoder();
// 制御文字、空の名前、. と .. のあるものは受けない
const isOurs = (path) => /^(my|steps)\//.test(path) && !/[\x00-\x1f\x7f]/.test(path) &&
    path.split('/').every((name) => !['', '.', '..'].includes(name));
// macOS の tar が、属性のために加えるもの
const isExtra = (path) => /(^|\/)\._[^/]*$/.test(path);

// ustar の名前は 100 バイトまで。それより長ければ、/ で分けた前半を、別のところに置く
function split(path) {
    const size = (text) => encoder.encode(text).length;
    const cuts = [...path.matchAll(/\//g)].map(({ index }) => [path.slice(index + 1), path.slice(0, index)]);
    const fits = [[path, ''], ...cuts].find(([name, prefix]) => size(name) <= 100 && size(prefix) <= 155);
    if (!fits)
        throw new Error(`the name is too long for tar: ${path}`);
    return fits;
}

function header(path, size) {
    const block = new Uint8Array(BLOCK), [name, prefix] = split(path);
    const put = (text, at) => block.set(encoder.encode(text), at);
    put(name, 0);
    put(prefix, 345);
    put('0000644\0', 100);
    put('0001750\0', 108);
    put('0001750\0', 116);
    put(`${size.toString(8).padStart(11, '0')}\0`, 124);
    put(`${Math.floor(Date.now() / 1000).toString(8).padStart(11, '0')}\0`, 136);
    put('        0', 148); // チェックサムは、ここが空白のときの和
    put('ustar\0' + '00', 257);
    put(`${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148);
    return block;
}

// [パス, 中身] の並びを、tar のバイト列にする
export function pack(files) {
    const blocks = files.flatMap(([path, bytes]) =>
        [header(path, bytes.length), bytes, new Uint8Array(-bytes.length & (BLOCK - 1))]);
    const tar = new Uint8Array(blocks.reduce((sum, { length }) => sum + length, 2 * BLOCK));
    let at = 0;
    for (const block of blocks) {
        tar.set(block, at);
        at += block.length;
    }
    return tar;
}

// pax のヘッダーの「長さ 名前=値」から、path だけを取り出す
function paxPath(bytes) {
    return /(?:^|\n)\d+ path=(.*)\n/.exec(decoder.decode(bytes))?.[1];
}

// tar を [パス, 中身] の並びにする。my/ と steps/ の下の普通のファイルのほかがあれば、失敗する
export function unpack(tar) {
    const files = [];
    let longer;
    for (let at = 0; at + BLOCK <= tar.length && tar[at] !== 0;) {
        const text = (from, length) => decoder.decode(tar.subarray(at + from, at + from + length)).split('\0')[0];
        const size = parseInt(text(124, 12), 8), type = text(156, 1), prefix = text(345, 155);
        if (!(size >= 0) || !text(257, 5).startsWith('ustar'))
            throw new Error('not a tar file');
        const body = tar.slice(at + BLOCK, at + BLOCK + size);
        if (body.length < size)
            throw new Error('the tar file ends early');
        const path = (longer ?? (prefix ? `${prefix}/` : '') + text(0, 100)).replace(/^(\.\/)+/, '');
        at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
        if (type === 'x' || type === 'L') {
            longer = type === 'x' ? paxPath(body) : decoder.decode(body).split('\0')[0];
            continue;
        }
        longer = undefined;
        if (type === '5' || type === 'g' || isExtra(path))
            continue;
        if (type !== '0' && type !== '' || !isOurs(path))
            throw new Error(`not a file of this workshop: ${path}`);
        files.push([path, body]);
    }
    return files;
}
