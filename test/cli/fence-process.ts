/** The built program as a process, an app that echoes, and free ports, for the tests of this room. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import type { EngineName } from '../lab/engines.ts';

export const DIST = new URL('../../dist/ringfence.js', import.meta.url).pathname;

/** No wait of these tests is longer. */
const WAIT_MS = 15_000;

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  /** What it wrote so far. */
  output(): string;
  readonly finished: Promise<Finished>;
}

/** Starts `ringfence ARGS`, or `entry`'s; it is killed after the bound on waits times three. */
export function start(args: readonly string[], env: Record<string, string> = {}, entry = DIST): Running {
  const child = spawn(process.execPath, [entry, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), WAIT_MS * 3);
  const finished = new Promise<Finished>((resolve) => {
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr });
    });
  });
  return { child, output: () => stdout, finished };
}

/** Runs `ringfence ARGS` to its end. */
export function ringfence(args: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
  return start(args, env).finished;
}

/** Tries until `probe` gives something true; rejects after the bound on waits. */
export async function eventually<Value>(what: string, probe: () => Promise<Value | undefined | false>): Promise<Value> {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    const value = await probe().catch(() => undefined);
    if (value !== undefined && value !== false) return value;
    if (Date.now() > end) throw new Error(`not within ${WAIT_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * Waits until every fence of the process has opened its sockets: the admin API is there before. Rejects when something else than
 * `engine` carries one of them.
 */
export async function opened(fence: Running, engine: EngineName, fences = 1): Promise<void> {
  const engines = await eventually('the sockets are open', async () => {
    const started = [...fence.output().matchAll(/^.*"fence started".*$/gm)];
    return started.length >= fences && started.map(([line]) => (JSON.parse(line) as { engine?: unknown }).engine);
  });
  if (engines.some((name) => name !== engine)) throw new Error(`carried by ${engines.join(', ')}, not by ${engine}`);
}

/** Below the ports that the kernel gives to whoever asks for any: a test beside this one must not get it meanwhile. */
const PORTS = { first: 12_000, count: 20_000 } as const;
const PORT_TRIES_MAX = 50;

/** A port that is free on loopback, TCP. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < PORT_TRIES_MAX; tries++) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.on('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
  throw new Error(`no free port in ${PORT_TRIES_MAX} tries`);
}

export interface EchoApp {
  /** Everything it was sent, hex, packets and streams. */
  readonly seen: string[];
  close(): Promise<void>;
}

/** An app on `port`, UDP and TCP, that answers what it gets. */
export async function echoApp(port: number): Promise<EchoApp> {
  const seen: string[] = [];
  const udp = createSocket('udp4');
  udp.on('message', (packet, from) => {
    seen.push(packet.toString('hex'));
    udp.send(packet, from.port, from.address);
  });
  await new Promise<void>((resolve) => udp.bind(port, '127.0.0.1', resolve));
  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      seen.push(chunk.toString('hex'));
      socket.write(chunk);
    });
  });
  await new Promise<void>((resolve) => tcp.listen(port, '127.0.0.1', resolve));
  return {
    seen,
    close: () =>
      new Promise((resolve) => {
        udp.close();
        for (const socket of sockets) socket.destroy();
        tcp.close(() => resolve());
      }),
  };
}
