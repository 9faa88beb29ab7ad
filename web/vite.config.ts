// Build of the pages. `npm run dev` answers the API from dev/ (made-up data);
// `npm run dev -- --mode live` passes it on to a running kubevigil instead.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import react from '@vitejs/plugin-react';
import type { Plugin, ProxyOptions } from 'vite';
import { defineConfig } from 'vitest/config';
import { fakeServer } from './dev/plugin.ts';

const SERVER = process.env.KUBEVIGIL_URL ?? 'http://127.0.0.1:7600';

/** The server refuses what comes from another origin, as this development server is. */
const withoutOrigin: ProxyOptions['configure'] = (proxy) => {
  proxy.on('proxyReq', (request) => request.removeHeader('origin'));
};

/** Writes name.br beside each file that the server may send compressed; index.html gets its nonce first. */
function brotli(): Plugin {
  return {
    name: 'kubevigil-brotli',
    apply: 'build',
    writeBundle(options, bundle) {
      for (const name of Object.keys(bundle)) {
        if (!/^assets\/.*\.(js|css)$/.test(name)) continue;
        const path = join(options.dir ?? 'dist', name);
        const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
        writeFileSync(`${path}.br`, brotliCompressSync(readFileSync(path), quality));
      }
    },
  };
}

export default defineConfig(({ mode }) => {
  const proxy =
    mode === 'live'
      ? { '/api': { target: SERVER, changeOrigin: true, configure: withoutOrigin } }
      : undefined;
  return {
    plugins: [react(), brotli(), ...(mode === 'live' || mode === 'test' ? [] : [fakeServer()])],
    // The server replaces the literal __CSP_NONCE__ with a fresh nonce in every index.html it sends.
    html: { cspNonce: '__CSP_NONCE__' },
    server: { host: '127.0.0.1', port: 5173, proxy },
    preview: { host: '127.0.0.1', port: 4173, proxy },
    build: {
      target: 'es2022',
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      chunkSizeWarningLimit: 700,
    },
    test: { environment: 'node', include: ['src/**/*.test.ts', 'dev/**/*.test.ts'] },
  };
});
