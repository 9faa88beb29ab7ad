// The browser tests: the real program, Debian's Chromium.
//   npm run e2e -- --binary ../target/debug/kubevigil [--only WORD] [--shots FOLDER]
import { existsSync, mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
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
let failed = 0;
let passed = 0;
try {
  const index = await (await fetch(server.base)).text();
  if (!index.includes('id="root"'))
    throw new Error('the pages are not in this program: `npm run build`, then build it again');
  await server.until('a first round', async () => (await server.query('up == 1')).length === 2);
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
    }
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
