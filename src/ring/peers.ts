/**
 * The memory of peers: fixed records over a buffer that is passed in (a SharedArrayBuffer across threads), bounded, expiring,
 * evicting, counted. Learned only from what cannot be spoofed with one datagram: completed TCP handshakes, and own-labelled
 * datagrams that answer ours; callers keep to that (datapath/judge.ts).
 *
 * Layout: HEADER_BYTES (lock, evictions), then `slots` records of RECORD_BYTES:
 *   0 seq i32 (odd while a writer changes the key) · 4 port+1 i32 (0 = empty) · 8 address[16] · 24 six doubles: times in ms, one spare
 *
 * Records are found in a bucket of WAYS slots. A new key takes a lock (rare); times are single stores, so readers need none: they
 * re-read `seq` after the key and its times.
 */
import { ADDRESS_BYTES, formatAddress } from '../wire/address.ts';

const HEADER_BYTES = 64;
const RECORD_BYTES = 80;
const WAYS = 8;
const LOCK = 0;
const EVICTIONS = 1;
const RECORD_INTS = RECORD_BYTES / 4;
const RECORD_DOUBLES = RECORD_BYTES / 8;

/** A lock holder is a few dozen instructions long; past this many tries the record is not made, and that is counted. */
const LOCK_TRIES_MAX = 10_000;

/** Offsets of the times in a record, in doubles from its start. */
const T = { own: 3, foreign: 4, none: 5, sent: 6, switched: 7, ambiguous: 8 } as const;

export interface PeerTableOptions {
  /** How many peers the table is sized for. */
  readonly peers: number;
  /** How long own-label evidence counts, ms. */
  readonly windowMs: number;
  /** How long foreign evidence counts, ms: seconds, because a recycled address may be ours again. */
  readonly foreignMs: number;
}

/** How long after our own frame a datagram from the same address and port counts as its answer, ms (memberlist LAN ProbeTimeout and indirect probes end within ProbeInterval 1 s; WAN 5 s). */
export const ANSWER_WINDOW_MS = 5_000;

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
  /** Every record that is in use; a copy. */
  records(nowMs: number): PeerRecord[];
  /** Records dropped for newer ones, and ones that found no room. */
  evictions(): number;
}

function slotsFor(peers: number): number {
  let slots = WAYS;
  // Twice the peers: an address has a record for its evidence and one for a port, and buckets fill unevenly.
  while (slots < peers * 4) slots *= 2;
  return slots;
}

/** Bytes of the buffer for a table of `peers`. */
export function peerTableBytes(peers: number): number {
  return HEADER_BYTES + slotsFor(peers) * RECORD_BYTES;
}

const NOTHING: Memory = { proven: false, foreign: false, ambiguous: false };

