/** A fence in the engine's thread: its own view of policy, memory and counters, built from what the main thread says. */
import { type Admission, createAdmission } from '../../policy/admission.ts';
import { createSnapshot, type Snapshot } from '../../policy/decide.ts';
import { createTally } from '../../policy/tally.ts';
import { createPeerTable } from '../../ring/peers.ts';
import { shareAppSeals } from '../app-seals.ts';
import { createDoubts, type DoubtsQueue } from '../doubts.ts';
import type { FenceContext, FenceRules } from '../engine.ts';
import type { InsideRules } from '../inside.ts';
import { createTokenBucket } from '../token-bucket.ts';
import { CELL, type Cells, createCells } from './cells.ts';
import type { DatagramBatches } from './datagram-batch.ts';
import { createFloodGuard, type FloodGuard } from './flood-guard.ts';
import type { Loop } from './loop.ts';
import type { RawIo } from './raw-io.ts';
import type { Syscalls } from './syscalls.ts';
import { createWorkerInside } from './worker-inside.ts';
import { clockFrom, type FenceStart, type FromFence } from './worker-protocol.ts';

/** Rejections posted to the main thread; the counters have them all. */
const REJECTION_BURST = 200;
const REJECTIONS_PER_SECOND = 100;

/** What the fences of the thread share. */
export interface WorkerThread {
  readonly calls: Syscalls;
  readonly loop: Loop;
  /** Memory for datagrams: whoever receives into it or sends from it is done with it before it returns to the loop. */
  readonly batches: DatagramBatches;
  /** What raw sockets share. */
  readonly io: RawIo;
}

/** What the ways of packets and streams are given of their fence. */
export interface WorkerFence<Start extends FenceStart = FenceStart> {
  readonly thread: WorkerThread;
  readonly start: Start;
  readonly context: FenceContext;
  readonly cells: Cells;
  /** To be given the fence's UDP sockets, and stopped before they are closed. */
  readonly flood: FloodGuard;
  post(message: FromFence): void;
}

/** A fence as the thread's own loop handles it. */
export interface WorkerFenceState extends WorkerFence {
  takeRules(rules: FenceRules): void;
  takeInside(rules: InsideRules): void;
  answered(address: string | undefined, upTo: number): void;
  /** WorkerInside.isUrgent. */
  isUrgent(): boolean;
  /** Decides what has waited too long at `nowMs` of the loop. Returns when the next has, by the same clock; undefined: nothing waits. */
  expire(nowMs: number): number | undefined;
}

/** FenceRules as they are decided by: one value, so that no frame meets half of a change. */
interface WorkerRules {
  readonly snapshot: Snapshot;
  readonly admission: Admission;
  readonly starting: boolean;
  readonly byDns: boolean;
}

function rulesOf({ policy, admission, starting }: FenceRules): WorkerRules {
  const { byDns } = admission;
  return { snapshot: createSnapshot(policy), admission: createAdmission(admission), starting, byDns };
}

/** `onWaiting`: a frame waits from now on, so `expire` must be called until nothing does. */
export function createWorkerFence(
  thread: WorkerThread,
  start: FenceStart,
  post: (message: FromFence) => void,
  onWaiting: () => void,
): WorkerFenceState {
  const now = clockFrom(start.clock);
  const cells = createCells(start.cellsBuffer);
  const rejections = createTokenBucket(REJECTION_BURST, REJECTIONS_PER_SECOND);
  const inside = createWorkerInside(start.inside, start.rings, (key) => post({ type: 'ring_key', key }));
  let rules = rulesOf(start.rules);
  const queue: DoubtsQueue = createDoubts({
    ...start.waits,
    canAsk: () => rules.byDns,
    starting: () => rules.starting,
    ask: (peer, question) => post({ type: 'stranger', peer, question }),
    now,
  });
  const tellWaiting = () => cells.set(CELL.waiting, queue.waiting());
  const context: FenceContext = {
    name: start.name,
    label: start.label,
    snapshot: () => rules.snapshot,
    admission: () => rules.admission,
    starting: () => rules.starting,
    doubts: {
      wait(peer, bytes, again) {
        const waits = queue.wait(peer, bytes, again);
        if (waits) {
          tellWaiting();
          onWaiting();
        }
        return waits;
      },
      ask: (peer) => queue.ask(peer),
      answered: (address, upTo) => queue.answered(address, upTo),
      waiting: () => queue.waiting(),
    },
    peers: createPeerTable(start.peersBuffer, start.peers),
    tally: createTally(start.tallyBuffer),
    inside,
    now,
    onRejection(rejection) {
      flood.rejected(rejection);
      if (rejections.take(rejection.atMs)) post({ type: 'rejection', rejection });
    },
    onFault: (fault) => post({ type: 'fault', fault }),
  };
  shareAppSeals(context, cells.answer(CELL.appSeals));
  const flood = createFloodGuard({
    calls: thread.calls,
    timers: thread.loop.timers,
    now,
    label: start.label,
    rules: start.rules,
    packetsPerSecond: start.floodPacketsPerSecond,
    loopbackPasses: start.mode === 'transparent',
    tallyBuffer: start.tallyBuffer,
    tally: context.tally,
    onActive: (active) => cells.set(CELL.floodGuard, active ? 1 : 0),
    onFault: context.onFault,
  });
  return {
    thread,
    start,
    context,
    cells,
    flood,
    post,
    takeRules(next) {
      rules = rulesOf(next);
      flood.takeRules(next);
    },
    takeInside: (next) => inside.change(next),
    isUrgent: inside.isUrgent,
    answered(address, upTo) {
      queue.answered(address, upTo);
      tellWaiting();
    },
    expire(loopNowMs) {
      const nowMs = now();
      const nextMs = queue.expire(nowMs);
      tellWaiting();
      return nextMs === undefined ? undefined : loopNowMs + Math.max(0, nextMs - nowMs);
    },
  };
}
