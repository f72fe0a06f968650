// ページを、にせのマシンと本物のブラウザーで試す。本物のマシンとは、check-site.mjs が試す
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withBrowser } from '../browser.mjs';
import { serve } from '../serve.mjs';
import { bundle, writePage } from '../site.mjs';
import { pack } from '../../site/tar.mjs';

const FAKE = fileURLToPath(new URL('fake-machine.mjs', import.meta.url));
const STEPS = { '01': 'steps/01-fork-exec', '02': 'steps/02-namespaces' };
// 手引きの差分
const EDITS = [['ablation', '-int one;'], ['ablation', '-int two;'], ['', '+int mine;\n int two;']];
const OWN = 'my/02/main.c';
const bytes = (text) => new TextEncoder().encode(text);

const editOf = ([name, code]) => `<figure class="console edit ${name}"><button class="play">▶</button>` +
    `<code>${code}</code><output></output></figure>`;

async function build(out) {
    const fake = { name: 'fake', setup: ({ onResolve }) => onResolve({ filter: /\/machine\.mjs$/ }, () => ({ path: FAKE })) };
    await bundle(out, ['page.mjs', 'page.css'], { plugins: [fake] });
    mkdirSync(join(out, 'guides'));
    for (const number of Object.keys(STEPS)) {
        writeFileSync(join(out, `guides/${number}.html`), `<h1>${number}</h1>${EDITS.map(editOf).join('')}<div style="height: 9000px"></div>`);
        writeFileSync(join(out, `guides/${number}.json`), '{"tokens": {}, "blocks": []}');
    }
    writePage(out, { steps: STEPS });
}

// ブラウザーを、全部のテストの間、開いておく
let browser, server, out, context, errors, closed, close;
before(async () => {
    out = mkdtempSync(join(tmpdir(), 'site-'));
    await build(out);
    await bundle(out, ['store.mjs']);
    server = await serve(out, '127.0.0.1', 0);
    await new Promise((opened, failed) => {
        closed = withBrowser((one) => new Promise((done) => {
            [browser, close] = [one, done];
            opened();
        })).catch(failed);
    });
});
after(async () => {
    close();
    await closed;
    server.close();
    server.closeAllConnections();
    rmSync(out, { recursive: true });
});
beforeEach(async () => {
    errors = [];
    context = await browser.newContext({ viewport: { width: 1440, height: 900 }, permissions: ['clipboard-read', 'clipboard-write'] });
});
afterEach(async () => {
    await context.close();
    assert.deepEqual(errors, []);
});

async function open(hash = '#02') {
    const page = await context.newPage();
    page.on('pageerror', (error) => errors.push(error.stack));
    page.on('dialog', (dialog) => dialog.accept());
    await page.goto(`http://127.0.0.1:${server.address().port}/${hash}`);
    await page.waitForSelector('body[data-ready]');
    return page;
}

const own = (page) => page.locator('#editor .cm-content');
const status = (page) => page.locator('#status').textContent();
const owns = (page) => page.locator('#banner').isHidden();
const machine = (page, work, ...args) => page.evaluate(([text, list]) =>
    new Function('machine', '...args', text)(globalThis.workshop.machine, ...list), [work, args]);
const writes = (page, path, text) => machine(page, 'machine.writes(...args)', path, text);
const inMachine = (page, path) => machine(page, 'return machine.text(...args)', path);
const soon = (page, check, value) => page.waitForFunction(check, value, { timeout: 5000, polling: 20 });
const shows = (page, text) => soon(page, (wanted) => document.querySelector('#editor .cm-content').innerText.includes(wanted), text);

// このブラウザーに残っているもの
const kept = (page) => page.evaluate(async () => {
    const done = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
    const database = await done(indexedDB.open('container-steps'));
    const files = database.transaction('files').objectStore('files');
    const [paths, contents] = [await done(files.getAllKeys()), await done(files.getAll())];
    database.close();
    return Object.fromEntries(paths.map((path, at) => [path, new TextDecoder().decode(contents[at])]));
});
const untilKept = async (page, path, text) => {
    for (let turn = 0; (await kept(page))[path] !== text; turn++) {
        assert.ok(turn < 50, `${path} is not kept as ${text}: ${JSON.stringify(await kept(page))}`);
        await page.waitForTimeout(50);
    }
};

