// 作ったページを、本物のブラウザーで、受講者として試す: check-site.mjs DIR [--all]
//   --all  手引きの「もっと」も
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { withBrowser } from './browser.mjs';
import { start } from './cli.mjs';
import { serve } from './serve.mjs';

const MOST = 45e6, FIRST = 25e6; // 全体と、はじめて開くときに届くものの上限 [バイト]
const READY = 60_000, BLOCK = 70_000, CHECK = 240_000; // 待つ時間の上限 [ms]
const SHOWN = 30; // 失敗したときに見せる、端末 1 の行数
const STEPS = ['01', '02', '03', '04', '05', '06', '07', '08', '09'];
// ▶ で確かめないもの。書く、比べる、確かめるは、ほかで試す
const SKIPPED = /^make (diff|tour|test|start|check)/;

const ready = (page) => page.waitForSelector('body[data-ready]', { timeout: READY });
const figures = (page) => page.locator('#guide figure.console');
// 端末に出たもの (巻き戻せるところまで)
const screen = (page, number) => page.evaluate((at) => globalThis.workshop.terminals.text(at), number);
const until = (page, number, pattern, timeout = BLOCK) => page.waitForFunction(([at, source]) =>
    new RegExp(source, 'm').test(globalThis.workshop.terminals.text(at)), [number, pattern.source], { timeout, polling: 100 });
const type = (page, number, text) => page.evaluate(([at, keys]) => globalThis.workshop.machine.type(at, keys), [number, text]);
const run = (page, command) => page.evaluate((text) => globalThis.workshop.machine.run(text), command);
const write = (page, path, text) => page.evaluate(([name, content]) =>
    globalThis.workshop.machine.write(name, new TextEncoder().encode(content)), [path, text]);

// 手引きの囲み: 何番目か、どの見出しの下か、「もっと」か、差分か
async function blocksOf(page, step) {
    await page.evaluate((number) => { location.hash = number; }, step);
    await page.waitForFunction((number) => document.querySelector('#guide h1')?.textContent.startsWith(number), step);
    return page.evaluate(() => {
        document.querySelectorAll('#guide details').forEach((one) => { one.open = true; });
        let heading = 0, more = false, at = 0;
        return [...document.querySelectorAll('#guide :is(h2, h3, h4, figure.console)')].flatMap((one) => {
            if (one.tagName === 'FIGURE')
                return [{ at: at++, heading, more, edit: one.classList.contains('ablation') }];
            heading++;
            more ||= one.tagName === 'H2' && one.textContent === 'もっと';
            return [];
        });
    });
}

// ▶ を押し、終わるまで待つ。合わなければ、その理由
async function play(page, figure) {
    await figure.locator('.play').click();
    await page.waitForFunction((one) => /\b(ok|ng)\b/.test(one.className), await figure.elementHandle(), { timeout: BLOCK });
    return /\bng\b/.test(await figure.getAttribute('class')) && await figure.locator('output').textContent();
}

// 手引きの ▶ を、上から順に押す。合わなかったものを返す。当てた差分は、その見出しの終わりで元に戻す
async function playGuide(page, step, all) {
    const wrong = [];
    let applied;
    for (const block of (await blocksOf(page, step)).filter(({ more }) => all || !more)) {
        const figure = figures(page).nth(block.at), text = await figure.locator('code').textContent();
        if (SKIPPED.test(text) || !await figure.locator('.play').count())
            continue;
        if (applied && applied.heading !== block.heading && !block.edit)
            await play(page, figures(page).nth(applied.at));
        if (block.edit || /git restore/.test(text) || applied?.heading !== block.heading)
            applied = block.edit ? block : undefined;
        const reason = await play(page, figure);
        if (reason)
            wrong.push(`${step}: ${text.split('\n')[0]}: ${reason}`);
    }
    return wrong;
}

// 学習者のボタン。端末 1 のプロンプトが出てから押す
async function press(page, name) {
    await page.waitForFunction(() => globalThis.workshop.blocks.prompt(1) === '$ ');
    await page.getByRole('button', { name }).click();
}

