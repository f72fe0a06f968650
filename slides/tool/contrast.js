// 画面の写しから、文字と地の色の比を測る。check.mjs が、写しを開く白いページで使う
(() => {
    const MINIMUM = 4.5;

    function parse(colour) {
        const [r, g, b, a = 1] = colour.match(/[\d.]+/g)?.map(Number) ?? [];
        return { rgb: [r, g, b], alpha: a };
    }

    function luminance(rgb) {
        const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92
            : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    }

    function ratio(a, b) {
        const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
        return (light + 0.05) / (dark + 0.05);
    }

    const mix = (front, alpha, back) => front.map((v, at) => v * alpha + back[at] * (1 - alpha));

    // 四角形の中で、よく使われている色。文字そのものの色は、半分より多いときだけ数える
    function grounds(image, rects, ink) {
        const count = new Map();
        let all = 0;
        for (const r of rects)
            for (let y = Math.max(0, Math.floor(r.top)); y < Math.min(image.height, r.bottom); y++)
                for (let x = Math.max(0, Math.floor(r.left)); x < Math.min(image.width, r.right); x++) {
                    const at = (y * image.width + x) * 4;
                    const key = image.data[at] << 16 | image.data[at + 1] << 8 | image.data[at + 2];
                    count.set(key, (count.get(key) ?? 0) + 1);
                    all++;
                }
        return [...count].map(([key, n]) => ({ rgb: [key >> 16, key >> 8 & 255, key & 255], share: n / all }))
            .filter(({ rgb, share }) => share >= (String(rgb) === String(ink) ? 0.5 : 0.2))
            .map(({ rgb }) => rgb);
    }

    async function pixels(png) {
        const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
        const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
        const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
        context.drawImage(bitmap, 0, 0);
        return context.getImageData(0, 0, bitmap.width, bitmap.height);
    }

    window.measureContrast = async (png, texts, pseudo) => {
        const image = await pixels(png);
        const found = [];
        const judge = (ink, alpha, back, text) => {
            const value = ratio(mix(ink, alpha, back), back);
            if (value < MINIMUM - 0.01)
                found.push({ rule: 'contrast', text: `${value.toFixed(2)} < ${MINIMUM}: ${text}` });
        };
        for (const { colour, alpha, rects, text } of texts) {
            const ink = parse(colour);
            const backs = grounds(image, rects, ink.rgb);
            for (const back of backs)
                judge(ink.rgb, ink.alpha * alpha, back, text);
            if (backs.length === 0)
                found.push({ rule: 'contrast', text: `no plain ground behind: ${text}` });
        }
        for (const { colour, ground, text } of pseudo)
            judge(parse(colour).rgb, parse(colour).alpha, parse(ground).rgb, text);
        return found;
    };
})();