// 自分の main.c を書き始めたところ
async function started() {
    const page = await open();
    await writes(page, OWN, 'int mine;\n');
    await shows(page, 'int mine;');
    return page;
}

async function typeAtEnd(page, text) {
    await own(page).click();
    await page.keyboard.press('Control+End');
    await page.keyboard.type(text);
}

describe('two tabs', () => {
    test('of two tabs opened at the same instant, exactly one owns the files', async () => {
        const page = await open();
        await page.goto(new URL('guides/01.html', page.url()).href);
        const owners = await page.evaluate(async () => {
            const { Store } = await import('/store.js');
            const stores = await Promise.all([1, 2, 3, 4].map(() => Store.open()));
            await new Promise((done) => setTimeout(done, 300));
            const written = await Promise.all(stores.map((store, at) => store.put(`my/${at}`, new Uint8Array()).then(() => true, () => false)));
            return [stores.map(({ owns }) => owns), written];
        });
        for (const list of owners)
            assert.equal(list.filter(Boolean).length, 1, JSON.stringify(owners));
    });

    test('a tab that was asleep while another took over cannot write, even in its last moment', async () => {
        const page = await open();
        await page.goto(new URL('guides/01.html', page.url()).href);
        const result = await page.evaluate(async () => {
            const { Store } = await import('/store.js');
            const first = await Store.open();
            first.channel.close(); // 眠っていて、何も聞こえない
            const second = await Store.open();
            await second.put('my/a', new Uint8Array([2]));
            const error = await first.put('my/a', new Uint8Array([1])).catch(({ constructor }) => constructor.name);
            return [error, first.owns, second.owns, (await second.all())[0][1][0]];
        });
        assert.deepEqual(result, ['NotOwner', false, true, 2]);
    });

    test('a tab that takes over shows what the other wrote, and does not overwrite it', async () => {
        const first = await started();
        const second = await open();
        await shows(second, 'int mine;');
        await typeAtEnd(first, 'int newer;');
        await untilKept(first, OWN, 'int mine;\nint newer;');
        await second.locator('#take').click();
        await shows(second, 'int newer;');
        await typeAtEnd(second, 'int last;');
        await untilKept(second, OWN, 'int mine;\nint newer;int last;');
        assert.deepEqual([await owns(first), await owns(second)], [false, true]);
    });

    test('a tab that does not own the files cannot write them', async () => {
        const first = await started();
        const second = await open();
        await typeAtEnd(second, 'int lost;');
        await second.waitForTimeout(400);
        assert.deepEqual(await kept(first), { [OWN]: 'int mine;\n' });
        assert.equal(await inMachine(second, OWN), 'int mine;\n');
        assert.equal(await second.locator('#upload-button').isDisabled(), true);
    });
});

