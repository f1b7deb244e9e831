/**
 * The memory of peers: bounded, expiring, evicting, counted, in records over a buffer that is passed in (a SharedArrayBuffer across
 * threads; records.ts). Learned only from what cannot be spoofed with one datagram: completed TCP handshakes, and own-labelled
 * datagrams that answer ours; callers keep to that (datapath/judge.ts). Unlabelled frames of admitted peers are counted besides,
 * spoofable or not: they only ever speak against entering `enforce`.
 */
import { formatAddress } from '../wire/address.ts';
import { type KnownPeer, knownPeer, MEMORY, memoryBits } from './known-peer.ts';
import { ANSWER_WINDOW_MS, type ReadTime, RecordPlace, T } from './record-layout.ts';
import { Records, recordsBytes, slotsFor } from './records.ts';

export type { KnownPeer };
export { ANSWER_WINDOW_MS };

export interface PeerTableOptions {
  /** How many peers the table is sized for. */
  readonly peers: number;
  /** How long own-label evidence counts, ms. */
  readonly windowMs: number;
  /** How long foreign evidence counts, ms: seconds, because a recycled address may be ours again. */
  readonly foreignMs: number;
}

/** What a peer showed. */
export type Evidence = 'own' | 'none' | 'foreign';

/** A record as people read it. Times in ms, 0 = never. */
export interface PeerRecord {
  readonly address: string;
  /** 0: evidence about the address; otherwise a port to which frames were sent. */
  readonly port: number;
  readonly proven: boolean;
  readonly foreign: boolean;
  readonly ambiguous: boolean;
  readonly lastOwnMs: number;
  readonly lastNoneMs: number;
  readonly lastForeignMs: number;
  readonly lastSentMs: number;
  /** Its unlabelled frames since a time without any for a whole window, spoofable or not; undefined: none within the window. */
  readonly unlabelled: { readonly count: number; readonly sinceMs: number; readonly lastMs: number } | undefined;
}

export interface Memory {
  readonly proven: boolean;
  readonly foreign: boolean;
  readonly ambiguous: boolean;
}

export interface PeerTable {
  /** `address`: 16 bytes that do not change any more. */
  know(address: Uint8Array, port: number): KnownPeer;
  /** What is remembered of an address (16 bytes). */
  recall(address: Uint8Array, nowMs: number): Memory;
  /** Learns from an exchange that cannot be spoofed. */
  learn(address: Uint8Array, evidence: Evidence, nowMs: number): void;
  /** Notes that a frame was sent to address and port. */
  sent(address: Uint8Array, port: number, nowMs: number): void;
  /** Counts a frame without a label, whether it can be spoofed or not. To be called for admitted peers alone: no stranger may fill the table. */
  unlabelled(address: Uint8Array, nowMs: number): void;
  /** Ends what speaks for a foreigner at the address: somebody who must know (DNS) has named it anew. */
  absolve(address: Uint8Array, nowMs: number): void;
  /** Whether a datagram from address and port can be an answer to a frame sent within ANSWER_WINDOW_MS. */
  answers(address: Uint8Array, port: number, nowMs: number): boolean;
  /** Every record that is not expired; a copy. */
  records(nowMs: number): PeerRecord[];
  /** Records dropped before they expired, and ones that found no room. */
  evictions(): number;
  /** When something was last dropped, or found no room, that is more than what strangers left; 0: never. Since then memory has had it all. */
  lastLossMs(): number;
}

/** Bytes of the buffer for a table of `peers`. */
export function peerTableBytes(peers: number): number {
  return recordsBytes(slotsFor(peers));
}

/** A table over `buffer` (peerTableBytes, zeroed by its maker). Several threads may hold one over the same buffer. */
export function createPeerTable(buffer: ArrayBufferLike, options: PeerTableOptions): PeerTable {
  const { peers, windowMs, foreignMs } = options;
  const records = new Records(buffer, slotsFor(peers), { windowMs, foreignMs });
  const know = (address: Uint8Array, port: number) => knownPeer(records, options, address, port);
  return {
    know,
    recall(address, nowMs) {
      const bits = know(address, 0).memory(nowMs);
      return memoryOf(bits);
    },
    learn: (address, evidence, nowMs) => know(address, 0).learn(evidence, nowMs),
    sent: (address, port, nowMs) => know(address, port).sent(nowMs),
    unlabelled: (address, nowMs) => know(address, 0).unlabelled(nowMs),
    answers: (address, port, nowMs) => know(address, port).answers(nowMs),
    absolve(address, nowMs) {
      const place = new RecordPlace(address, 0);
      const found = records.find(place);
      // Never makes a record: there is nothing to end in a new one.
      if (found < 0 || records.time(found, T.foreign) === 0) return;
      const slot = records.open(place, nowMs, 'stranger');
      if (slot < 0) return;
      records.stamp(slot, T.foreign, 0);
      // Somebody new: what comes next is the first change of identity, and not the second.
      records.stamp(slot, T.switched, 0);
      records.close();
    },
    records(nowMs) {
      return records.all(nowMs, (key, time) => ({
        address: formatAddress(key.address),
        port: key.port,
        ...memoryOf(memoryBits(time(T.own), time(T.foreign), time(T.ambiguous), nowMs, windowMs, foreignMs)),
        lastOwnMs: time(T.own),
        lastNoneMs: time(T.none),
        lastForeignMs: time(T.foreign),
        lastSentMs: time(T.sent),
        unlabelled: unlabelledOf(time, nowMs, windowMs),
      }));
    },
    evictions: () => records.evictions(),
    lastLossMs: () => records.lastLossMs(),
  };
}

function unlabelledOf(time: ReadTime, nowMs: number, windowMs: number): PeerRecord['unlabelled'] {
  const lastMs = time(T.unlabelled);
  if (lastMs === 0 || nowMs - lastMs > windowMs) return undefined;
  return { count: time(T.unlabelledCount), sinceMs: time(T.unlabelledSince), lastMs };
}

function memoryOf(bits: number): Memory {
  return {
    proven: (bits & MEMORY.proven) !== 0,
    foreign: (bits & MEMORY.foreign) !== 0,
    ambiguous: (bits & MEMORY.ambiguous) !== 0,
  };
}
