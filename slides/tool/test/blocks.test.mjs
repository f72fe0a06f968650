// 手引きの ▶ と、マシンとの受け渡し。ブラウザーは要らない
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Blocks } from '../../site/blocks.mjs';
import { reasonOf } from '../guide.mjs';
import { Ports } from '../../../rootfs/machine/machine.mjs';
import { Machine } from './fake-machine.mjs';

// answers[打たれたもの] を出すマシン
function blocksOn(answers, list, tokens = {}) {
    const machine = new Machine();
    const blocks = new Blocks(machine, { line: () => '' });
    machine.type = (terminal, text) => machine.shows(terminal, answers[text]);
    for (const terminal of [1, 2])
        machine.shows(terminal, '$ ');
    blocks.show({ tokens, blocks: list.map((block) => ({ terminal: 1, running: false, ...block })) });
    return { machine, blocks };
}
const typed = (text, ...expected) => ({ prompt: text ? '$ ' : '', text, expected });

describe('▶', () => {
    test('what a program prints when it ends is compared, though nothing is typed', async () => {
        const { machine, blocks } = blocksOn({ 'sleep 9; echo $?\r': 'sleep 9; echo $?\r\n' },
            [{ items: [typed('sleep 9; echo $?')], running: true }, { items: [typed('', '143')] }]);
        assert.deepEqual(await blocks.play(0), { ok: true });
        setTimeout(() => machine.shows(1, '143\r\n$ '), 50);
        assert.deepEqual(await blocks.play(1), { ok: true });
    });

    test('a value is remembered until it is forgotten', async () => {
        const { machine, blocks } = blocksOn({}, [{ items: [typed('id', '4711')] }], { 4711: 'vary' });
        for (const [pid, ok] of [['21', true], ['22', false], ['22', true]]) {
            machine.type = (terminal) => machine.shows(terminal, `id\r\n${pid}\r\n$ `);
            if (ok)
                blocks.forget();
            assert.equal((await blocks.play(0)).ok, ok, pid);
        }
    });

    test('what this machine cannot do has a reason', () => {
        for (const [info, reason] of [
            ['console 2 running', undefined],
            ['console tab="perl が入っていません"', 'perl が入っていません'],
            ['console skip="needs a registry" tab="つながりません"', 'つながりません'],
            ['console if=cgroup1', 'cgroup v1 のマシンで試せます'],
            ['console 3 running', '端末が 3 つ要ります'],
        ])
            assert.equal(reasonOf(info), reason, info);
    });
});

describe('the ports of the machine', () => {
    // v86 は、カーネルが用意していない受け口を、メモリーの 0 番地にあるとみなす
    test('nothing is sent before the kernel has made the queue', async () => {
        const sent = [], queue = { has_request: () => true, is_configured: () => queue.ready };
        const emulator = { add_listener() {}, bus: { send: (name) => sent.push(name) } };
        const ports = new Ports(emulator, {});
        const sending = ports.send(0, 'x');
        const later = async (change) => {
            change();
            await new Promise((done) => setTimeout(done, 20));
        };
        await later(() => {});
        await later(() => { emulator.v86 = { cpu: { devices: {} } }; });
        await later(() => { emulator.v86.cpu.devices.virtio_console = { virtio: { queues: [queue] } }; });
        assert.deepEqual(sent, []);
        queue.ready = true;
        await sending;
        assert.deepEqual(sent, ['virtio-console0-input-bytes']);
    });
});
