// Build of the pages. `npm run dev` answers the API from dev/ (made-up data);
// `npm run dev -- --mode live` passes it on to a running kubevigil instead.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';
import { fakeServer } from './dev/plugin';

const SERVER = process.env.KUBEVIGIL_URL ?? 'http://127.0.0.1:7600';

export default defineConfig(({ mode }) => {
  const proxy = mode === 'live' ? { '/api': { target: SERVER, changeOrigin: true } } : undefined;
  return {
    plugins: [react(), ...(mode === 'live' || mode === 'test' ? [] : [fakeServer()])],
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
