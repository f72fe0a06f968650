// 受講者のファイルを、1 つの tar (ustar) にする。読むほうは、GNU tar や bsdtar のものも読める
const BLOCK = 512;
const encoder = new TextEncoder(), decoder = new TextDecoder();
const isOurs = (path) => /^(my|steps)\/./.test(path) && !path.split('/').includes('..');

function header(path, size) {
    const name = encoder.encode(path);
    if (name.length > 100)
        throw new Error(`the name is too long for tar: ${path}`);
    const block = new Uint8Array(BLOCK);
    const put = (text, at) => block.set(encoder.encode(text), at);
    block.set(name, 0);
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
        if (type === '5' || type === 'g')
            continue;
        if (type !== '0' && type !== '' || !isOurs(path))
            throw new Error(`not a file of this workshop: ${path}`);
        files.push([path, body]);
    }
    return files;
}
