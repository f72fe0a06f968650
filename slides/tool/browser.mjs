// Debian の chromium を、よそに何も聞きに行かないようにして使う
import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'];

// CHROMIUM か、PATH にある chromium を立ち上げて、work に渡す
export async function withBrowser(work) {
    const wanted = process.env.CHROMIUM ?? 'chromium';
    const { stdout } = spawnSync('sh', ['-c', 'command -v "$0"', wanted], { encoding: 'utf8' });
    if (!stdout)
        throw new Error(`${wanted} not found\n` +
            '  ヒント: make setup-docs で入れるか、CHROMIUM=パス を指定してください');
    // 読み込みに時間がかかるので、要るまで読まない
    const { chromium } = await import('playwright-core');
    const browser = await chromium.launch({ executablePath: stdout.trim(), args: FLAGS });
    try {
        return await work(browser);
    } finally {
        await browser.close();
    }
}

// HTML を開く。そのファイルのほかへの要求は、すべて断って refused に渡す。
// file: でないのは、ページの中の移動 (#2 など) を、よそへの移動とみなす版の
// chromium があるから
export async function open(browser, html, refused = () => {}) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
    const own = `http://slides.invalid/${basename(html)}`;
    await page.route('**/*', (route) => {
        const url = route.request().url();
        if (url.split(/[#?]/)[0] === own)
            return route.fulfill({ path: html, contentType: 'text/html; charset=utf-8' });
        if (/^(data|blob|about):/.test(url))
            return route.continue();
        refused(url);
        return route.abort();
    });
    return { page, load: () => page.goto(own) };
}

// スライドを 1 枚ずつ見せて、work を呼ぶ。操作のためのボタンは、撮らない
export async function eachSlide(page, work) {
    await page.addStyleTag({ content: '.bespoke-marp-osc { display: none !important; }' });
    const count = await page.locator('svg.bespoke-marp-slide').count();
    for (let number = 1; number <= count; number++) {
        await page.evaluate((n) => { location.hash = `#${n}`; }, number);
        await page.waitForFunction((n) => document.querySelectorAll('svg.bespoke-marp-slide')[n - 1]
            ?.classList.contains('bespoke-marp-active'), number);
        await work(number);
    }
    return count;
}

// どれにも work をする。同時に 2 つまで
export async function inPairs(list, work) {
    const queue = [...list];
    const worker = async () => {
        while (queue.length)
            await work(queue.shift());
    };
    await Promise.all([worker(), worker()]);
}
