// Marp の設定。$ を数式と、絵文字の名前を絵と思わせない
import { fileURLToPath } from 'node:url';

export default {
    html: true,
    themeSet: [fileURLToPath(new URL('theme.css', import.meta.url))],
    options: { math: false, emoji: { shortcode: false, unicode: false } },
};