describe('what is kept', () => {
    test('what is typed is in the machine and in the browser, and survives a reload', async () => {
        const page = await started();
        await typeAtEnd(page, 'int more;');
        await page.reload();
        await page.waitForSelector('body[data-ready]');
        await shows(page, 'int more;');
        assert.equal(await inMachine(page, OWN), 'int mine;\nint more;');
    });

    test('a restart that comes right after a change keeps the file', async () => {
        const page = await started();
        await untilKept(page, OWN, 'int mine;\n');
        await machine(page, 'machine.pause = 100; machine.slow = 500; machine.writes(...args)', OWN, 'int changed;\n');
        await page.locator('#restart').click();
        await page.waitForTimeout(1500);
        assert.equal((await kept(page))[OWN], 'int changed;\n');
        assert.equal(await inMachine(page, OWN), 'int changed;\n');
    });

    test('programs, the root file system and what is as shipped are not kept', async () => {
        const page = await started();
        await writes(page, 'my/step02', 'ELF');
        await writes(page, 'my/rootfs/bin/sh', 'ELF');
        await writes(page, 'steps/01-fork-exec/main.c', 'int changed;\n');
        await untilKept(page, 'steps/01-fork-exec/main.c', 'int changed;\n');
        await writes(page, 'steps/01-fork-exec/main.c', 'int one;\n');
        await untilKept(page, 'steps/01-fork-exec/main.c', undefined);
        assert.deepEqual(Object.keys(await kept(page)), [OWN]);
    });

    test('the step and the place in the guide are remembered', async () => {
        const page = await open();
        await page.evaluate(() => (document.querySelector('#guide').scrollTop = 1234));
        await page.waitForTimeout(600);
        await page.close();
        const again = await open('');
        assert.equal(await again.locator('#guide h1').textContent(), '02');
        await soon(again, () => document.querySelector('#guide').scrollTop === 1234);
    });

    test('without a database the page works, and says that nothing is kept', async () => {
        await context.addInitScript(() => Object.defineProperty(globalThis, 'indexedDB', { get() { throw new DOMException('no', 'SecurityError'); } }));
        const page = await started();
        await typeAtEnd(page, 'int more;');
        await soon(page, (path) => globalThis.workshop.machine.text(path) === 'int mine;\nint more;', OWN);
        assert.match(await page.locator('#banner').textContent(), /残せません/);
        assert.equal(await page.locator('#take').isHidden(), true);
    });
});

describe('the guide', () => {
    test('a hash of the step that is shown does not render it again', async () => {
        const page = await open('');
        await page.evaluate(() => document.querySelector('#guide h1').classList.add('same'));
        await page.evaluate(() => { location.hash = '01'; });
        await page.waitForTimeout(300);
        assert.equal(await page.locator('#guide h1.same').count(), 1);
    });

    test('of two steps chosen quickly, the last one is shown', async () => {
        const page = await open('');
        await page.route('**/guides/02.html', async (route) => {
            await new Promise((done) => setTimeout(done, 400));
            await route.continue();
        });
        await page.evaluate(() => { location.hash = '02'; });
        await page.waitForTimeout(50);
        await page.evaluate(() => { location.hash = '01'; });
        await page.waitForTimeout(800);
        assert.equal(await page.locator('#guide h1').textContent(), '01');
        assert.equal(await page.locator('#step').inputValue(), '01');
    });
});

describe('the editor', () => {
    test('Escape, then Tab leaves it; Tab alone indents', async () => {
        const page = await started();
        await typeAtEnd(page, '');
        await page.keyboard.press('Tab');
        await shows(page, '    ');
        await page.keyboard.press('Escape');
        await page.keyboard.press('Tab');
        assert.equal(await page.evaluate(() => document.activeElement.closest('#editor')), null);
    });

    test('Ctrl-S writes at once, and no dialog of the browser opens', async () => {
        const page = await started();
        await typeAtEnd(page, 'int now;');
        const stopped = await page.evaluate(() => new Promise((done) => {
            addEventListener('keydown', (event) => event.code === 'KeyS' && setTimeout(() => done(event.defaultPrevented)));
            const event = new KeyboardEvent('keydown', { key: 's', code: 'KeyS', keyCode: 83, ctrlKey: true, bubbles: true, cancelable: true });
            document.querySelector('#editor .cm-content').dispatchEvent(event);
        }));
        assert.equal(stopped, true);
        assert.equal(await inMachine(page, OWN), 'int mine;\nint now;');
    });

    test('a change of the machine does not replace unsaved text, nor text that is being composed', async () => {
        const page = await started();
        await own(page).click();
        const session = await context.newCDPSession(page);
        await page.keyboard.press('Control+End');
        await session.send('Input.imeSetComposition', { text: 'に', selectionStart: 1, selectionEnd: 1 });
        await writes(page, OWN, 'int other;\n');
        await page.waitForTimeout(100);
        await session.send('Input.imeSetComposition', { text: 'にほ', selectionStart: 2, selectionEnd: 2 });
        await session.send('Input.insertText', { text: '日本' });
        await page.waitForTimeout(400);
        assert.equal(await inMachine(page, OWN), 'int mine;\n日本');
    });

    test('the difference to the step before is read-only', async () => {
        const page = await open();
        await page.locator('#file').selectOption({ label: '前のステップとの差分' });
        await page.waitForSelector('#editor .cm-changedLine, #editor .cm-insertedLine');
        await typeAtEnd(page, 'x');
        await page.waitForTimeout(300);
        assert.equal(await inMachine(page, 'steps/02-namespaces/main.c'), 'int one;\nint two;\n');
    });
});

