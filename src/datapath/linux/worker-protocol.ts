/** What the main thread and the engine's thread say to each other. Plain values: they are cloned. Fences go by number. */
import type { PeerTableOptions } from '../../ring/peers.ts';
import type { Cut, Endpoint, Fault, FenceRules, PathLimits, Rejection, Stranger, StreamSettings } from '../engine.ts';
import type { InsideRules } from '../inside.ts';
import type { InspectionRings, TcpSource, WorkerOptions } from '../options.ts';

/** A pair of clocks read at one moment: process.hrtime is the same in every thread, so both count alike from it. */
export interface ClockPair {
  /** FenceContext.now() at that moment. */
  readonly nowMs: number;
  readonly monotonicMs: number;
}

/** What the thread builds its own view of any fence from. */
interface AnyFenceStart {
  readonly name: string;
  readonly label: Uint8Array;
  readonly rules: FenceRules;
  readonly inside: InsideRules;
  readonly rings: InspectionRings | undefined;
  readonly peersBuffer: SharedArrayBuffer;
  readonly peers: PeerTableOptions;
  readonly tallyBuffer: SharedArrayBuffer;
  /** cells.ts. */
  readonly cellsBuffer: SharedArrayBuffer;
  /** How long packets wait until it is known who their peer is, ms, and bytes of them at once. */
  readonly waits: WorkerOptions['waits'];
  readonly floodPacketsPerSecond: number;
  readonly clock: ClockPair;
  /** How the thread treats streams; undefined: the main thread has them. */
  readonly streams: StreamSettings | undefined;
}

export interface TransparentStart extends AnyFenceStart {
  readonly mode: 'transparent';
  readonly proxyPort: number;
  /** The gossip port, for the self-test's datagram. */
  readonly port: number;
  readonly ipv6: boolean;
  readonly tcpSource: TcpSource;
}

export interface ListenStart extends AnyFenceStart {
  readonly mode: 'listen';
  /** Port 0 only where the thread has the streams too. */
  readonly listen: Endpoint;
  readonly app: Endpoint;
  readonly limits: PathLimits;
}

export type FenceStart = TransparentStart | ListenStart;

/** What is said to one fence of the thread. */
export type ToFence =
  /** Answered by `ready` or `failed`. */
  | { readonly type: 'open'; readonly start: FenceStart }
  /** Answered by `rules` of the same revision once they are in force. */
  | { readonly type: 'rules'; readonly revision: number; readonly rules: FenceRules }
  /** What was asked about `address`, undefined: about everyone, up to this question is answered. */
  | { readonly type: 'answered'; readonly address: string | undefined; readonly upTo: number }
  | { readonly type: 'inside'; readonly inside: InsideRules }
  | { readonly type: 'self_test'; readonly nonce: Uint8Array }
  /** Answered by `closed`, once its sockets are. */
  | { readonly type: 'close' };

export type ToWorker =
  | (ToFence & { readonly fence: number })
  /** The thread ends; its fences are closed before. */
  | { readonly type: 'stop' };

export type FromFence =
  /** Its sockets are open; `port`: the one that was really bound. */
  | { readonly type: 'ready'; readonly port: number }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  | { readonly type: 'rules'; readonly revision: number }
  /** A packet of `peer` waits. Questions count up from 1. */
  | { readonly type: 'stranger'; readonly peer: Stranger; readonly question: number }
  | { readonly type: 'rejection'; readonly rejection: Rejection }
  | { readonly type: 'fault'; readonly fault: Fault }
  /** What waits to be inspected, of whatever fence, should be looked at soon. */
  | { readonly type: 'inspect' }
  /** The members seal with this key of InsideRules.keys from now on, as the streams here show. */
  | { readonly type: 'ring_key'; readonly key: Uint8Array }
  /** The self-test's datagram came back by the rules, or `problem` says why it cannot. */
  | { readonly type: 'self_test'; readonly family: 4 | 6; readonly nonce: Uint8Array; readonly problem?: string }
  | { readonly type: 'closed'; readonly cut: Cut };

/** What the thread begins with. */
export interface WorkerStart {
  /** The process's nice value before a thread of this kind was first started in it. */
  readonly firstNice: number;
}

export type FromWorker =
  | (FromFence & { readonly fence: number })
  /**
   * The system calls are at hand. `wakeFd`: an eventfd that is written to after posting, so that a message is seen at once; the main thread closes
   * it after the end. `unpreferred`: why the thread does not get the core before the others, where the kernel refused.
   */
  | { readonly type: 'up'; readonly wakeFd: number; readonly unpreferred: string | undefined }
  /** This process cannot have the engine; the thread ends. */
  | { readonly type: 'unavailable'; readonly code: string; readonly message: string };

/** CLOCK_MONOTONIC in ms. */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1e6;
}

/** FenceContext.now() in another thread. */
export function clockFrom(pair: ClockPair): () => number {
  // performance.now() counts from the thread's start, and allocates nothing.
  const offset = pair.nowMs - pair.monotonicMs + (monotonicMs() - performance.now());
  return () => offset + performance.now();
}