/** A table over `buffer` (peerTableBytes, zeroed by its maker). Several threads may hold one over the same buffer. */
export function createPeerTable(buffer: ArrayBufferLike, options: PeerTableOptions): PeerTable {
  const { windowMs, foreignMs } = options;
  const slots = slotsFor(options.peers);
  const header = new Int32Array(buffer, 0, HEADER_BYTES / 4);
  const ints = new Int32Array(buffer, HEADER_BYTES, slots * RECORD_INTS);
  const doubles = new Float64Array(buffer, HEADER_BYTES, slots * RECORD_DOUBLES);
  const bytes = new Uint8Array(buffer, HEADER_BYTES, slots * RECORD_BYTES);
  const time = (slot: number, which: number) => doubles[slot * RECORD_DOUBLES + which] as number;
  const stamp = (slot: number, which: number, ms: number) => {
    doubles[slot * RECORD_DOUBLES + which] = ms;
  };

  const sameKey = (slot: number, address: Uint8Array, port: number): boolean => {
    if (Atomics.load(ints, slot * RECORD_INTS + 1) !== port + 1) return false;
    const at = slot * RECORD_BYTES + 8;
    for (let i = 0; i < ADDRESS_BYTES; i++) if (bytes[at + i] !== address[i]) return false;
    return true;
  };

  const find = (address: Uint8Array, port: number): number => {
    const first = bucketOf(address, port, slots);
    for (let slot = first; slot < first + WAYS; slot++) if (sameKey(slot, address, port)) return slot;
    return -1;
  };

  /** How much a record is worth keeping; the least goes first. Proven ones outlive what a stranger can make us write. */
  const worth = (slot: number, nowMs: number): number => {
    if (ints[slot * RECORD_INTS + 1] === 0) return -1;
    let newest = 0;
    for (let which: number = T.own; which <= T.sent; which++) newest = Math.max(newest, time(slot, which));
    if (nowMs - newest > windowMs) return 0;
    const proven = nowMs - time(slot, T.own) <= windowMs && time(slot, T.own) > 0;
    return newest + (proven ? 2 ** 52 : 0);
  };

  const insert = (address: Uint8Array, port: number, nowMs: number, proves: boolean): number => {
    let tries = 0;
    while (Atomics.compareExchange(header, LOCK, 0, 1) !== 0) {
      if (++tries === LOCK_TRIES_MAX) {
        Atomics.add(header, EVICTIONS, 1);
        return -1;
      }
    }
    try {
      const found = find(address, port);
      if (found >= 0) return found;
      const first = bucketOf(address, port, slots);
      let victim = first;
      for (let slot = first + 1; slot < first + WAYS; slot++) {
        if (worth(slot, nowMs) < worth(victim, nowMs)) victim = slot;
      }
      const value = worth(victim, nowMs);
      if (value >= 0) Atomics.add(header, EVICTIONS, 1);
      if (value >= 2 ** 52 && !proves) return -1;
      const at = victim * RECORD_INTS;
      Atomics.add(ints, at, 1);
      Atomics.store(ints, at + 1, port + 1);
      bytes.set(address, victim * RECORD_BYTES + 8);
      doubles.fill(0, victim * RECORD_DOUBLES + T.own, victim * RECORD_DOUBLES + RECORD_DOUBLES);
      Atomics.add(ints, at, 1);
      return victim;
    } finally {
      Atomics.store(header, LOCK, 0);
    }
  };

  const memoryOf = (slot: number, nowMs: number): Memory => {
    const own = time(slot, T.own);
    const foreign = time(slot, T.foreign);
    const ambiguousAt = time(slot, T.ambiguous);
    const ambiguous = ambiguousAt > 0 && nowMs - ambiguousAt <= windowMs;
    const ownLately = own > 0 && nowMs - own <= windowMs;
    return {
      ambiguous,
      proven: ownLately && (ambiguous || own >= foreign),
      foreign: !ambiguous && foreign > own && nowMs - foreign <= foreignMs,
    };
  };

  /** Two changes of identity within the window are no recycled address but two members behind one: NAT or a host network. */
  const noteSwitch = (slot: number, evidence: Evidence, nowMs: number): void => {
    const own = time(slot, T.own);
    const foreign = time(slot, T.foreign);
    const previous = evidence === 'own' ? foreign : own;
    const other = evidence === 'own' ? own : foreign;
    if (previous === 0 || previous <= other || nowMs - previous > windowMs) return;
    const switched = time(slot, T.switched);
    if (switched > 0 && nowMs - switched <= windowMs) stamp(slot, T.ambiguous, nowMs);
    stamp(slot, T.switched, nowMs);
  };

  return {
    recall(address, nowMs) {
      const slot = find(address, 0);
      if (slot < 0) return NOTHING;
      const before = Atomics.load(ints, slot * RECORD_INTS);
      const memory = memoryOf(slot, nowMs);
      // A record that changed hands meanwhile is no evidence about this address.
      const same = sameKey(slot, address, 0) && Atomics.load(ints, slot * RECORD_INTS) === before && before % 2 === 0;
      return same ? memory : NOTHING;
    },
    learn(address, evidence, nowMs) {
      let slot = find(address, 0);
      if (slot < 0) slot = insert(address, 0, nowMs, evidence === 'own');
      if (slot < 0) return;
      if (evidence !== 'none') noteSwitch(slot, evidence, nowMs);
      stamp(slot, T[evidence], nowMs);
    },
    sent(address, port, nowMs) {
      let slot = find(address, port);
      if (slot < 0) slot = insert(address, port, nowMs, false);
      if (slot >= 0) stamp(slot, T.sent, nowMs);
    },
    answers(address, port, nowMs) {
      const slot = find(address, port);
      if (slot < 0) return false;
      const sentAt = time(slot, T.sent);
      return sentAt > 0 && nowMs - sentAt <= ANSWER_WINDOW_MS;
    },
    records(nowMs) {
      const out: PeerRecord[] = [];
      for (let slot = 0; slot < slots; slot++) {
        const port = Atomics.load(ints, slot * RECORD_INTS + 1) - 1;
        if (port < 0) continue;
        out.push({
          address: formatAddress(bytes, slot * RECORD_BYTES + 8),
          port,
          ...memoryOf(slot, nowMs),
          lastOwnMs: time(slot, T.own),
          lastNoneMs: time(slot, T.none),
          lastForeignMs: time(slot, T.foreign),
          lastSentMs: time(slot, T.sent),
        });
      }
      return out;
    },
    evictions: () => Atomics.load(header, EVICTIONS),
  };
}

/** FNV-1a over the key; the first slot of its bucket. */
function bucketOf(address: Uint8Array, port: number, slots: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < ADDRESS_BYTES; i++) hash = Math.imul(hash ^ (address[i] as number), 0x01000193);
  hash = Math.imul(hash ^ (port & 0xff), 0x01000193);
  hash = Math.imul(hash ^ (port >> 8), 0x01000193);
  hash ^= hash >>> 15;
  return (hash & (slots / WAYS - 1)) * WAYS;
}
