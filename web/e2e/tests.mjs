// What the pages must do, each as one test. They run in this order on one program.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import {
  axe,
  close,
  colors,
  drawn,
  inkBelow,
  NARROW,
  nothingWrong,
  notSideways,
  open,
  play,
  WIDE,
} from './stage.mjs';

const PAGES = [
  ['overview', '/'],
  ['containers', '/containers'],
  [
    'explore',
    '/explore?g0.expr=sum+by+(mode)+(rate(node_cpu_seconds_total[10s]))&g0.mode=stacked&g1.expr=up&g1.tab=table',
  ],
  ['explain', '/explore?g0.expr=sum+by+(mode)+(rate(node_cpu_seconds_total[10s]))+/+2&g0.tab=explain'],
  ['store', '/store'],
  ['status', '/status'],
];

/** Some group that is there all the time. */
async function someGroup(server) {
  const { containers } = await server.get('/api/vigil/v1/containers');
  const group = containers.find((one) => one.id !== '/' && one.ended_ms === null);
  assert.ok(group, 'the server knows no control group below the root');
  return group;
}

async function overview({ browser, server }) {
  const status = await server.get('/api/vigil/v1/status');
  const page = await open(browser, server.base, '/');
  await page.getByRole('heading', { level: 1, name: status.hostname }).waitFor();
  for (const title of ['CPU by mode', 'Memory', 'Load']) await drawn(page, title);
  const counts = await colors(
    page,
    'section[aria-label="CPU by mode"] canvas, section[aria-label="Memory"] canvas',
  );
  assert.equal(counts.length, 2);
  for (const count of counts) assert.ok(count > 8, `a chart shows ${count} colours: it is blank`);
  // Below the lowest line of the grid stand times: a band of the canvas with ink in it.
  assert.ok((await inkBelow(page, 'section[aria-label="Memory"] canvas')) > 40, 'the time axis has no times');
  // The number on the page is the kernel's.
  const [total] = await server.query('node_memory_MemTotal_bytes{job="node"}');
  const gib = (Number(total.value[1]) / 1024 ** 3).toFixed(1).replace(/\.0$/, '');
  await page.locator('section[aria-label="Memory"]').getByText(`of ${gib} GiB`).waitFor();
  // It lives: the crosshair's newest time moves on.
  const end = () => page.locator('section[aria-label="Load"] figcaption').textContent();
  const before = await end();
  await page.waitForFunction(
    (old) => document.querySelector('section[aria-label="Load"] figcaption')?.textContent !== old,
    before,
    { timeout: 15_000 },
  );
  nothingWrong(page);
  await close(page);
}