describe('the terminals', () => {
    const typed = (page, number) => machine(page, 'return machine.typed[args[0]]', number);
    const focus = (page, number) => page.evaluate((one) => globalThis.workshop.terminals.focus(one), number);

    test('Ctrl-C copies a selection; without one it goes to the machine', async () => {
        const page = await open();
        await focus(page, 1);
        await page.keyboard.press('Control+C');
        assert.equal(await typed(page, 1), '\x03');
        await page.evaluate(() => globalThis.workshop.terminals.all[0].screen.select(0, 0, 1));
        await page.keyboard.press('Control+C');
        assert.equal(await typed(page, 1), '\x03');
        assert.equal(await page.evaluate(() => navigator.clipboard.readText()), '$');
    });

    test('Ctrl-V and Ctrl-Shift-V paste, once and whole', async () => {
        const page = await open();
        const lines = Array.from({ length: 500 }, (_, at) => `line ${at} 日本語　${'x'.repeat(60)}`).join('\n');
        await page.evaluate((text) => navigator.clipboard.writeText(text), lines);
        for (const keys of ['Control+V', 'Control+Shift+V']) {
            await machine(page, 'machine.typed[2] = ""');
            await focus(page, 2);
            await page.keyboard.press(keys);
            await soon(page, () => globalThis.workshop.machine.typed[2] !== '');
            assert.equal(await typed(page, 2), lines.replaceAll('\n', '\r'));
        }
    });

    test('a button types at an empty prompt only: not into a program, nor after half a line', async () => {
        const page = await open();
        const shows = (text) => machine(page, 'machine.shows(...args)', 1, text);
        const press = () => page.getByRole('button', { name: '進み具合' }).click();
        for (const busy of ['ls', '\r\n/ # ', '\r\nworking\r\n']) {
            await shows(busy);
            await press();
            assert.match(await status(page), /端末 1 のプロンプトが \$ になってから/);
        }
        await shows('\r\n$ ab\b \b\b \b');
        await soon(page, () => globalThis.workshop.terminals.line(1) === '$ ');
        await press();
        assert.equal(await typed(page, 1), 'make progress\r');
        assert.equal(await status(page), '');
    });

    test('an ablation starts from the given main.c, an edit from what is there, and the same ▶ takes it back', async () => {
        const page = await open(), code = 'steps/02-namespaces/main.c';
        await machine(page, "machine.type = (terminal, text) => machine.shows(terminal, `${text}\\r\\n$ `)");
        const press = async (at, said) => {
            const figure = page.locator('figure.edit').nth(at);
            await figure.locator('output').evaluate((output) => { output.textContent = ''; });
            await figure.locator('.play').click();
            await figure.locator('output', { hasText: said }).waitFor();
            return inMachine(page, code);
        };
        const [one, two, mine] = [0, 1, 2], done = '当てました', undone = '元に戻しました';
        for (const [at, said, text] of [
            [one, done, 'int two;\n'],
            [two, done, 'int one;\n'],
            [two, undone, 'int one;\nint two;\n'],
            [one, done, 'int two;\n'],
            [mine, done, 'int mine;\nint two;\n'],
            [mine, undone, 'int two;\n'],
            [mine, done, 'int mine;\nint two;\n'],
            [two, done, 'int one;\n'],
        ])
            assert.equal(await press(at, said), text, text);
    });

    test('what is composed arrives once, a wide space too', async () => {
        const page = await open();
        await focus(page, 1);
        const session = await context.newCDPSession(page);
        await session.send('Input.imeSetComposition', { text: 'にほんご', selectionStart: 4, selectionEnd: 4 });
        await session.send('Input.insertText', { text: '日本語' });
        await page.waitForTimeout(100);
        await session.send('Input.insertText', { text: '　' });
        await page.waitForTimeout(100);
        assert.equal(await typed(page, 1), '日本語　');
    });

    for (const [line, wide] of [['ｍａｋｅ', true], ['cat　a.c', true], ['ls －l', true], ['make step０５', true],
        ['echo "できた！"', false], ['ｌ\x7fls', false], ['ls -l', false]])
        test(`${JSON.stringify(line)} is ${wide ? '' : 'not '}called full-width`, async () => {
            const page = await open();
            await page.evaluate((text) => {
                for (const letter of `${text}\r`)
                    globalThis.workshop.terminals.all[0].screen.input(letter);
            }, line);
            assert.equal(/全角文字/.test(await status(page)), wide);
            await page.evaluate(() => ['ls', '\r'].forEach((text) => globalThis.workshop.terminals.all[0].screen.input(text)));
            assert.equal(await status(page), '');
        });

    test('a restart sends the sizes, and leaves no mode of the old programs', async () => {
        const page = await open();
        await page.evaluate(() => new Promise((done) => globalThis.workshop.terminals.all[0].screen.write('\x1b[?1049h\x1b[?2004h', done)));
        await machine(page, 'machine.sizes = []');
        await page.locator('#restart').click();
        await soon(page, () => globalThis.workshop.machine.sizes.length >= 2);
        const [kind, bracketed] = await page.evaluate(() => {
            const { buffer, modes } = globalThis.workshop.terminals.all[0].screen;
            return [buffer.active.type, modes.bracketedPasteMode];
        });
        assert.deepEqual([kind, bracketed], ['normal', false]);
        assert.deepEqual((await machine(page, 'return machine.sizes')).map(([number]) => number).sort(), [1, 2]);
    });
});

