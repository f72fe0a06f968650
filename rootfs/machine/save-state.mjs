// マシンを 1 度起動し、すべて作ってから、状態を保存する: save-state.mjs OUT
// OUT には bzImage と initrd.zst があり、state を書く
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Ports, options } from './machine.mjs';

const [out] = process.argv.slice(2);
const tool = createRequire(new URL('../../slides/tool/package.json', import.meta.url));
const { V86 } = await import(tool.resolve('v86/build/libv86.mjs'));
const buffer = (path) => ({ buffer: new Uint8Array(readFileSync(path)).buffer });
const BIOS = '/usr/share/seabios';

const emulator = new V86(options({
    wasm_path: join(tool.resolve('v86/build/libv86.mjs'), '../v86.wasm'),
    bios: buffer(`${BIOS}/bios.bin`),
    vga_bios: buffer(`${BIOS}/vgabios-stdvga.bin`),
    bzimage: buffer(join(out, 'bzImage')),
    initrd: buffer(join(out, 'initrd.zst')),
    autostart: true,
}));

let serial = '';
emulator.add_listener('serial0-output-byte', (byte) => {
    serial += String.fromCharCode(byte);
    if (process.env.V)
        process.stdout.write(String.fromCharCode(byte));
});
const begun = Date.now();
const seconds = () => ((Date.now() - begun) / 1000).toFixed(1);
const limit = setTimeout(() => {
    console.error(`save-state.mjs: the machine does not boot\n${serial.slice(-2000)}`);
    process.exit(1);
}, 300_000);

// 1 つでも失敗すれば、状態は保存しない
async function must(command) {
    const { status, output } = await ports.run(command);
    console.log(`  ${seconds()} s: ${command.split('\n')[0]}`);
    if (process.env.V || status)
        console.log(output);
    if (status) {
        console.error(`save-state.mjs: status ${status}: ${command}`);
        process.exit(1);
    }
    return output;
}

const ports = new Ports(emulator, { output: () => {}, alive: () => {} });
await ports.ready();
console.log(`  ${seconds()} s: booted`);
for (const command of readFileSync(new URL('./prepare', import.meta.url), 'utf8').split('\n').filter((line) => /^[^#]/.test(line)))
    await must(command);
const state = await emulator.save_state();
writeFileSync(join(out, 'state'), new Uint8Array(state));
clearTimeout(limit);
console.log(`  ${seconds()} s: saved`);
process.exit(0);
