/**
 * The memory of peers: bounded, expiring, evicting, counted, in records over a buffer that is passed in (a SharedArrayBuffer across
 * threads; records.ts). Learned only from what cannot be spoofed with one datagram: completed TCP handshakes, and own-labelled
 * datagrams that answer ours; callers keep to that (datapath/judge.ts).
 */
import { formatAddress } from '../wire/address.ts';
import {
  ANSWER_WINDOW_MS,
  createRecords,
  type ReadTime,
  recordsBytes,
  slotsFor,
  T,
  type WriteTime,
} from './records.ts';

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
}

export interface Memory {
  readonly proven: boolean;
  readonly foreign: boolean;
  readonly ambiguous: boolean;
}

export interface PeerTable {
  /** What is remembered of an address (16 bytes). */
  recall(address: Uint8Array, nowMs: number): Memory;
  /** Learns from an exchange that cannot be spoofed. */
  learn(address: Uint8Array, evidence: Evidence, nowMs: number): void;
  /** Notes that a frame was sent to address and port. */
  sent(address: Uint8Array, port: number, nowMs: number): void;
  /** Whether a datagram from address and port can be an answer to a frame sent within ANSWER_WINDOW_MS. */
  answers(address: Uint8Array, port: number, nowMs: number): boolean;
  /** Every record that is not expired; a copy. */
  records(nowMs: number): PeerRecord[];
  /** Records dropped before they expired, and ones that found no room. */
  evictions(): number;
}

/** Bytes of the buffer for a table of `peers`. */
export function peerTableBytes(peers: number): number {
  return recordsBytes(slotsFor(peers));
}

const NOTHING: Memory = { proven: false, foreign: false, ambiguous: false };

/** A table over `buffer` (peerTableBytes, zeroed by its maker). Several threads may hold one over the same buffer. */
export function createPeerTable(buffer: ArrayBufferLike, options: PeerTableOptions): PeerTable {
  const { peers, windowMs, foreignMs } = options;
  const life = { provenMs: windowMs, lifeMs: Math.max(windowMs, foreignMs) };
  const records = createRecords(buffer, slotsFor(peers), life);
  return {
    recall(address, nowMs) {
      return records.read(address, 0, (time) => memoryOf(time, nowMs, options)) ?? NOTHING;
    },
    learn(address, evidence, nowMs) {
      records.write(address, 0, nowMs, evidence === 'own', (time, stamp) => {
        if (evidence !== 'none') noteSwitch(time, stamp, evidence, nowMs, windowMs);
        stamp(T[evidence], nowMs);
      });
    },
    sent(address, port, nowMs) {
      records.write(address, port, nowMs, false, (_time, stamp) => stamp(T.sent, nowMs));
    },
    answers(address, port, nowMs) {
      const sentAt = records.read(address, port, (time) => time(T.sent)) ?? 0;
      return sentAt > 0 && nowMs - sentAt <= ANSWER_WINDOW_MS;
    },
    records(nowMs) {
      return records.all(nowMs, (key, time) => ({
        address: formatAddress(key.address),
        port: key.port,
        ...memoryOf(time, nowMs, options),
        lastOwnMs: time(T.own),
        lastNoneMs: time(T.none),
        lastForeignMs: time(T.foreign),
        lastSentMs: time(T.sent),
      }));
    },
    evictions: () => records.evictions(),
  };
}

function memoryOf(time: ReadTime, nowMs: number, { windowMs, foreignMs }: PeerTableOptions): Memory {
  const own = time(T.own);
  const foreign = time(T.foreign);
  const ambiguousAt = time(T.ambiguous);
  const ambiguous = ambiguousAt > 0 && nowMs - ambiguousAt <= windowMs;
  const ownLately = own > 0 && nowMs - own <= windowMs;
  return {
    ambiguous,
    proven: ownLately && (ambiguous || own >= foreign),
    foreign: !ambiguous && foreign > own && nowMs - foreign <= foreignMs,
  };
}

/** Two changes of identity within the window are no recycled address but two members behind one: NAT or a host network. */
function noteSwitch(
  time: ReadTime,
  stamp: WriteTime,
  evidence: 'own' | 'foreign',
  nowMs: number,
  windowMs: number,
): void {
  const same = time(T[evidence]);
  const other = time(evidence === 'own' ? T.foreign : T.own);
  if (other === 0 || other <= same || nowMs - other > windowMs) return;
  const switched = time(T.switched);
  if (switched > 0 && nowMs - switched <= windowMs) stamp(T.ambiguous, nowMs);
  stamp(T.switched, nowMs);
}
