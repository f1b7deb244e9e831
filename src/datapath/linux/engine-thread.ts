/** The main thread's hold on the engine's thread as such: its start, messages either way, its end. */
import { closeSync, existsSync, writeSync } from 'node:fs';
import { getPriority } from 'node:os';
import { Worker } from 'node:worker_threads';
import { StartError } from '../engine.ts';
import type { FromFence, FromWorker, ToWorker, WorkerStart } from './worker-protocol.ts';

/** How long the thread may take to come up: it loads in a tenth of a second, longer on a starved machine. */
const START_TIMEOUT_MS = 15_000;
/** How long it may take to end after it was told: its longest wait is 100 ms. */
const STOP_TIMEOUT_MS = 1_000;

/**
 * The thread's nursery, MB, three times what one collection sees: it grows to this only when streams come, whose sockets and looks
 * live for a whole exchange, so that a nursery as small as the main thread's keeps copying them.
 */
const YOUNG_MB = 12;

/** Before any of these threads made the others nicer (thread-priority.ts). */
const FIRST_NICE = getPriority();

/** What is written to an eventfd: one, as a u64. */
const ONE = Buffer.from(new BigUint64Array([1n]).buffer);

/** Where the thread's code is: beside the sources, or in dist/ while this code may be in dist/chunks/. */
function workerFile(): URL {
  if (import.meta.url.endsWith('.ts')) return new URL('./engine-worker.ts', import.meta.url);
  const candidates = ['./engine-worker.js', '../engine-worker.js'].map((at) => new URL(at, import.meta.url));
  const found = candidates.find((file) => existsSync(file));
  if (found === undefined) throw new StartError('worker_missing', 'engine-worker.js is missing from the installation');
  return found;
}

export interface EngineThread {
  /** Resolves once it is known whether this process can have the engine: undefined, or why not. */
  readonly up: Promise<StartError | undefined>;
  /** Why it does not get the core before the other threads, where the kernel refused that; known once it is up. */
  unpreferred(): string | undefined;
  /** Whether it has come up and not ended since. */
  running(): boolean;
  /** Does nothing once it has ended, or was told to. */
  post(message: ToWorker): void;
  /** Whether the process lives on for it. Not, at first. */
  hold(held: boolean): void;
  /** Resolves when it has ended. */
  stop(): Promise<void>;
}

export interface ThreadEvents {
  onMessage(fence: number, message: FromFence): void;
  /** Called once, with a line that says why, when the thread ends without having been told to, having been up. */
  onDeath(why: string): void;
}

/** Throws a StartError when its code is missing. */
export function startThread(events: ThreadEvents): EngineThread {
  const workerData: WorkerStart = { firstNice: FIRST_NICE };
  const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MB };
  const worker = new Worker(workerFile(), { name: 'engine', resourceLimits, workerData });
  worker.unref();
  let state: 'starting' | 'up' | 'ending' = 'starting';
  let wakeFd: number | undefined;
  let unpreferred: string | undefined;
  let why = 'it ended';
  let settle: (problem?: StartError) => void = () => undefined;
  const timer = setTimeout(() => settle(failed(`took over ${START_TIMEOUT_MS} ms`)), START_TIMEOUT_MS).unref();
  const up = new Promise<StartError | undefined>((resolve) => {
    settle = (problem) => {
      clearTimeout(timer);
      resolve(problem);
    };
  });
  worker.on('message', (message: FromWorker) => {
    if (message.type === 'up') {
      if (state === 'starting') state = 'up';
      ({ wakeFd, unpreferred } = message);
      settle();
    } else if (message.type === 'unavailable') {
      state = 'ending';
      settle(new StartError(message.code, message.message));
    } else events.onMessage(message.fence, message);
  });
  worker.on('error', (error) => {
    why = error.message;
  });
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      const died = state === 'up';
      state = 'ending';
      // Here, where it is written to, and not in the thread: its number may be another file's as soon as it is closed.
      if (wakeFd !== undefined) closeSync(wakeFd);
      settle(failed(`failed to start: ${why}`));
      resolve();
      if (died) events.onDeath(why);
    });
  });
  const post = (message: ToWorker) => {
    if (state === 'ending') return;
    worker.postMessage(message);
    // At once: node's pool may be busy with names that do not resolve. Never blocks.
    if (wakeFd !== undefined) writeSync(wakeFd, ONE);
  };
  return {
    up,
    unpreferred: () => unpreferred,
    running: () => state === 'up',
    post,
    hold: (held) => (held ? worker.ref() : worker.unref()),
    async stop() {
      post({ type: 'stop' });
      state = 'ending';
      const impatience = setTimeout(() => void worker.terminate(), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(impatience);
    },
  };
}

function failed(what: string): StartError {
  return new StartError('worker_failed', `the engine's thread ${what}`);
}
