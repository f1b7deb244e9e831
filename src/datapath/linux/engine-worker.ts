/**
 * The engine's thread: one for the process, with the packets of every fence. The second composition root: it builds its own view of each fence
 * from what the main thread says. It blocks in the kernel (loop.ts), so node's timers, promises and sockets rest here; messages are
 * read between the loop's turns once the eventfd tells of them, which ends a wait at once.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { StartError } from '../engine.ts';
import { createDatagramBatches } from './datagram-batch.ts';
import { type FenceSockets, openSockets } from './fence-sockets.ts';
import { Loop } from './loop.ts';
import { RawIo } from './raw-io.ts';
import { letGoOfStartPages } from './start-pages.ts';
import { EPOLLIN } from './stream-calls.ts';
import { loadSyscalls, SystemError } from './syscalls.ts';
import { preferThisThread } from './thread-priority.ts';
import { createWorkerFence, type WorkerFenceState, type WorkerThread } from './worker-fence.ts';
import type { FenceStart, FromFence, FromWorker, ToWorker, WorkerStart } from './worker-protocol.ts';

/** The longest wait, ms: the bound on stopping and on policy changes even if the eventfd were lost. */
const WAIT_MAX_MS = 100;
/** How old what the cells tell may be, ms, as while nothing happens: of a hundred fences that is a lot to tell. */
const PUBLISH_MS = WAIT_MAX_MS;
/** When the process has started: its fences are open, the first looks at the app and at DNS are over. */
const START_OVER_MS = 4_000;

/** What is open of a fence. */
interface OpenFence extends FenceSockets {
  readonly state: WorkerFenceState;
}

class EngineWorker {
  readonly #port: MessagePort;
  readonly #thread: WorkerThread;
  readonly #wakeFd: number;
  readonly #fences = new Map<number, OpenFence>();
  /** Those of which frames wait. */
  readonly #waiting = new Map<number, WorkerFenceState>();
  #stopped = false;
  /** The main thread said something. */
  #woken = false;
  #publishedMs = Number.NEGATIVE_INFINITY;

  constructor(port: MessagePort, thread: WorkerThread) {
    this.#port = port;
    this.#thread = thread;
    this.#wakeFd = thread.calls.eventfd();
    thread.loop.watch(this.#wakeFd, EPOLLIN, {
      ready: () => {
        thread.calls.unwake(this.#wakeFd);
        this.#woken = true;
      },
    });
    const { firstNice } = workerData as WorkerStart;
    this.#post({ type: 'up', wakeFd: this.#wakeFd, unpreferred: preferThisThread(thread.calls, firstNice) });
  }

  /** Serves until told to stop. */
  run(): void {
    const { loop, io } = this.#thread;
    this.#readMessages();
    while (!this.#stopped) {
      loop.turn(this.#waitMs());
      // Looking for messages costs as much as a datagram, and a turn may be about one.
      const isDue = loop.now() - this.#publishedMs >= PUBLISH_MS;
      if (isDue || this.#woken) this.#readMessages();
      if (isDue) this.#publish(loop.now());
    }
    for (const { stop } of this.#fences.values()) stop();
    io.pipes.close();
    io.spares.close();
    loop.close();
  }

  #publish(nowMs: number): void {
    this.#publishedMs = nowMs;
    const fences = [...this.#fences.values()];
    for (const fence of fences) fence.publish();
    // One reader reads for all.
    fences.find(({ state }) => state.isUrgent())?.state.post({ type: 'inspect' });
  }

  #post(message: FromWorker): void {
    this.#port.postMessage(message);
  }

  /** Ends waits that are over, and says until when the loop may rest. */
  #waitMs(): number {
    let restMs = WAIT_MAX_MS;
    const nowMs = performance.now();
    for (const [number, state] of this.#waiting) {
      const nextMs = state.expire(nowMs);
      if (nextMs === undefined) this.#waiting.delete(number);
      else restMs = Math.min(restMs, Math.ceil(nextMs - nowMs));
    }
    return Math.max(0, restMs);
  }

  #readMessages(): void {
    this.#woken = false;
    for (let got = receiveMessageOnPort(this.#port); got !== undefined; got = receiveMessageOnPort(this.#port)) {
      this.#take(got.message as ToWorker);
    }
  }

  #take(message: ToWorker): void {
    if (message.type === 'stop') {
      this.#stopped = true;
      return;
    }
    if (message.type === 'open') {
      this.#open(message.fence, message.start);
      return;
    }
    const fence = this.#fences.get(message.fence);
    // Said before its end was known there.
    if (fence === undefined) return;
    switch (message.type) {
      case 'rules':
        fence.state.takeRules(message.rules);
        fence.state.post({ type: 'rules', revision: message.revision });
        break;
      case 'answered':
        fence.state.answered(message.address, message.upTo);
        break;
      case 'inside':
        fence.state.takeInside(message.inside);
        break;
      case 'self_test':
        fence.selfTest?.(message.nonce);
        break;
      case 'close': {
        this.#fences.delete(message.fence);
        this.#waiting.delete(message.fence);
        fence.state.post({ type: 'closed', cut: fence.stop() });
      }
    }
  }

  #open(number: number, start: FenceStart): void {
    const post = (message: FromFence) => this.#post({ ...message, fence: number });
    try {
      const state = createWorkerFence(this.#thread, start, post, () => this.#waiting.set(number, state));
      const open = openSockets(state);
      this.#fences.set(number, { ...open, state });
      post({ type: 'ready', port: open.port });
    } catch (error) {
      if (!(error instanceof StartError || error instanceof SystemError)) throw error;
      post({ type: 'failed', code: error.code, message: error.message });
    }
  }
}

async function main(port: MessagePort): Promise<void> {
  try {
    const calls = await loadSyscalls();
    const loop = new Loop(calls, () => performance.now());
    loop.timers.set(START_OVER_MS, () => void letGoOfStartPages(calls));
    new EngineWorker(port, {
      calls,
      loop,
      batches: createDatagramBatches(calls),
      io: new RawIo(loop, calls),
    }).run();
  } catch (error) {
    if (!(error instanceof StartError || error instanceof SystemError)) throw error;
    port.postMessage({ type: 'unavailable', code: error.code, message: error.message } satisfies FromWorker);
  }
  port.close();
}

if (parentPort !== null) void main(parentPort);
