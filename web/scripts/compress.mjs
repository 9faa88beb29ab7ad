// Puts a brotli form beside each built file that gains by it; the program carries both.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, constants } from 'node:zlib';

const dist = new URL('../dist/', import.meta.url);
for (const name of readdirSync(dist, { recursive: true })) {
  const file = new URL(name, dist);
  // index.html is never sent as it is: each answer gets a nonce of its own.
  if (!statSync(file).isFile() || /\.(br|html|png|woff2)$/.test(name)) continue;
  const plain = readFileSync(file);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
  };
  const packed = brotliCompressSync(plain, { params });
  if (packed.length * 10 < plain.length * 9) writeFileSync(new URL(`${name}.br`, dist), packed);
}