// 1 つのタブで、順に試す
const TRIALS = {
    'the files, and what is sent to a new reader, are small enough': async (page, { sent, directory }) => {
        const all = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
            .reduce((sum, { parentPath, path, name }) => sum + statSync(join(parentPath ?? path, name)).size, 0);
        const first = (await Promise.all(sent)).reduce((sum, one) => sum + one, 0);
        console.log(`# ${(all / 1e6).toFixed(1)} MB in all, ${(first / 1e6).toFixed(1)} MB to a new reader`);
        assert.ok(all < MOST && first < FIRST);
    },
    'the guides of all steps: every block of the main part prints what is written': async (page, { all }) => {
        const wrong = [];
        for (const step of STEPS)
            wrong.push(...await playGuide(page, step, all));
        assert.deepEqual(wrong, []);
    },
    'make start05 opens the own program in the editor': async (page) => {
        await page.evaluate(() => { location.hash = '05'; });
        await press(page, '書き始める');
        await page.waitForFunction(() => document.querySelector('#file').selectedOptions[0]?.textContent === '自分の main.c');
    },
    'make check05 says what is missing': async (page) => {
        await press(page, '確かめる');
        await until(page, 1, /要件 \d+ 個のうち、\d+ 個を満たしています/, CHECK);
        assert.match(await screen(page, 1), /✗ コンテナ内の echo \$\$ が 1 になる/);
    },
    'what is typed in the editor is compiled, and passes': async (page) => {
        const answer = readFileSync('steps/05-pid-mount/main.c', 'utf8');
        await page.locator('#editor .cm-content').click();
        await page.keyboard.press('Control+A');
        await page.evaluate((text) => navigator.clipboard.writeText(text), answer);
        await page.keyboard.press('Control+V');
        await page.evaluate(() => globalThis.workshop.terminals.all[0].screen.clear());
        await press(page, '確かめる');
        await until(page, 1, /要件 (\d+) 個のうち、\1 個を満たしています/, CHECK);
    },
    'a reload keeps the program and the progress': async (page) => {
        await page.reload();
        await ready(page);
        await type(page, 1, 'make progress\r');
        await until(page, 1, /05.*✓|✓.*05/);
    },
    'two terminals, with the size of the window': async (page) => {
        await page.setViewportSize({ width: 1200, height: 700 });
        await page.waitForTimeout(300);
        const size = await page.evaluate(() => {
            const { rows, cols } = globalThis.workshop.terminals.all[1].screen;
            return `${rows} ${cols}`;
        });
        await type(page, 2, 'clear; stty size; echo 日本語\r');
        await until(page, 2, new RegExp(`^${size}$`));
        await until(page, 2, /^日本語$/);
    },
    '500 pasted lines arrive whole, though nobody reads yet': async (page) => {
        const lines = Array.from({ length: 500 }, (_, at) => `line ${at} ${'x'.repeat(60)}`).join('\n');
        await type(page, 1, 'clear; echo ready; sleep 3; cat >/tmp/pasted; wc -l /tmp/pasted\r');
        await until(page, 1, /^ready$/); // シェルには貼らない
        await page.evaluate((text) => globalThis.workshop.terminals.all[0].screen.paste(`${text}\n`), lines);
        await type(page, 1, '\x04');
        await until(page, 1, /^500 \/tmp\/pasted$/);
    },
    'a machine that does not answer is noticed, and a restart keeps the files': async (page) => {
        await write(page, 'my/05/note.c', 'kept\n');
        await run(page, 'cd my/05 && cp note.c other.c');
        await page.waitForTimeout(1000);
        await run(page, 'kill -STOP $(pgrep -f /usr/local/sbin/alive)');
        await page.locator('#frozen').waitFor({ state: 'visible', timeout: READY });
        await page.evaluate(() => { delete document.body.dataset.ready; });
        await page.locator('#frozen').getByRole('button', { name: 'マシンを作り直す' }).click();
        await ready(page);
        assert.equal((await run(page, 'cat my/05/other.c')).output, 'kept\n');
    },
    'a clock that went wrong is set right': async (page) => {
        const late = async () => Date.now() / 1000 - (await run(page, 'date +%s')).output;
        await run(page, "date -s '5 minutes ago'");
        for (const begun = Date.now(); Math.abs(await late()) > 2;)
            assert.ok(Date.now() - begun < READY);
    },
    'a second tab does not overwrite the first': async (page, { open }) => {
        const second = await open();
        assert.equal(await second.locator('#banner').isVisible(), true);
        await second.close();
        assert.equal(await page.locator('#banner').isVisible(), false);
    },
    'a narrow window stacks the parts': async (page) => {
        await page.setViewportSize({ width: 480, height: 900 });
        const [guide, editor, terminal] = await Promise.all(['#guide', '#editor', '.terminal'].map((one) =>
            page.locator(one).first().boundingBox()));
        assert.ok(guide.y < editor.y && editor.y < terminal.y && guide.width > 440);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 480));
    },
};

start(import.meta.url, 'check-site.mjs', (args) => withBrowser(async (browser) => {
    const server = await serve(args[0], '127.0.0.1', 0);
    const own = `http://127.0.0.1:${server.address().port}/`;
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, permissions: ['clipboard-read', 'clipboard-write'] });
    const errors = [];
    await context.route((url) => !url.href.startsWith(own) && url.protocol !== 'blob:', (route) => {
        errors.push(`a request leaves: ${route.request().url()}`);
        return route.abort();
    });
    // 裏での慣らしは、site.test.mjs が試す。ここでは、ほかの命令を待たせるだけ
    const open = async () => {
        const page = await context.newPage();
        page.on('pageerror', (error) => errors.push(error.stack));
        page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
        page.on('dialog', (dialog) => dialog.accept());
        await page.goto(`${own}?cold`);
        await ready(page);
        return page;
    };
    const sent = [];
    context.on('requestfinished', (request) => sent.push(request.sizes().then((sizes) =>
        sizes.responseBodySize + sizes.responseHeadersSize)));
    const begun = Date.now();
    const page = await open();
    console.log(`# ready after ${((Date.now() - begun) / 1000).toFixed(1)} s`);
    let failed = 0;
    for (const [name, trial] of Object.entries(TRIALS)) {
        const begun = Date.now();
        const error = await trial(page, { open, sent: [...sent], directory: args[0], all: args.includes('--all') }).catch((reason) => reason);
        failed += error ? 1 : 0;
        console.log(`${error ? 'not ok' : 'ok'} ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)${error ? `\n${error.message}` : ''}`);
        if (error)
            console.log((await screen(page, 1).catch(() => '')).trimEnd().split('\n').slice(-SHOWN).join('\n'));
    }
    console.log(`${Object.keys(TRIALS).length - failed} passed, ${failed} failed`);
    errors.forEach((text) => console.log(text));
    server.close();
    server.closeAllConnections();
    return failed || errors.length ? 1 : 0;
}));