async function policy({ browser, server }) {
  const answer = await fetch(server.base);
  const csp = answer.headers.get('content-security-policy') ?? '';
  assert.match(csp, /script-src 'self'/);
  assert.doesNotMatch(csp, /unsafe/);
  const text = await answer.text();
  assert.doesNotMatch(text, /__CSP_NONCE__/);
  const nonce = /nonce-([^']+)'/.exec(csp)?.[1];
  assert.ok(nonce && text.includes(`nonce="${nonce}"`), 'the nonce of the header is not in the page');
  // Explore has the editor, which makes its styles at run time; it must look like one.
  const page = await open(browser, server.base, '/explore?g0.expr=up');
  await page.locator('.cm-content').waitFor();
  assert.equal(
    await page.locator('.cm-editor').evaluate((node) => getComputedStyle(node).display),
    'flex',
    'the styles of the editor were refused',
  );
  await page.getByRole('button', { name: 'Keys' }).click();
  await page.getByRole('dialog').waitFor();
  nothingWrong(page);
  await close(page);
}

async function containers({ browser, server }) {
  const page = await open(browser, server.base, '/containers?view=flat');
  await page.locator('[data-row="0"]').waitFor();
  const { containers: all } = await server.get('/api/vigil/v1/containers');
  const shown = Number(/(\d+) of (\d+)/.exec(await page.getByText(/\d+ of \d+ groups/).textContent())?.[2]);
  // Groups come and go between the two questions.
  assert.ok(
    Math.abs(shown - all.length) <= 3 + all.length / 10,
    `the page knows ${shown} groups, the server ${all.length}`,
  );
  await page.getByRole('button', { name: 'Memory' }).click();
  await page.waitForURL(/sort=-memory/);
  await page.locator('th[aria-sort="descending"]', { hasText: 'Memory' }).waitFor();
  const group = await someGroup(server);
  const word = group.id.split('/').at(-1);
  await page.keyboard.press('/');
  await page.keyboard.type(word);
  await page.waitForURL(/filter=/);
  await page.waitForFunction(
    () => /^\d+/.exec(document.querySelector('[role=status]:not(header *)')?.textContent ?? '') !== null,
  );
  await page
    .locator(`[data-row] [title=${JSON.stringify(group.id)}]`)
    .first()
    .waitFor();
  // The filter, the order and the view are still there after a reload.
  await page.reload();
  await page
    .locator(`[data-row] [title=${JSON.stringify(group.id)}]`)
    .first()
    .waitFor();
  assert.equal(await page.getByLabel('Filter', { exact: true }).inputValue(), word);
  await page.locator('th[aria-sort="descending"]', { hasText: 'Memory' }).waitFor();
  await page.getByLabel('Filter', { exact: true }).fill('no such group anywhere');
  await page.getByText('Nothing matches').waitFor();
  nothingWrong(page);
  await close(page);
}

async function containerPage({ browser, server }) {
  const { containers: all } = await server.get('/api/vigil/v1/containers');
  const measured = all.filter(
    (one) => one.id !== '/' && one.ended_ms === null && one.memory.working_set_bytes !== null,
  );
  const group = measured[0] ?? (await someGroup(server));
  const path = group.id.replace(/^\//, '').split('/').map(encodeURIComponent).join('/');
  const page = await open(browser, server.base, `/containers/${path}`);
  await page.getByRole('heading', { level: 1 }).getByText(group.title, { exact: true }).waitFor();
  await page.getByText(group.id, { exact: true }).waitFor();
  if (measured.length > 0) await drawn(page, 'Memory');
  // No chart is empty without a word.
  const figures = page.locator('figure');
  assert.ok((await figures.count()) >= 6, 'the page of a group has fewer charts than it should');
  for (const figure of await figures.all())
    assert.ok((await figure.locator('figcaption').textContent()).length > 30);
  nothingWrong(page);
  await page.goto(`${server.base}/containers/no/such.group`);
  await page.getByText('Not there now.').waitFor();
  await close(page);
}

async function explore({ browser, server }) {
  const page = await open(browser, server.base, '/explore');
  const editor = page.locator('.cm-content');
  await editor.waitFor();
  await editor.click();
  await page.keyboard.type('node_cpu_sec');
  await page.locator('.cm-tooltip-autocomplete', { hasText: 'node_cpu_seconds_total' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+a');
  await editor.click();
  await page.keyboard.press('Control+a');
  await page.keyboard.type('rate(node_cpu_seconds_total{job="node"}[10s])');
  await page.keyboard.press('Escape');
  await editor.click();
  const answered = page.waitForResponse(
    (response) => response.url().includes('/api/v1/query_range') && response.status() === 200,
  );
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  const result = (await (await answered).json()).data.result;
  assert.ok(result.length >= 8, `only ${result.length} series of CPU time`);
  await page.getByText(`${result.length} series`).waitFor();
  const rows = page.locator('button[aria-pressed]', { has: page.locator('code') });
  await rows.first().waitFor();
  assert.equal(await rows.count(), result.length, 'not every series that came is drawn');
  await page.getByText(/samples read/).waitFor();
  assert.ok((await colors(page, 'canvas'))[0] > 8, 'the graph is blank');
  // Switching a series off takes it out of the drawing.
  await rows.first().click();
  assert.equal(await rows.first().getAttribute('aria-pressed'), 'false');
  await rows.nth(1).click({ modifiers: ['Control'] });
  assert.equal(await page.locator('button[aria-pressed="true"]', { has: page.locator('code') }).count(), 1);
  assert.match(page.url(), /g0\.expr=rate/);
  // The table, a second panel, a step: all in the address, all there after a reload.
  await page.getByText('Table', { exact: true }).click();
  await page.waitForURL(/g0\.tab=table/);
  await page.locator('tbody tr').first().waitFor();
  assert.equal(await page.locator('tbody tr').count(), result.length);
  await page.getByRole('button', { name: 'Duplicate this panel' }).click();
  await page.waitForURL(/g1\.expr=rate/);
  await page.getByLabel('Step').fill('15s');
  await page.keyboard.press('Enter');
  await page.waitForURL(/step=15s/);
  await page.reload();
  await page.locator('.cm-content').nth(1).waitFor();
  assert.equal(
    await page.locator('.cm-content').nth(1).textContent(),
    'rate(node_cpu_seconds_total{job="node"}[10s])',
  );
  assert.equal(await page.getByLabel('Step').inputValue(), '15s');
  await page.getByRole('button', { name: 'Remove this panel' }).first().click();
  await page.waitForFunction(() => document.querySelectorAll('.cm-content').length === 1);
  nothingWrong(page);
  await close(page);
}

async function queryErrors({ browser, server }) {
  const page = await open(browser, server.base, '/explore?g0.expr=sum(rate(up[5m])');
  await page.getByText('The query cannot be run').waitFor();
  await page.getByText(/1:\d+: parse error/).waitFor();
  await page.locator('pre', { hasText: '^' }).waitFor();
  assert.ok(
    page.wrongs.every((wrong) => wrong.includes('400')),
    page.wrongs.join('\n'),
  );
  page.wrongs = [];
  await page.goto(`${server.base}/explore?g0.expr=no_such_metric_anywhere`);
  await page.getByText(/no answer at any time/).waitFor();
  await page.goto(`${server.base}/explore?g0.expr=rate(node_memory_MemFree_bytes[10s])`);
  await page.getByText(/might not be a counter/).waitFor();
  nothingWrong(page);
  await close(page);
}

async function explain({ browser, server }) {
  const page = await open(browser, server.base, '/explore?g0.expr=sum(rate(node_cpu_seconds_total[10s]))');
  await page.getByText('Explain', { exact: true }).click();
  await page.waitForURL(/g0\.tab=explain/);
  const rows = page.locator('div[aria-label="Explain"] tbody tr');
  await rows.nth(3).waitFor();
  assert.equal(await rows.count(), 4);
  const [cpu] = await server.query('count(node_cpu_seconds_total)');
  const read = await rows.nth(3).locator('td, th').allTextContents();
  assert.equal(read[0], 'node_cpu_seconds_total');
  assert.equal(read[4], cpu.value[1], 'series read');
  assert.equal(await rows.nth(1).locator('th').textContent(), 'sum');
  nothingWrong(page);
  await close(page);
}

async function storePage({ browser, server }) {
  const page = await open(browser, server.base, '/store');
  const { data } = await server.get('/api/v1/status/tsdb?limit=10');
  for (const [title, counts] of [
    ['Series by metric', data.seriesCountByMetricName],
    ['Values by label', data.labelValueCountByLabelName],
  ]) {
    const rows = page.locator(`section[aria-label="${title}"] tbody tr`);
    await rows.first().waitFor();
    assert.equal(await rows.count(), counts.length);
    assert.equal(await rows.first().locator('th').textContent(), counts[0].name);
  }
  // A query that runs is listed, and ends when it is told to.
  const query = 'quantile_over_time(0.5, vector(time())[10h:1s])';
  const range = new URLSearchParams({ query, start: '100000', end: '110000', step: '1' });
  const asked = fetch(`${server.base}/api/v1/query_range?${range}`);
  const row = page.locator('section[aria-label="Queries that run"] tbody tr', { hasText: query });
  await row.waitFor();
  await row.getByRole('button', { name: 'End' }).click();
  const answer = await asked;
  assert.equal((await answer.json()).errorType, 'canceled');
  await page.getByText('None at the moment').waitFor();
  nothingWrong(page);
  await close(page);
}

async function statusPage({ browser, server }) {
  const status = await server.get('/api/vigil/v1/status');
  const page = await open(browser, server.base, '/status');
  const on = status.collectors.filter((one) => one.enabled);
  await page.locator('section[aria-label="Collectors"] tbody tr').first().waitFor();
  assert.equal(await page.locator('section[aria-label="Collectors"] tbody tr').count(), on.length);
  for (const flag of status.flags.slice(0, 5)) await page.getByText(flag.name).first().waitFor();
  await page.locator('section[aria-label="Store"]').getByText(status.store.dir, { exact: true }).waitFor();
  const missing = on.flatMap((one) => one.missing);
  for (const one of missing.slice(0, 5)) await page.getByText(one.why).first().waitFor();
  nothingWrong(page);
  await close(page);
}

async function time({ browser, server }) {
  const page = await open(browser, server.base, '/');
  await drawn(page, 'Memory');
  await page.getByRole('button', { name: /^Time range/ }).click();
  await page.getByRole('button', { name: '5m', exact: true }).click();
  await page.waitForURL(/range=5m/);
  await drawn(page, 'Memory');
  // Dragging over a chart shows that span on every chart.
  const box = await page.locator('section[aria-label="Memory"] .u-over').boundingBox();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.9, box.y + 50, { steps: 8 });
  await page.mouse.up();
  await page.waitForURL(/from=.*to=/);
  await page.reload();
  await page.getByRole('button', { name: /^Time range: \d{4}-/ }).waitFor();
  await page.getByRole('button', { name: 'Live' }).click();
  await page.waitForURL((url) => !url.search.includes('from='));
  await page.keyboard.press('p');
  await page.waitForURL(/paused=true/);
  await page.getByText('paused', { exact: true }).waitFor();
  const caption = () => page.locator('section[aria-label="Memory"] figcaption').textContent();
  await page.waitForTimeout(700);
  const held = await caption();
  await page.waitForTimeout(6000);
  assert.equal(await caption(), held, 'a paused page moves on');
  await page.keyboard.press('p');
  await page.getByText('live', { exact: true }).waitFor();
  nothingWrong(page);
  await close(page);
}

async function crosshair({ browser, server }) {
  const page = await open(browser, server.base, '/?range=5m');
  await drawn(page, 'CPU by mode');
  await drawn(page, 'Memory');
  const over = page.locator('section[aria-label="CPU by mode"] .u-over');
  const box = await over.boundingBox();
  await page.mouse.move(box.x + box.width * 0.97, box.y + 60);
  const tip = page.locator('section[aria-label="CPU by mode"] .tip-time');
  await tip.waitFor();
  await page.locator('section[aria-label="CPU by mode"] .tip-value').first().waitFor();
  const lines = await page.locator('section[aria-label="CPU by mode"] .tip-value').count();
  assert.ok(lines >= 2, 'the tooltip does not show all series');
  // The same moment is marked on the other charts, without a box.
  const other = page.locator('section[aria-label="Memory"] .u-cursor-x');
  assert.match((await other.getAttribute('style')) ?? '', /translate\((?!-)/);
  assert.equal(await page.locator('section[aria-label="Memory"] .tip-time').isVisible(), false);
  // The keyboard alone does it, too.
  await page.mouse.move(5, 5);
  await page.locator('section[aria-label="Memory"] [role=img][tabindex="0"]').focus();
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowLeft');
  await page.locator('section[aria-label="Memory"] .tip-time').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('section[aria-label="Memory"] .tip-time').waitFor({ state: 'hidden' });
  nothingWrong(page);
  await close(page);
}

async function keyboard({ browser, server }) {
  const page = await open(browser, server.base, '/');
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  for (const [key, path] of [
    ['c', '/containers'],
    ['e', '/explore'],
    ['d', '/store'],
    ['s', '/status'],
    ['o', '/'],
    ['c', '/containers'],
  ]) {
    // Explore puts the cursor into its editor, where letters are letters.
    await page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.blur());
    await page.keyboard.press('g');
    await page.keyboard.press(key);
    await page.waitForURL((url) => url.pathname === path);
    if (path === '/explore') {
      await page.locator('.cm-content').waitFor();
      await page.waitForTimeout(200);
    }
  }
  await page.locator('[data-row="0"]').focus();
  await page.keyboard.press('j');
  await page.waitForFunction(() => document.activeElement?.getAttribute('data-row') === '1');
  await page.keyboard.press('k');
  await page.waitForFunction(() => document.activeElement?.getAttribute('data-row') === '0');
  const rows = await page.locator('[data-row]').count();
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction((n) => document.querySelectorAll('[data-row]').length < n, rows);
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction((n) => document.querySelectorAll('[data-row]').length >= n, rows);
  await page.keyboard.press('j');
  await page.waitForFunction(() => document.activeElement?.getAttribute('data-row') === '1');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/containers\/.+/);
  nothingWrong(page);
  await close(page);
}

async function settings({ browser, server }) {
  const page = await open(browser, server.base, '/status', { scheme: 'light' });
  const shown = () => page.evaluate(() => document.documentElement.getAttribute('data-mantine-color-scheme'));
  await page.getByRole('heading', { level: 1 }).waitFor();
  assert.equal(await shown(), 'light');
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.waitForFunction(
    () => document.documentElement.getAttribute('data-mantine-color-scheme') === 'dark',
  );
  await page.getByRole('button', { name: 'Colours and time zone' }).click();
  await page.getByRole('menuitem', { name: 'light' }).click();
  await page.waitForFunction(
    () => document.documentElement.getAttribute('data-mantine-color-scheme') === 'light',
  );
  await page.reload();
  await page.getByRole('heading', { level: 1 }).waitFor();
  assert.equal(await shown(), 'light');
  nothingWrong(page);
  await close(page);
}

async function states({ browser, server }) {
  let page = await open(browser, server.base, '/', { before: play('opening') });
  await page.getByText('Opening the data folder').waitFor();
  await page.getByText('61 of 148').waitFor();
  await page.unroute('**/api/vigil/v1/status');
  await drawn(page, 'Memory');
  await close(page);
  page = await open(browser, server.base, '/', { before: play('unauthorized') });
  await page.getByText('Not signed in').waitFor();
  await close(page);
  page = await open(browser, server.base, '/', { before: play('failing') });
  await page.getByText('the memory limit of 512 MiB is reached').first().waitFor();
  await close(page);
  page = await open(browser, server.base, '/no/such/page');
  await page.getByText('There is no such page').waitFor();
  await close(page);
}

async function screenshots({ browser, server, shots }) {
  const group = await someGroup(server);
  const path = group.id.replace(/^\//, '').split('/').map(encodeURIComponent).join('/');
  const pages = [...PAGES, ['container', `/containers/${path}`]];
  const found = [];
  for (const scheme of ['light', 'dark']) {
    for (const [size, viewport] of [
      ['wide', WIDE],
      ['narrow', NARROW],
    ]) {
      for (const state of ['data', 'empty', 'failing']) {
        for (const [name, address] of pages) {
          const page = await open(browser, server.base, address, { scheme, viewport, before: play(state) });
          await page.getByRole('heading', { level: 1 }).waitFor();
          await page.waitForTimeout(900);
          await page.screenshot({
            path: join(shots, `${name}-${scheme}-${size}-${state}.png`),
            fullPage: size === 'wide',
          });
          await notSideways(page);
          for (const violation of await axe(page))
            found.push(`${name} ${scheme} ${size} ${state}: ${violation}`);
          if (state === 'data') nothingWrong(page);
          assert.ok(!page.wrongs.some((wrong) => /CSP|exception/.test(wrong)), page.wrongs.join('\n'));
          await close(page);
        }
      }
    }
  }
  assert.deepEqual(found, [], 'axe found serious violations');
}

async function serverGone({ browser, server, shots }) {
  const page = await open(browser, server.base, '/?range=5m');
  await drawn(page, 'Memory');
  await server.stop('SIGKILL');
  await page
    .getByRole('alert')
    .getByText(/does not answer/)
    .waitFor({ timeout: 10_000 });
  await page.getByText('no answer', { exact: true }).waitFor();
  // What was there stays, and says how old it is.
  assert.ok(
    (await colors(page, 'section[aria-label="Memory"] canvas'))[0] > 8,
    'the charts went with the server',
  );
  await page.screenshot({ path: join(shots, 'overview-server-gone.png') });
  await page.waitForTimeout(7000);
  await server.start();
  await page.getByText('live', { exact: true }).waitFor({ timeout: 15_000 });
  await page.getByRole('alert').waitFor({ state: 'detached' });
  // The time in which nothing ran is a gap with its reason.
  await page.waitForFunction(
    () =>
      /Kubevigil was not running/.test(
        document.querySelector('section[aria-label="CPU by mode"] figcaption')?.textContent ?? '',
      ),
    undefined,
    { timeout: 20_000 },
  );
  await page.screenshot({ path: join(shots, 'overview-gap.png') });
  assert.ok(!page.wrongs.some((wrong) => /CSP|exception/.test(wrong)), page.wrongs.join('\n'));
  await close(page);
}

async function neverReached({ browser, server }) {
  const page = await open(browser, server.base, '/');
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.route('**/api/**', (route) => route.abort('connectionrefused'));
  await page.reload();
  await page.getByText('Kubevigil does not answer').waitFor();
  await page.unroute('**/api/**');
  await drawn(page, 'Memory');
  await close(page);
}

export const tests = [
  ['the policy of the page holds and breaks nothing', policy],
  ['the overview shows this machine, live', overview],
  ['the list of containers: count, order, filter, address', containers],
  ['the page of a group', containerPage],
  ['explore: completion, graph, table, panels, address', explore],
  ['explore: errors with their place, notes, no answer', queryErrors],
  ['explore: where the time of a query goes', explain],
  ['store: rankings, and a query that is ended', storePage],
  ['status: collectors, flags, what is missing', statusPage],
  ['time: presets, drag, reload, live, pause', time],
  ['crosshair and tooltip, by mouse and by keys', crosshair],
  ['keys', keyboard],
  ['colours follow the system and the choice', settings],
  ['states: opening, not signed in, failing, no such page', states],
  ['every page in every look: no sideways scroll, axe, console', screenshots],
  ['a server that was never there', neverReached],
  ['the server is killed and comes back', serverGone],
];
