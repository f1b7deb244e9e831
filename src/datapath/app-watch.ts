/**
 * Asking the app's TCP port whether the app is there. A probe connects, sends nothing and closes, so it is asked only while nothing
 * else tells: before the first exchange, while the app is down, and while draining.
 */
import { connect } from 'node:net';
import type { AppHealth } from './app-health.ts';
import { every } from './coarse.ts';
import type { Endpoint } from './engine.ts';

/** How often the app is probed while it is unknown or down, and how long one probe may take, ms. */
export const PROBE_INTERVAL_MS = 1_000;

/** How often the app is probed while draining, ms: a leave takes memberlist a few seconds, and shutting down waits for us. */
export const DRAIN_PROBE_INTERVAL_MS = 250;

/** What a connection to an app that is gone meets. A time-out says only that it is slow, and a lack of descriptors is our own fault. */
const GONE: ReadonlySet<string> = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH']);

/** Whether the app takes a TCP connection: undefined, or why it does not. Never rejects; takes at most PROBE_INTERVAL_MS. */
export function probeApp(app: Endpoint): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: app.address, port: app.port });
    const timer = setTimeout(
      () => finish(new Error(`no connection within ${PROBE_INTERVAL_MS} ms`)),
      PROBE_INTERVAL_MS,
    );
    const finish = (why: NodeJS.ErrnoException | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(why);
    };
    socket.on('connect', () => finish(undefined));
    socket.on('error', (error) => finish(error));
  });
}

export interface AppWatch {
  stop(): void;
}

/** Keeps `health` current while it is unknown or down; exchanges keep it current otherwise. */
export function watchApp(app: Endpoint, health: AppHealth): AppWatch {
  let stopped = false;
  let probing = false;
  const look = async (): Promise<void> => {
    if (probing || health.up() === true) return;
    probing = true;
    const why = await probeApp(app);
    probing = false;
    if (stopped) return;
    if (why === undefined) health.connected();
    else if (health.up() !== true) health.failed(why.message);
  };
  const cancel = every(PROBE_INTERVAL_MS, () => void look());
  void look();
  return {
    stop() {
      stopped = true;
      cancel();
    },
  };
}

/** Waits until nobody listens on the app's port any more, at most `graceMs`. `cancelled` ends the wait early. */
export async function waitForAppToLeave(app: Endpoint, graceMs: number, cancelled: () => boolean): Promise<void> {
  const end = performance.now() + graceMs;
  while (performance.now() < end && !cancelled()) {
    if (GONE.has((await probeApp(app))?.code ?? '')) return;
    const left = Math.min(DRAIN_PROBE_INTERVAL_MS, end - performance.now());
    if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
  }
}