describe('the keyboard alone', () => {
    const place = (page) => page.evaluate(() => document.activeElement.id ||
        document.activeElement.closest('#editor, section.terminal')?.getAttribute('aria-label') || 'editor');

    test('F6 and Shift-F6 go round from where the focus is', async () => {
        const page = await started();
        await page.locator('section.terminal').nth(1).click();
        await page.keyboard.press('F6');
        assert.equal(await place(page), 'guide');
        await page.keyboard.press('Shift+F6');
        assert.equal(await place(page), '端末 2');
        await page.keyboard.press('Shift+F6');
        assert.equal(await place(page), '端末 1');
        await page.keyboard.press('Shift+F6');
        assert.equal(await place(page), 'editor');
    });

    test('Enter on the upload button opens the chooser, and the files are put back', async () => {
        const page = await open();
        // 受け取る用意は、遅れて整う。押すより、ずっと前に頼んでおく
        const opened = page.waitForEvent('filechooser', { timeout: 5000 });
        await page.waitForTimeout(100);
        await page.locator('#upload-button').focus();
        await page.keyboard.press('Enter');
        const chooser = await opened;
        await chooser.setFiles({ name: 'a.tar', mimeType: 'application/x-tar', buffer: Buffer.from(pack([[OWN, bytes('int up;\n')]])) });
        await shows(page, 'int up;');
        assert.deepEqual(await kept(page), { [OWN]: 'int up;\n' });
    });

    test('Escape in the dialog of a frozen machine waits, also after an earlier restart', async () => {
        const page = await open();
        const frozen = () => machine(page, 'machine.starts = 0; machine.tell("frozen", { reason: "silent" })');
        await frozen();
        await page.locator('#frozen button[value=restart]').click();
        await soon(page, () => globalThis.workshop.machine.starts === 1);
        await frozen();
        await page.keyboard.press('Escape');
        await page.locator('#frozen').waitFor({ state: 'hidden', timeout: 5000 });
        await page.waitForTimeout(200);
        assert.equal(await machine(page, 'return machine.starts'), 0);
    });

    test('every control has a name, and a visible ring', async () => {
        const page = await open();
        const nameless = await page.evaluate(() => [...document.querySelectorAll('button, select, input:not([hidden]), a')]
            .filter((one) => !one.textContent.trim() && !one.labels?.length && !one.ariaLabel).map((one) => one.outerHTML));
        assert.deepEqual(nameless.filter((html) => !/cm-|xterm/.test(html)), []);
        await page.keyboard.press('Tab');
        assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none');
    });
});

