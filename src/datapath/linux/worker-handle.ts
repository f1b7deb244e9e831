/** The main thread's hold on the packet worker: start, messages, self-test, stop, and its death. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { sameBytes } from '../../wire/label.ts';
import { type FenceContext, type FenceRules, StartError, type Stranger } from '../engine.ts';
import { NONCE_BYTES } from './self-test.ts';
import type { Syscalls } from './syscalls.ts';
import type { FromWorker, ToWorker, WorkerStart } from './worker-protocol.ts';

/** How long the worker may take to open its sockets: it loads in a tenth of a second, longer on a starved machine. */
const START_TIMEOUT_MS = 15_000;
/** How long it may take to end after it was told: its longest wait is 100 ms. */
const STOP_TIMEOUT_MS = 1_000;
const SELF_TEST_TIMEOUT_MS = 1_000;
/** How long new rules may take to be in force; a healthy worker needs a few ms. */
const RULES_TIMEOUT_MS = 1_000;

export type RuleProblems = ReadonlyMap<4 | 6, string>;

export interface WorkerHandle {
  /** Resolves when its sockets are open. Rejects with a StartError. */
  ready(): Promise<void>;
  post(message: ToWorker): void;
  /** What it asked about `address`, without it about everyone, is answered. */
  answered(address?: string): void;
  /** Packets that wait there. */
  waiting(): number;
  /** Gives it the rules; resolves once it decides by them, or has not said so within RULES_TIMEOUT_MS (a fault, reported). */
  takeRules(rules: FenceRules): Promise<void>;
  /**
   * What is wrong with the rules of each family; one that is absent from the answer is well: its test datagram came back within a
   * second. Calls that overlap share one test.
   */
  selfTest(families: readonly (4 | 6)[]): Promise<RuleProblems>;
  stop(): Promise<void>;
}

/** Where the worker's code is: beside the sources, or in dist/ while this code may be in dist/chunks/. */
function workerFile(): URL {
  if (import.meta.url.endsWith('.ts')) return new URL('./worker.ts', import.meta.url);
  const candidates = ['./packet-worker.js', '../packet-worker.js', './worker.js'].map(
    (at) => new URL(at, import.meta.url),
  );
  const found = candidates.find((file) => existsSync(file));
  if (found === undefined) throw new StartError('worker_missing', 'packet-worker.js is missing from the installation');
  return found;
}

/** What the worker tells the main thread. */
export interface WorkerEvents extends Pick<FenceContext, 'onRejection' | 'onFault'> {
  /** A packet of somebody unknown waits. */
  onStranger(peer: Stranger): void;
  /** Called once, with a line that says why, when the worker ends without having been told to. */
  onDeath(why: string): void;
}

export function startWorker(
  events: WorkerEvents,
  calls: Syscalls,
  start: Omit<WorkerStart, 'wakeFd' | 'waitingBuffer'>,
): WorkerHandle {
  const wakeFd = calls.eventfd();
  const waitingBuffer = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const workerData: WorkerStart = { ...start, wakeFd, waitingBuffer };
  const worker = new Worker(workerFile(), { workerData, name: 'packets' });
  let started = false;
  let stopping = false;
  let why = 'it ended';
  /** The last question that arrived here: what the worker asked since is not answered by what was known before. */
  let asked = 0;
  let settle: ((error?: StartError) => void) | undefined;
  const ready = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error));
  });
  // Whoever calls ready() gets the rejection; a worker that fails before anyone does must not end the process by it.
  ready.catch(() => undefined);
  const listeners = new Set<(message: FromWorker) => void>();
  worker.on('message', (message: FromWorker) => {
    if (message.type === 'ready') {
      started = true;
      settle?.();
    } else if (message.type === 'failed') settle?.(new StartError(message.code, message.message));
    else if (message.type === 'rejection') events.onRejection(message.rejection);
    else if (message.type === 'fault') events.onFault(message.fault);
    else if (message.type === 'stranger') {
      asked = message.question;
      events.onStranger(message.peer);
    } else for (const listener of listeners) listener(message);
  });
  worker.on('error', (error) => {
    why = error.message;
    settle?.(new StartError('packet_worker_failed', `the packet worker failed to start: ${error.message}`));
  });
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      calls.close(wakeFd);
      settle?.(new StartError('packet_worker_failed', `the packet worker failed to start: ${why}`));
      resolve();
      if (started && !stopping) events.onDeath(why);
      stopping = true;
    });
  });

  const post = (message: ToWorker) => {
    if (stopping) return;
    worker.postMessage(message);
    calls.wake(wakeFd);
  };
  const test = (families: readonly (4 | 6)[]) =>
    new Promise<RuleProblems>((resolve) => {
      const nonce = new Uint8Array(randomBytes(NONCE_BYTES));
      const waiting = new Set(families);
      const problems = new Map<4 | 6, string>(
        families.map((family) => [family, 'intercepted traffic does not arrive']),
      );
      const listener = (message: FromWorker) => {
        if (message.type !== 'self_test' || !sameBytes(message.nonce, nonce)) return;
        if (message.problem === undefined) problems.delete(message.family);
        else problems.set(message.family, message.problem);
        waiting.delete(message.family);
        if (waiting.size === 0) finish();
      };
      const finish = () => {
        clearTimeout(timer);
        listeners.delete(listener);
        resolve(problems);
      };
      const timer = setTimeout(finish, SELF_TEST_TIMEOUT_MS);
      listeners.add(listener);
      post({ type: 'self_test', nonce });
    });
  let running: Promise<RuleProblems> | undefined;
  let revision = 0;
  const takeRules = (rules: FenceRules) =>
    new Promise<void>((resolve) => {
      const wanted = ++revision;
      const finish = () => {
        clearTimeout(timer);
        listeners.delete(listener);
        resolve();
      };
      const listener = (message: FromWorker) => {
        if (message.type === 'rules' && message.revision >= wanted) finish();
      };
      const timer = setTimeout(() => {
        // One that is still opening its sockets takes them first thing after.
        if (!stopping && started) {
          const message = `the packet worker has not taken new rules within ${RULES_TIMEOUT_MS} ms`;
          events.onFault({ code: 'worker_slow', message });
        }
        finish();
      }, RULES_TIMEOUT_MS);
      listeners.add(listener);
      post({ type: 'rules', revision: wanted, rules });
    });
  return {
    async ready() {
      const timer = setTimeout(
        () =>
          settle?.(
            new StartError('packet_worker_failed', `the packet worker took over ${START_TIMEOUT_MS} ms to start`),
          ),
        START_TIMEOUT_MS,
      );
      await ready.finally(() => clearTimeout(timer));
    },
    post,
    answered: (address) => post({ type: 'answered', address, upTo: asked }),
    waiting: () => Atomics.load(new Int32Array(waitingBuffer), 0),
    takeRules,
    selfTest(families) {
      running ??= test(families).finally(() => {
        running = undefined;
      });
      return running;
    },
    async stop() {
      post({ type: 'stop' });
      stopping = true;
      const timer = setTimeout(() => void worker.terminate(), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}
