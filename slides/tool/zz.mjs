import { withBrowser, open, eachSlide, inPairs } from './browser.mjs';
import { createHash } from 'node:crypto';
await withBrowser((b) => inPairs(process.argv.slice(2), async (d) => { const r = [];
 for (const dir of ['/tmp/e-base','/tmp/wt/e/slides/build']) { const { page, load } = await open(b, `${dir}/${d}.html`); await load(); const h = [];
  await eachSlide(page, async (n) => { await page.waitForTimeout(50); h.push(createHash('sha1').update(await page.screenshot()).digest('hex')); }); await page.close(); r.push(h); }
 console.log(d, r[0].length, 'differ on', r[0].map((x,i)=>x===r[1][i]?'':i+1).filter(Boolean).join(' ') || 'none'); }));
