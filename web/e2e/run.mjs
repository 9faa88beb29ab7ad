// The browser tests: the real program, Debian's Chromium.
//   npm run e2e -- --binary ../target/debug/kubevigil [--only WORD] [--shots FOLDER]
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { launch } from './browser.mjs';
import { Server } from './server.mjs';
import { tests } from './tests.mjs';

const { values } = parseArgs({
  options: {
    binary: { type: 'string', default: '../target/debug/kubevigil' },
    shots: { type: 'string', default: 'test-results/screenshots' },
    only: { type: 'string' },
  },
});
const binary = resolve(values.binary);
if (!existsSync(binary)) {
  console.error(
    `${binary} is not there: build it with \`cargo build -p kubevigil\`, after \`npm run build\``,
  );
  process.exit(1);
}
const shots = resolve(values.shots);
mkdirSync(shots, { recursive: true });

const browser = await launch();
const server = await Server.create(binary);
// A wait that a failed test had begun must not end the run.
process.on('unhandledRejection', () => {});

/** What a failed test saw last. */
async function lastSights(name) {
  for (const page of browser.contexts().flatMap((context) => context.pages())) {
    const file = join(shots, `failed-${name.replace(/\W+/g, '-')}.png`);
    await page.screenshot({ path: file }).then(
      () => console.log(`        at ${page.url()}, seen in ${file}`),
      () => console.log(`        at ${page.url()}`),
    );
    for (const wrong of page.wrongs ?? []) console.log(`        ${wrong}`);
  }
}

let failed = 0;
let passed = 0;
try {
  const index = await (await fetch(server.base)).text();
  if (!index.includes('id="root"'))
    throw new Error('the pages are not in this program: `npm run build`, then build it again');
  await server.until(
    'a first round',
    async () => (await server.query('up{job=~"node|cadvisor"} == 1')).length === 2,
  );
  await server.until(
    'four rounds',
    async () => (await server.query('count_over_time(up{job="node"}[1m]) >= 4')).length === 1,
  );
  for (const [name, run] of tests) {
    if (values.only && !name.includes(values.only)) continue;
    const before = Date.now();
    try {
      await run({ browser, server, shots });
      passed += 1;
      console.log(`ok      ${name} (${((Date.now() - before) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}\n${error.stack ?? error}`);
      await lastSights(name);
    }
    for (const context of browser.contexts()) await context.close();
  }
  if (/panicked/.test(server.output)) {
    failed += 1;
    console.log(`FAILED  the program panicked:\n${server.output}`);
  }
} catch (error) {
  failed += 1;
  console.log(`FAILED  ${error.stack ?? error}`);
} finally {
  await browser.close();
  await server.remove();
}
console.log(`${passed} passed, ${failed} failed; screenshots in ${shots}`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
