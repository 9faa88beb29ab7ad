// DEVELOPMENT ONLY: answers the API with made-up data while a page is being written.
// Nothing in here is part of the built pages.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Plugin } from 'vite';
import { answer, type Scene } from './fake.ts';

type Next = () => void;

function handler(scene: () => Scene) {
  return (request: IncomingMessage, response: ServerResponse, next: Next) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (!url.pathname.startsWith('/api/')) {
      next();
      return;
    }
    let body = '';
    request.on('data', (chunk) => {
      body += String(chunk);
    });
    request.on('end', () => {
      for (const [name, value] of new URLSearchParams(body)) url.searchParams.append(name, value);
      const { status, json } = answer(url, Date.now(), scene());
      response.statusCode = status;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(json));
    });
  };
}

/** The scene comes from the environment: FAKE_SCENE=full|empty|opening|failing|unauthorized. */
export function fakeServer(): Plugin {
  const scene = () => (process.env.FAKE_SCENE ?? 'full') as Scene;
  return {
    name: 'kubevigil-fake-server',
    configureServer(server) {
      server.middlewares.use(handler(scene));
    },
    configurePreviewServer(server) {
      server.middlewares.use(handler(scene));
    },
  };
}
