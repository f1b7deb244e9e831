/** What the main thread and the packet worker say to each other. Plain values: they are cloned. */
import type { PeerTableOptions } from '../../ring/peers.ts';
import type { Fault, FenceRules, Rejection, Stranger } from '../engine.ts';
import type { InsideRules } from '../inside.ts';
import type { InspectionRings, TransparentOptions } from '../options.ts';

/** A pair of clocks read at one moment: process.hrtime is the same in every thread, so both count alike from it. */
export interface ClockPair {
  /** FenceContext.now() at that moment. */
  readonly nowMs: number;
  readonly monotonicMs: number;
}

/** workerData. */
export interface WorkerStart {
  readonly name: string;
  readonly label: Uint8Array;
  readonly rules: FenceRules;
  readonly inside: InsideRules;
  readonly rings: InspectionRings | undefined;
  readonly peersBuffer: SharedArrayBuffer;
  readonly peers: PeerTableOptions;
  readonly tallyBuffer: SharedArrayBuffer;
  /** How long packets wait until it is known who their peer is, ms, and bytes of them at once. */
  readonly waits: TransparentOptions['worker']['waits'];
  /** One i32: how many packets wait. The worker writes it. */
  readonly waitingBuffer: SharedArrayBuffer;
  readonly clock: ClockPair;
  readonly proxyPort: number;
  /** The gossip port, for the self-test's datagram. */
  readonly port: number;
  readonly ipv6: boolean;
  /** An eventfd that the main thread writes to after posting, so that a message is seen at once. */
  readonly wakeFd: number;
}

export type ToWorker =
  /** Answered by `rules` of the same revision once they are in force. */
  | { readonly type: 'rules'; readonly revision: number; readonly rules: FenceRules }
  /** What was asked about `address`, undefined: about everyone, up to this question is answered. */
  | { readonly type: 'answered'; readonly address: string | undefined; readonly upTo: number }
  | { readonly type: 'inside'; readonly inside: InsideRules }
  | { readonly type: 'self_test'; readonly nonce: Uint8Array }
  | { readonly type: 'stop' };

export type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  | { readonly type: 'rules'; readonly revision: number }
  /** A packet of `peer` waits. Questions count up from 1. */
  | { readonly type: 'stranger'; readonly peer: Stranger; readonly question: number }
  | { readonly type: 'rejection'; readonly rejection: Rejection }
  | { readonly type: 'fault'; readonly fault: Fault }
  /** The self-test's datagram came back by the rules, or `problem` says why it cannot. */
  | { readonly type: 'self_test'; readonly family: 4 | 6; readonly nonce: Uint8Array; readonly problem?: string };

/** CLOCK_MONOTONIC in ms. */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1e6;
}

/** FenceContext.now() in another thread. */
export function clockFrom(pair: ClockPair): () => number {
  const offset = pair.nowMs - pair.monotonicMs;
  return () => offset + monotonicMs();
}