describe('what is seen', () => {
    // 字と地の明るさの比。WCAG 2 の AA は 4.5 以上
    const faint = (page, selector) => page.evaluate((wanted) => {
        const rgb = (text) => text.match(/[\d.]+/g).map(Number);
        const light = (text) => rgb(text).slice(0, 3).map((value) => value / 255)
            .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
            .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
        const ground = (one) => {
            for (; one; one = one.parentElement) {
                const colour = getComputedStyle(one).backgroundColor;
                if ((rgb(colour)[3] ?? 1) === 1)
                    return colour;
            }
            return 'rgb(255, 255, 255)';
        };
        return [...document.querySelectorAll(wanted)].filter((one) => one.checkVisibility() && one.textContent.trim())
            .map((one) => [light(getComputedStyle(one).color), light(ground(one)), one])
            .map(([ink, paper, one]) => [(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), one.textContent.slice(0, 30)])
            .filter(([ratio]) => ratio < 4.5);
    }, selector);

    test('text and code have a contrast of 4.5', async () => {
        const page = await open();
        await writes(page, OWN, readFileSync('steps/05-pid-mount/main.c', 'utf8'));
        await shows(page, '#include');
        await page.evaluate(() => (document.querySelector('#banner').hidden = false));
        assert.deepEqual(await faint(page, 'header *, #banner, .bar *, .terminals h2, #editor .cm-line, #editor .cm-line span, #editor .cm-gutterElement'), []);
        await page.locator('#file').selectOption({ label: '自分の main.c と、前のステップとの差分' });
        await page.waitForSelector('#editor .cm-changedLine, #editor .cm-insertedLine');
        assert.deepEqual(await faint(page, '#editor .cm-line, #editor .cm-line span, #editor .cm-deletedChunk *'), []);
    });

    test('a message in the status line does not resize the terminals', async () => {
        const page = await open();
        const sizes = () => machine(page, 'return machine.sizes.length');
        await page.waitForTimeout(300);
        const before = await sizes();
        await page.evaluate(() => (document.querySelector('#status').textContent = '全角文字で打っています。半角に切り替えてください'));
        await page.waitForTimeout(300);
        assert.equal(await sizes(), before);
    });

    for (const width of [1440, 1024, 900, 899, 480, 320])
        test(`at ${width} pixels nothing is cut off at the side`, async () => {
            const page = await open();
            await page.setViewportSize({ width, height: 900 });
            const [whole, guide, editor, terminal] = await page.evaluate(() => [document.documentElement.scrollWidth,
                ...['#guide', '#editor', 'section.terminal'].map((one) => document.querySelector(one).getBoundingClientRect().toJSON())]);
            assert.ok(whole <= width, `${whole}`);
            assert.ok(editor.height > 150 && terminal.height > 100, `${editor.height} ${terminal.height}`);
            if (width < 900)
                assert.ok(guide.bottom <= editor.top && editor.bottom <= terminal.top);
            else
                assert.ok(guide.right <= editor.left && editor.bottom <= terminal.top);
        });
});

test('what is downloaded is a tar of the kept files', async () => {
    const page = await started();
    await untilKept(page, OWN, 'int mine;\n');
    const [download] = await Promise.all([page.waitForEvent('download'), page.locator('#download').click()]);
    const { unpack } = await import('../../site/tar.mjs');
    const found = unpack(new Uint8Array(readFileSync(await download.path())));
    assert.deepEqual(found.map(([path, content]) => [path, new TextDecoder().decode(content)]), [[OWN, 'int mine;\n']]);
});

test('a check runs in the background as soon as the machine is ready; not with ?cold', async () => {
    const ran = (page) => machine(page, 'return machine.ran');
    assert.match((await ran(await open())).join(), /make check04/);
    assert.deepEqual(await ran(await open('?cold')), []);
});

test('a machine that cannot be loaded is told', async () => {
    await context.addInitScript(() => (globalThis.broken = true));
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await soon(page, () => /始められません.*no state/.test(document.querySelector('#status').textContent));
});
