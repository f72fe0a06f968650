// Debian の chromium を、よそに何も聞きに行かないようにして使う
import { accessSync, constants } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'];

// CHROMIUM か、PATH にある chromium
export function chromiumPath() {
    const places = process.env.CHROMIUM ? [process.env.CHROMIUM]
        : (process.env.PATH ?? '').split(delimiter).map((dir) => join(dir, 'chromium'));
    for (const place of places) {
        try {
            accessSync(place, constants.X_OK);
            return place;
        } catch {
            // 次を探す
        }
    }
    throw new Error('chromium not found\n' +
        '  ヒント: make setup-docs で入れるか、CHROMIUM=パス を指定してください');
}

// HTML を開く。そのファイルのほかへの要求は、すべて断って refused に渡す。file: でな
// いのは、ページの中の移動 (#2 など) を、よそへの移動とみなす版の chromium があるから
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

// 操作のためのボタンは、写さない
export const hideButtons = (page) =>
    page.addStyleTag({ content: '.bespoke-marp-osc { display: none !important; }' });

export const launch = () => chromium.launch({ executablePath: chromiumPath(), args: FLAGS });

// いま見えているスライドを切り替える。切り替わるまで待つ
export async function show(page, number) {
    await page.evaluate((n) => { location.hash = `#${n}`; }, number);
    await page.waitForFunction((n) =>
        document.querySelectorAll('svg.bespoke-marp-slide')[n - 1]
            ?.classList.contains('bespoke-marp-active'), number);
}
