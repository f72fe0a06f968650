// 手で描いた図を、ブラウザーの中で測る。audit.js が調べたあとに、そこから呼ばれる
(() => {
    const SHAPES = 'rect, circle, ellipse, line, path, polyline, polygon';
    const GAP = 3; // 文字と線のあいだ (px)
    // README を読む人のマシンに、ここと同じ書体はない。英数字がこれだけ広くても収まること
    const WIDER = { sans: 0.1, mono: 0.2 };

    // 1 つの文字の列を、広い書体で見たときに増える幅
    function extraOf({ node, element, size, rects }) {
        const full = [...node.data].filter((letter) => letter >= '\u2e80').length;
        const width = rects.reduce((sum, r) => sum + r.right - r.left, 0);
        const family = getComputedStyle(element).fontFamily.includes('Mono') ? 'mono' : 'sans';
        return Math.max(0, width - full * size) * WIDER[family];
    }

    // 同じ <text> の、同じ高さの文字を 1 行にする。枠は、字のある高さと、広い書体での幅
    function linesOf(list) {
        const texts = [...document.querySelectorAll('text')], lines = new Map();
        for (const run of list) {
            const key = `${texts.indexOf(run.element.closest('text'))} ${Math.round(run.rects[0].bottom)}`;
            lines.set(key, [...lines.get(key) ?? [], run]);
        }
        return [...lines.values()].map((runs) => {
            const edge = (side, pick) => Math[pick](...runs.flatMap(({ rects }) => rects.map((r) => r[side])));
            const extra = runs.reduce((sum, run) => sum + extraOf(run), 0), { element, size } = runs[0];
            const before = { start: 0, middle: 0.5, end: 1 }[getComputedStyle(element).textAnchor];
            return {
                text: runs.map((run) => run.text).join(''),
                left: edge('left', 'min') - extra * before,
                right: edge('right', 'max') + extra * (1 - before),
                top: edge('top', 'min') + size * 0.08,
                bottom: edge('bottom', 'max') + size * 0.14,
            };
        });
    }

    const meets = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

    // 図形の輪郭に沿った四角形の列。文字に近づいてよい広さを含む
    function outlineOf(element, scale) {
        const { stroke, strokeWidth } = getComputedStyle(element);
        const gap = GAP + (stroke === 'none' ? 0 : parseFloat(strokeWidth) * scale / 2);
        const points = [];
        for (let at = 0; at <= element.getTotalLength(); at += 2) {
            const { x, y } = element.getPointAtLength(at).matrixTransform(element.getScreenCTM());
            points.push({ left: x - gap, right: x + gap, top: y - gap, bottom: y + gap });
        }
        return { element, points };
    }

    window.auditPicture = (list) => {
        const svg = document.querySelector('.bespoke-marp-active .picture svg');
        const frame = svg.getBoundingClientRect(), scale = svg.getScreenCTM().a;
        const shapes = [...svg.querySelectorAll(SHAPES)].filter((element) => !element.closest('defs'))
            .map((element) => outlineOf(element, scale));
        const found = [];
        const lines = linesOf(list.filter(({ element }) => svg.contains(element)));
        lines.forEach((line, index) => {
            const report = (rule, more) => found.push({ rule, text: `${more}: ${line.text}` });
            if (line.left < frame.left || line.right > frame.right ||
                line.top < frame.top || line.bottom > frame.bottom)
                report('outside', 'leaves the view box');
            const stack = document.elementsFromPoint((line.left + line.right) / 2, (line.top + line.bottom) / 2);
            const ground = stack.find((element) => shapes.some((shape) => shape.element === element) &&
                getComputedStyle(element).fill !== 'none');
            if (!ground)
                report('ground', 'nothing is painted behind it');
            // 地より先に描いた線は、隠れて見えない
            const from = shapes.findIndex(({ element }) => element === ground);
            for (const { element, points } of shapes.slice(Math.max(0, from)))
                if (points.some((point) => meets(point, line)))
                    report('edge', `touches or leaves a <${element.localName}>`);
            for (const other of lines.slice(index + 1).filter((one) => meets(one, line)))
                report('overlap', `overlaps "${other.text}"`);
        });
        return found;
    };
})();
