// いま見えている 1 枚を、ブラウザーの中で調べる。check.mjs がページに読み込ませる
(() => {
    const BLOCK = 'p,li,td,th,h1,h2,h3,h4,h5,h6,blockquote';
    const LIMITS = { pre: 18, prose: 22, other: 16 }; // 字の大きさ (px)
    const CONTRAST = 4.5; // 文字と地の明るさの比

    const styleOf = (element, pseudo) => getComputedStyle(element, pseudo);
    const all = (selector) => [...document.querySelectorAll(`svg.bespoke-marp-active :is(${selector})`)];
    // 図の中の要素。図そのものは、HTML の箱と同じに扱う
    const isDrawn = (element) => element instanceof SVGElement && !(element instanceof SVGSVGElement);

    const ancestors = (element) => (element ? [element, ...ancestors(element.parentElement)] : []);
    const nameOf = (element) => [element.localName, ...element.classList].slice(0, 3).join('.');

    // 見えている文字と、その要素、四角形
    function texts() {
        const list = [];
        const slide = document.querySelector('svg.bespoke-marp-active');
        const walker = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const node = walker.currentNode, element = node.parentElement;
            const text = node.data.trim().slice(0, 40), { visibility, display } = styleOf(element);
            if (text === '' || visibility !== 'visible' || display === 'none' ||
                !element.closest('section') || element.closest('title,desc,style,script,template,metadata'))
                continue;
            const size = sizeOf(element), rects = rectsOf(node, size);
            if (rects.length)
                list.push({ node, element, text, size, rects });
        }
        return list;
    }

    // 書体の高さは字より大きいので、字の大きさの高さに縮める
    function rectsOf(node, size) {
        const range = document.createRange();
        range.selectNodeContents(node);
        return [...range.getClientRects()].filter((r) => r.width > 0.5 && r.height > 0.5).map((r) => {
            const middle = (r.top + r.bottom) / 2, half = Math.min(size, r.height) / 2;
            return { left: r.left, right: r.right, top: middle - half, bottom: middle + half };
        });
    }

    // 画面での字の大きさ。図の中では、縮めた分だけ小さくなる
    function sizeOf(element) {
        const size = parseFloat(styleOf(element).fontSize);
        const svg = element.closest('svg svg') && element.getScreenCTM?.();
        return svg ? size * Math.sqrt(Math.abs(svg.a * svg.d - svg.b * svg.c)) : size;
    }

    // 中身があふれている箱
    function overflows() {
        return all('section, section *').flatMap((box) => {
            const style = styleOf(box);
            if (style.display === 'inline' || !(box instanceof HTMLElement) || box.clientWidth === 0)
                return [];
            const x = box.scrollWidth - box.clientWidth, y = box.scrollHeight - box.clientHeight;
            // 行の高さは書体より小さいので、1 行の箱では数ピクセルあふれて見える
            return x > 1 || y > parseFloat(style.fontSize) * 0.4
                ? [{ rule: 'overflow', text: `${nameOf(box)} by ${Math.max(x, y)} px` }] : [];
        });
    }

    // スライドか、囲む箱からはみ出した文字
    function outside({ element, rects, text }) {
        const slide = { left: 0, top: 0, right: innerWidth, bottom: innerHeight };
        const lineage = ancestors(element);
        const boxes = lineage.slice(0, lineage.findIndex((box) => box.matches('section'))).filter((box) =>
            box instanceof SVGSVGElement || !isDrawn(box) && !styleOf(box).display.startsWith('inline'));
        const leaves = [slide, ...boxes.map((box) => box.getBoundingClientRect())].some((box) =>
            rects.some((r) => r.left < box.left - 2 || r.right > box.right + 2 ||
                r.top < box.top - 2 || r.bottom > box.bottom + 2));
        return leaves ? [{ rule: 'outside', text: `${nameOf(element)}: ${text}` }] : [];
    }

    // 文字どうしの重なり (フッターと本文など)
    function overlaps(list) {
        const flat = list.flatMap((item) => item.rects.map((r) => ({ ...r, item })));
        // ページ番号は ::after なので、測れない。theme.css の場所と同じにする
        if (all('section[data-marpit-pagination]').some((s) => styleOf(s, '::after').position === 'absolute'))
            flat.push({ left: innerWidth - 100, right: innerWidth - 60, top: innerHeight - 44,
                bottom: innerHeight - 20, item: { text: 'page number' } });
        flat.sort((a, b) => a.top - b.top);
        return flat.flatMap((a, at) => flat.slice(at + 1)
            .filter((b) => a.item !== b.item && b.top < a.bottom - 3 &&
                Math.min(a.right, b.right) - Math.max(a.left, b.left) > 3)
            .map((b) => ({ rule: 'overlap', text: `${a.item.text} / ${b.item.text}` })));
    }

    function small({ element, size, text }) {
        const prose = element.closest(BLOCK) ? 'prose' : 'other';
        const kind = isDrawn(element) ? 'other' : element.closest('pre') ? 'pre' : prose;
        return size < LIMITS[kind] - 0.05
            ? [{ rule: 'small', text: `${size.toFixed(1)} px < ${LIMITS[kind]} px: ${text}` }] : [];
    }

    const images = () => all('section img').filter((image) => !image.complete || image.naturalWidth === 0)
        .map((image) => ({ rule: 'image', text: image.alt || image.src.slice(0, 60) }));

    // コントラスト比は WCAG 2 の式
    function luminance(rgb) {
        const [r, g, b] = rgb.map((v) => (v <= 10.31 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    }

    function faint(ink, ground, text) {
        if (!ink || !ground)
            return [{ rule: 'contrast', text: `no plain ground behind: ${text}` }];
        const [dark, light] = [ink, ground].map(luminance).sort((a, b) => a - b);
        const ratio = (light + 0.05) / (dark + 0.05);
        return ratio >= CONTRAST - 0.01 ? []
            : [{ rule: 'contrast', text: `${ratio.toFixed(2)} < ${CONTRAST}: ${text}` }];
    }

    // back に colour を重ねた色。1 つの色に決まらなければ null
    function mix(element, colour, back) {
        if (colour === 'none')
            return back;
        if (!back || !/^rgba?\(/.test(colour))
            return null;
        const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
        const alpha = ancestors(element).reduce((product, up) => product * styleOf(up).opacity,
            isDrawn(element) ? a * styleOf(element).fillOpacity : a);
        return [r, g, b].map((v, at) => v * alpha + back[at] * (1 - alpha));
    }

    // 上から順に重なった要素の、地の色
    const groundOf = (stack) => stack.reduceRight((back, element) => {
        const style = styleOf(element);
        if (element.matches('text, tspan'))
            return back;
        if (style.backgroundImage !== 'none' || element.matches('img, canvas, video, image'))
            return null;
        return mix(element, isDrawn(element) ? style.fill : style.backgroundColor, back);
    }, [255, 255, 255]);

    // 文字のところに重なっている要素を、40 px ごとに、上から順に見る。文字より上に何かあれ
    // ば、文字は隠れている。下にあるものが地になる
    function contrasts({ element, rects, text }) {
        const { color, fill } = styleOf(element);
        return rects.flatMap(({ left, right, top, bottom }) => {
            const count = Math.ceil((right - left) / 40);
            return Array.from({ length: count }, (none, at) => {
                const x = left + (right - left) * (at + 0.5) / count;
                const stack = document.elementsFromPoint(x, (top + bottom) / 2);
                if (stack.length === 0)
                    return []; // 画面の外
                if (stack[0] !== element)
                    return [{ rule: 'cover', text: `covered or cut off by ${nameOf(stack[0])}: ${text}` }];
                const ground = groundOf(stack);
                return faint(mix(element, isDrawn(element) ? fill : color, ground), ground, text);
            }).flat();
        });
    }

    // ::before と ::after の文字。場所は分からないので、囲む要素の地の色と比べる
    function pseudoTexts() {
        return all('section, section *').flatMap((element) => ['::before', '::after'].flatMap((pseudo) => {
            const { content, fontSize, color } = styleOf(element, pseudo);
            if (!/^"[^"]*\S/.test(content))
                return [];
            const ground = groundOf(ancestors(element)), size = parseFloat(fontSize);
            const tiny = { rule: 'small', text: `${size} px < ${LIMITS.other} px: ${content}` };
            return [...size < LIMITS.other ? [tiny] : [],
                ...faint(mix(element, color, ground), ground, content)];
        }));
    }

    // 使う書体をまだ調べていない字のある要素に印を付ける。1 度調べた字は、どこでも同じ
    const asked = new Set();
    function markLetters({ node, element }) {
        const { fontFamily, fontWeight, fontStyle } = styleOf(element);
        const letters = [...node.data].map((letter) => [fontFamily, fontWeight, fontStyle, letter].join());
        if (letters.some((letter) => !asked.has(letter)))
            element.setAttribute('data-audit', '');
        letters.forEach((letter) => asked.add(letter));
    }

    window.auditSlide = () => {
        document.querySelectorAll('[data-audit]').forEach((element) => element.removeAttribute('data-audit'));
        const list = texts();
        list.forEach(markLetters);
        return [...overflows(), ...overlaps(list), ...images(), ...pseudoTexts(),
            ...[outside, small, contrasts].flatMap((rule) => list.flatMap(rule)),
            ...window.auditPicture?.(list) ?? []];
    };
})();
