/**
 * The memory of peers: bounded, expiring, evicting, counted, in records over a buffer that is passed in (a SharedArrayBuffer across
 * threads; records.ts). Learned only from what cannot be spoofed with one datagram: completed TCP handshakes, and own-labelled
 * datagrams that answer ours; callers keep to that (datapath/judge.ts). Unlabelled frames of admitted peers are counted besides,
 * spoofable or not: they only ever speak against entering `enforce`.
 */
import { formatAddress } from '../wire/address.ts';
import { ANSWER_WINDOW_MS, type ReadTime, T, type WriteTime } from './record-layout.ts';
import { createRecords, recordsBytes, slotsFor } from './records.ts';

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

const NOTHING: Memory = { proven: false, foreign: false, ambiguous: false };

/** A table over `buffer` (peerTableBytes, zeroed by its maker). Several threads may hold one over the same buffer. */
export function createPeerTable(buffer: ArrayBufferLike, options: PeerTableOptions): PeerTable {
  const { peers, windowMs, foreignMs } = options;
  const records = createRecords(buffer, slotsFor(peers), { windowMs, foreignMs });
  return {
    recall(address, nowMs) {
      return records.read(address, 0, (time) => memoryOf(time, nowMs, options)) ?? NOTHING;
    },
    learn(address, evidence, nowMs) {
      records.write(address, 0, nowMs, evidence === 'own' ? 'proven' : 'stranger', (time, stamp) => {
        if (evidence !== 'none') noteSwitch(time, stamp, evidence, nowMs, windowMs);
        stamp(T[evidence], nowMs);
      });
    },
    sent(address, port, nowMs) {
      records.write(address, port, nowMs, 'stranger', (_time, stamp) => stamp(T.sent, nowMs));
    },
    unlabelled(address, nowMs) {
      records.write(address, 0, nowMs, 'member', (time, stamp) => {
        const goesOn = nowMs - time(T.unlabelled) <= windowMs;
        if (!goesOn) stamp(T.unlabelledSince, nowMs);
        stamp(T.unlabelledCount, goesOn ? time(T.unlabelledCount) + 1 : 1);
        stamp(T.unlabelled, nowMs);
      });
    },
    absolve(address, nowMs) {
      // Never makes a record: there is nothing to end in a new one.
      if ((records.read(address, 0, (time) => time(T.foreign)) ?? 0) === 0) return;
      records.write(address, 0, nowMs, 'stranger', (_time, stamp) => {
        stamp(T.foreign, 0);
        // Somebody new: what comes next is the first change of identity, and not the second.
        stamp(T.switched, 0);
      });
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
