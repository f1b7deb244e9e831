/**
 * A thread that writes and reads one shared peer table until a deadline, and checks every record it sees. Each key has one byte
 * value k throughout, and every time that is written for it is a whole number of ms plus k/256: a torn key, or a time that
 * belongs to another key, shows. Keys below HALF show the own label, the others never do.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { createPeerTable } from '../../src/ring/peers.ts';
import { parseAddress } from '../../src/wire/address.ts';

export interface HammerData {
  readonly buffer: SharedArrayBuffer;
  /** Two cells: how many threads have started, and how many there are. */
  readonly barrier: SharedArrayBuffer;
  readonly forMs: number;
  readonly seed: number;
}

export interface HammerResult {
  readonly writes: number;
  readonly reads: number;
  readonly wrong: readonly string[];
}

export const KEYS = 64;
export const HALF = 32;
const START_MS = 10_000;
export const HAMMERED = { peers: 2, windowMs: 600_000, foreignMs: 10_000 } as const;

const keyOf = (k: number) => new Uint8Array(16).fill(k + 1);

/** Waits until every thread has started, so that they really meet; at most START_MS. */
function meet(barrier: SharedArrayBuffer): void {
  const cells = new Int32Array(barrier);
  const all = Atomics.load(cells, 1);
  Atomics.add(cells, 0, 1);
  Atomics.notify(cells, 0);
  const untilMs = Date.now() + START_MS;
  for (let here = Atomics.load(cells, 0); here < all && Date.now() < untilMs; here = Atomics.load(cells, 0)) {
    Atomics.wait(cells, 0, here, START_MS);
  }
}

function hammer({ buffer, barrier, forMs, seed }: HammerData): HammerResult {
  meet(barrier);
  const untilMs = Date.now() + forMs;
  const table = createPeerTable(buffer, HAMMERED);
  const wrong: string[] = [];
  let [writes, reads, random] = [0, 0, seed];
  for (let now = Date.now(); now < untilMs && wrong.length < 5; now = Date.now()) {
    for (let i = 0; i < 50; i++) {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      const k = (random >>> 16) % KEYS;
      const nowMs = now + k / 256;
      if (random % 8 === 0) table.sent(keyOf(k), 0, nowMs);
      else table.learn(keyOf(k), k < HALF ? 'own' : 'none', nowMs);
      writes++;
      const other = (random >>> 8) % KEYS;
      const { proven } = table.recall(keyOf(other), now);
      if (proven && other >= HALF) wrong.push(`key ${other} was proven by another one's evidence`);
      reads++;
    }
    for (const { address, port, ...record } of table.records(now)) {
      reads++;
      const bytes = parseAddress(address) ?? new Uint8Array(16);
      const k = (bytes[0] ?? 0) - 1;
      if (port !== 0 || !bytes.every((byte) => byte === k + 1)) wrong.push(`torn key ${address} port ${port}`);
      for (const time of [record.lastOwnMs, record.lastNoneMs, record.lastForeignMs, record.lastSentMs]) {
        if (time !== 0 && (time * 256) % 256 !== k) wrong.push(`key ${k} holds the time ${time} of another one`);
      }
    }
  }
  return { writes, reads, wrong };
}

parentPort?.postMessage(hammer(workerData as HammerData));
