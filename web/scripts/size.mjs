// Weighs the built pages: what the first load brings, and everything. Fails above the budget.
// "First load" is what index.html names and what those modules import at once; pages and the editor
// that load later count in the total alone.
import { readdirSync, readFileSync } from 'node:fs';
import { brotliCompressSync, constants } from 'node:zlib';

const JS_KIB = 220;
const CSS_KIB = 25;
const dist = new URL('../dist/', import.meta.url);
const assets = new URL('assets/', dist);

let html;
try {
  html = readFileSync(new URL('index.html', dist), 'utf8');
} catch {
  console.error('web/dist is not there: run `npm run build` first');
  process.exit(1);
}

const brotli = (name) =>
  brotliCompressSync(readFileSync(new URL(name, assets)), {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11 },
  }).length;

/** Files that `name` imports statically; a dynamic import has a bracket after the word. */
function imports(name) {
  const text = readFileSync(new URL(name, assets), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*["']\.\/([^"']+\.js)["']/g)].map(([, file]) => file);
}

const first = new Set();
const visit = (name) => {
  if (first.has(name)) return;
  first.add(name);
  if (name.endsWith('.js')) for (const next of imports(name)) visit(next);
};
for (const [, name] of html.matchAll(/(?:src|href)="\/assets\/([^"]+)"/g)) visit(name);
const files = readdirSync(assets).filter((name) => /\.(js|css)$/.test(name));
const rows = files.map((name) => ({ name, bytes: brotli(name), first: first.has(name) }));
rows.sort((a, b) => Number(b.first) - Number(a.first) || b.bytes - a.bytes);

const kib = (bytes) => `${(bytes / 1024).toFixed(1).padStart(7)} KiB`;
for (const row of rows) console.log(`${kib(row.bytes)}  ${row.first ? 'first' : 'later'}  ${row.name}`);
const sum = (test) => rows.filter(test).reduce((total, row) => total + row.bytes, 0);
const js = sum((row) => row.first && row.name.endsWith('.js'));
const css = sum((row) => row.first && row.name.endsWith('.css'));
console.log(`${kib(js)}  first load, JavaScript, brotli (at most ${JS_KIB})`);
console.log(`${kib(css)}  first load, styles, brotli (at most ${CSS_KIB})`);
console.log(`${kib(sum(() => true))}  everything`);
if (js === 0) {
  console.error('no JavaScript was found in index.html: the measurement is wrong');
  process.exit(1);
}
if (js > JS_KIB * 1024 || css > CSS_KIB * 1024) {
  console.error('the first load is above its budget');
  process.exit(1);
}
