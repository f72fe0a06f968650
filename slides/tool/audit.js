// いま見えている 1 枚を、ブラウザーの中で調べる。check.mjs がページに読み込ませる
(() => {
    const BLOCK = 'p,li,td,th,h1,h2,h3,h4,h5,h6,blockquote';
    const LIMITS = { pre: 18, prose: 22, other: 16 };

    const active = () => document.querySelector('svg.bespoke-marp-active');
    const sections = () => [...active().querySelectorAll('section')];
    const styleOf = (element, pseudo) => getComputedStyle(element, pseudo);

    function shown(element) {
        const style = styleOf(element);
        return style.visibility === 'visible' && style.display !== 'none' &&
            !element.closest('title,desc,style,script,template,metadata');
    }

    // 見えている文字を持つ要素と、その文字の四角形。書体の高さは字より大きいので、
    // 字の大きさの高さに縮める
    function texts() {
        const list = [];
        for (const section of sections()) {
            const walker = document.createTreeWalker(section, NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const node = walker.currentNode, element = node.parentElement;
                if (node.data.trim() !== '' && shown(element))
                    list.push({ node, element, size: sizeOf(element), text: node.data.trim().slice(0, 40) });
            }
        }
        for (const item of list)
            item.rects = rectsOf(item);
        return list.filter((item) => item.rects.length);
    }

    function rectsOf({ node, size }) {
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

    function nameOf(element) {
        const classes = [...element.classList].slice(0, 2).map((name) => `.${name}`).join('');
        return element.tagName.toLowerCase() + classes;
    }

    // 中身があふれている箱
    function overflows() {
        const found = [];
        for (const section of sections())
            for (const box of [section, ...section.querySelectorAll('*')]) {
                const style = styleOf(box);
                if (style.display === 'inline' || !(box instanceof HTMLElement) || box.clientWidth === 0)
                    continue;
                const x = box.scrollWidth - box.clientWidth, y = box.scrollHeight - box.clientHeight;
                // 行の高さは書体より小さいので、1 行の箱では数ピクセルあふれて見える
                if (x > 1 || y > parseFloat(style.fontSize) * 0.4)
                    found.push({ rule: 'overflow', text: `${nameOf(box)} by ${Math.max(x, y)} px` });
            }
        return found;
    }

    const inside = (r, box, slack) => r.left >= box.left - slack && r.right <= box.right + slack &&
        r.top >= box.top - slack && r.bottom <= box.bottom + slack;

    // スライドか、囲む箱からはみ出した文字
    function outside(list) {
        const found = [];
        const slide = { left: 0, top: 0, right: innerWidth, bottom: innerHeight };
        for (const { element, rects, text } of list) {
            const boxes = [slide];
            for (let box = element; box && box.tagName !== 'SECTION'; box = box.parentElement) {
                const inline = styleOf(box).display.startsWith('inline') && !(box instanceof SVGSVGElement);
                if (!inline && (box instanceof HTMLElement || box instanceof SVGSVGElement))
                    boxes.push(box.getBoundingClientRect());
            }
            if (rects.some((r) => boxes.some((box) => !inside(r, box, 2))))
                found.push({ rule: 'outside', text: `${nameOf(element)}: ${text}` });
        }
        return found;
    }

    // 文字どうしの重なり (フッターと本文など)
    function overlaps(list) {
        const flat = list.flatMap((item) => item.rects.map((r) => ({ ...r, item })));
        const number = pageNumber();
        if (number)
            flat.push(number);
        const found = [];
        flat.sort((a, b) => a.top - b.top);
        for (let i = 0; i < flat.length; i++)
            for (let j = i + 1; j < flat.length && flat[j].top < flat[i].bottom - 3; j++) {
                const a = flat[i], b = flat[j];
                if (a.item !== b.item && Math.min(a.right, b.right) - Math.max(a.left, b.left) > 3)
                    found.push({ rule: 'overlap', text: `${a.item.text} / ${b.item.text}` });
            }
        return found;
    }

    // ページ番号は ::after なので、場所を計算する
    function pageNumber() {
        const section = sections().find((s) => s.dataset.marpitPagination);
        const style = section && styleOf(section, '::after');
        if (!style || style.position !== 'absolute')
            return null;
        const right = innerWidth - parseFloat(style.right), bottom = innerHeight - parseFloat(style.bottom);
        return { left: right - 40, right, top: bottom - parseFloat(style.height), bottom,
            item: { text: 'page number' } };
    }

    function smallFonts(list) {
        const found = [];
        for (const { element, size, text } of list) {
            const picture = element instanceof SVGElement;
            const limit = picture ? LIMITS.other : element.closest('pre') ? LIMITS.pre
                : element.closest(BLOCK) ? LIMITS.prose : LIMITS.other;
            if (size < limit - 0.05)
                found.push({ rule: 'small', text: `${size.toFixed(1)} px < ${limit} px: ${text}` });
        }
        return found;
    }

    function images() {
        const found = [];
        for (const section of sections()) {
            for (const image of section.querySelectorAll('img'))
                if (!image.complete || image.naturalWidth === 0)
                    found.push({ rule: 'image', text: image.alt || image.src.slice(0, 60) });
            for (const picture of section.querySelectorAll('.picture.missing, svg image'))
                found.push({ rule: 'image', text: picture.textContent.trim() || 'image inside an SVG' });
        }
        return found;
    }

    // 色の比のための、文字の色と場所。不透明さは、かけ合わせる
    function colours(list) {
        return list.map(({ element, rects, text }) => {
            const style = styleOf(element);
            let alpha = element instanceof SVGElement ? Number(style.fillOpacity) : 1;
            for (let up = element; up; up = up.parentElement)
                alpha *= Number(styleOf(up).opacity);
            return { colour: element instanceof SVGElement ? style.fill : style.color, alpha, rects, text };
        });
    }

    // ::before と ::after の文字。場所は分からないので、要素の地の色と比べる
    function pseudoTexts() {
        const found = [];
        for (const section of sections())
            for (const element of [section, ...section.querySelectorAll('*')])
                for (const pseudo of ['::before', '::after']) {
                    const style = styleOf(element, pseudo);
                    if (!/^"[^"]*\S/.test(style.content))
                        continue;
                    const size = parseFloat(style.fontSize);
                    found.push({ colour: style.color, ground: groundOf(element), text: style.content, size });
                }
        return found;
    }

    function groundOf(element) {
        for (let up = element; up; up = up.parentElement) {
            const colour = styleOf(up).backgroundColor;
            if (!/, 0\)$|transparent/.test(colour))
                return colour;
        }
        return 'rgb(255, 255, 255)';
    }

    window.auditSlide = () => {
        const list = texts();
        list.forEach(({ element }) => element.setAttribute('data-audit', ''));
        const pseudo = pseudoTexts();
        const small = pseudo.filter(({ size }) => size < LIMITS.other)
            .map(({ size, text }) => ({ rule: 'small', text: `${size} px < ${LIMITS.other} px: ${text}` }));
        return {
            found: [...overflows(), ...outside(list), ...overlaps(list), ...smallFonts(list),
                ...small, ...images()],
            colours: colours(list), pseudo,
        };
    };
    window.auditDone = () => document.querySelectorAll('[data-audit]')
        .forEach((element) => element.removeAttribute('data-audit'));
})();
