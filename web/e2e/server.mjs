// Starts the real program for a test, and stops it again.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

export class Server {
  constructor(binary, port, folder) {
    this.binary = binary;
    this.port = port;
    this.folder = folder;
    this.base = `http://127.0.0.1:${port}`;
    this.output = '';
  }

  static async create(binary) {
    const folder = mkdtempSync(join(tmpdir(), 'kubevigil-e2e-'));
    const server = new Server(binary, await freePort(), folder);
    await server.start();
    return server;
  }

  async start() {
    this.child = spawn(
      this.binary,
      ['--listen', `127.0.0.1:${this.port}`, '--data-dir', join(this.folder, 'data')],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.exited = new Promise((resolve) =>
      this.child.once('exit', (code, signal) => resolve({ code, signal })),
    );
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on('data', (chunk) => {
        this.output += String(chunk);
      });
    }
    await this.until('the store to open', async () => {
      const status = await this.get('/api/vigil/v1/status');
      return status.opening === null;
    });
  }

  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    return this.exited;
  }

  async remove() {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async get(path) {
    const answer = await fetch(this.base + path);
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
    return answer.json();
  }

  async query(expr) {
    return (await this.get(`/api/v1/query?query=${encodeURIComponent(expr)}`)).data.result;
  }

  /** Asks again and again until `test` gives true. */
  async until(what, test, seconds = 30) {
    const end = Date.now() + seconds * 1000;
    let last = '';
    while (Date.now() < end) {
      if (this.child.exitCode !== null)
        throw new Error(`kubevigil ended with ${this.child.exitCode}:\n${this.output}`);
      try {
        if (await test()) return;
        last = 'not yet';
      } catch (error) {
        last = String(error);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`waited ${seconds} s for ${what}: ${last}\n${this.output}`);
  }
}
