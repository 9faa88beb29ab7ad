// A page that remembers all that went wrong in it, and what the tests look for in pages.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export const WIDE = { width: 1440, height: 900 };
export const NARROW = { width: 375, height: 800 };

/** Opens a page; `page.wrongs` collects console errors, exceptions, failed requests, CSP violations. */
export async function open(browser, base, path, { scheme = 'light', viewport = WIDE, before } = {}) {
  const context = await browser.newContext({ colorScheme: scheme, viewport, reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.wrongs = [];
  page.on('console', (message) => {
    // Advice to those who read a canvas, which is these tests.
    if (message.text().includes('willReadFrequently')) return;
    if (message.type() === 'error' || message.type() === 'warning')
      page.wrongs.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => page.wrongs.push(`exception: ${error.message}`));
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText ?? '';
    // A page that is left behind gives up what it had asked.
    if (why !== 'net::ERR_ABORTED') page.wrongs.push(`request: ${request.url()} ${why}`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) page.wrongs.push(`answer ${response.status()}: ${response.url()}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== base && url.protocol !== 'data:' && url.protocol !== 'blob:') {
      page.wrongs.push(`another host: ${request.url()}`);
    }
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`CSP violation: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  if (before) await before(page);
  await page.goto(base + path);
  return page;
}

export async function close(page) {
  await page.context().close();
}

export function nothingWrong(page) {
  assert.deepEqual(page.wrongs, [], 'something went wrong in the page');
}

/** How many different colours a canvas shows; a blank one has one. */
export async function colors(page, selector) {
  return page.$$eval(selector, (canvases) =>
    canvases.map((canvas) => {
      const context = canvas.getContext('2d');
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Set();
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] > 0) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
      }
      return seen.size;
    }),
  );
}

/** Serious and critical findings of axe. */
export async function axe(page) {
  // The policy of the page forbids inline scripts, and rightly: evaluate() is not one.
  await page.evaluate(AXE);
  const results = await page.evaluate(() =>
    globalThis.axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }),
  );
  assert.ok(results.passes.length > 10, 'axe looked at next to nothing');
  return results.violations
    .filter((one) => one.impact === 'serious' || one.impact === 'critical')
    .map(
      (one) =>
        `${one.id}: ${one.help}: ${one.nodes
          .slice(0, 3)
          .map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ''}`)
          .join(' | ')}`,
    );
}

export async function notSideways(page) {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.ok(wide <= room, `the page is ${wide} px wide in a window of ${room} px`);
}

/** Waits until a chart of the page has been drawn with data. */
export async function drawn(page, title) {
  await page.locator(`section[aria-label="${title}"] canvas`).first().waitFor();
  await page.waitForFunction(
    (name) => {
      const caption = document.querySelector(`section[aria-label="${name}"] figcaption`);
      return caption !== null && /last /.test(caption.textContent ?? '');
    },
    title,
    { timeout: 20_000 },
  );
}

/** Plays a state that a healthy server cannot be brought into: every answer is of its shape, empty or failing. */
export function play(state) {
  return async (page) => {
    if (state === 'empty') {
      await page.route('**/api/v1/query*', (route) =>
        route.fulfill({ json: { status: 'success', data: { resultType: 'matrix', result: [] } } }),
      );
      await page.route('**/api/vigil/v1/containers', (route) =>
        route.fulfill({ json: { time_ms: Date.now(), hostname: 'empty', containers: [] } }),
      );
    } else if (state === 'failing') {
      const json = {
        status: 'error',
        errorType: 'too_many_requests',
        error: 'the memory limit of 512 MiB is reached',
      };
      await page.route('**/api/v1/query*', (route) => route.fulfill({ status: 503, json }));
      await page.route('**/api/vigil/v1/containers', (route) => route.fulfill({ status: 500, json }));
    } else if (state === 'opening') {
      await page.route('**/api/vigil/v1/status', async (route) => {
        const answer = await route.fetch();
        const status = await answer.json();
        await route.fulfill({
          json: { ...status, opening: { what: 'reading the log', done: 61, total: 148 } },
        });
      });
    } else if (state === 'unauthorized') {
      await page.route('**/api/**', (route) => route.fulfill({ status: 401, body: 'Unauthorized' }));
    }
  };
}

/** Pixels with ink in the lowest 20 rows of a chart, where the texts of the time axis are. */
export async function inkBelow(page, selector) {
  return page.$eval(selector, (canvas) => {
    const height = Math.round(20 * devicePixelRatio);
    const { data } = canvas.getContext('2d').getImageData(0, canvas.height - height, canvas.width, height);
    let ink = 0;
    for (let i = 3; i < data.length; i += 4) if (data[i] > 60) ink += 1;
    return ink;
  });
}
