/** What every fence gives the engine's thread to build its view from, and what both threads share of it. */
import { TALLY_BYTES } from '../../policy/tally.ts';
import { sameBytes } from '../../wire/label.ts';
import { noteSealOfMember } from '../app-seals.ts';
import type { FenceContext, StreamSettings } from '../engine.ts';
import type { WorkerOptions } from '../options.ts';
import { CELLS_BYTES } from './cells.ts';
import type { EngineFenceEvents } from './engine-fence.ts';
import { monotonicMs } from './worker-protocol.ts';

/** The memory that a fence shares with the thread, beside its peer table and its inspection rings. */
export interface SharedMemory {
  /** What the thread counts (policy/tally.ts). */
  readonly tallyBuffer: SharedArrayBuffer;
  /** cells.ts. */
  readonly cellsBuffer: SharedArrayBuffer;
}

export function createSharedMemory(): SharedMemory {
  return { tallyBuffer: new SharedArrayBuffer(TALLY_BYTES), cellsBuffer: new SharedArrayBuffer(CELLS_BYTES) };
}

/** The part of FenceStart that does not depend on the mode, as it is at this moment. */
export function commonStart(context: FenceContext, worker: WorkerOptions, memory: SharedMemory) {
  return {
    name: context.name,
    label: worker.label,
    rules: worker.rules(),
    inside: worker.inside(),
    rings: worker.rings,
    peersBuffer: worker.peersBuffer,
    peers: worker.peers,
    waits: worker.waits,
    floodPacketsPerSecond: worker.floodPacketsPerSecond,
    ...memory,
    clock: { nowMs: context.now(), monotonicMs: monotonicMs() },
  };
}

/**
 * What the thread is told of streams that it carries; undefined for connections that need node: TLS that ends here, and
 * Alertmanager's.
 */
export function threadStreams({ tls, transport, rejectStreams, limits }: StreamSettings): StreamSettings | undefined {
  return tls === undefined && transport !== 'alertmanager' ? { transport, rejectStreams, limits } : undefined;
}

/**
 * What comes from the thread. Half a fence is none: when the thread dies, `close` closes what is open here, and the process ends, so that
 * kernel rules fail closed and somebody restarts it.
 */
export function threadEvents(context: FenceContext, worker: WorkerOptions, close: () => void): EngineFenceEvents {
  return {
    onRejection: context.onRejection,
    onFault: context.onFault,
    onStranger: worker.ask,
    onInspect: worker.inspect,
    onRingKey(ringKey) {
      // By the key itself: the files may have changed in between.
      const key = worker.inside().keys.findIndex((known) => sameBytes(known, ringKey));
      const keyring = context.inside.keyring();
      if (key >= 0 && keyring !== undefined) noteSealOfMember({ keyring, key });
    },
    onDeath(why) {
      const message = `the engine's thread died (${why}): nothing passes any more`;
      close();
      context.onFault({ code: 'worker_died', message });
      // Uncaught on purpose: the composition root flushes its log and exits with 1, and any other process ends as well.
      setImmediate(() => {
        throw new Error(message);
      });
    },
  };
}
