/** A peer that is found once and kept: nothing that others do to the table in between may make it read or write what is not its own. */
import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { knownPeer, MEMORY, STAMP_FRESH_MS } from '../../src/ring/known-peer.ts';
import {
  createPeerTable,
  type Evidence,
  type KnownPeer,
  type PeerTable,
  peerTableBytes,
} from '../../src/ring/peers.ts';
import type { Records } from '../../src/ring/records.ts';
import { PROPERTY } from '../property.ts';

const OPTIONS = { peers: 16, windowMs: 600_000, foreignMs: 10_000 } as const;
const NOW = 1_800_000_000_000;
const addressOf = (k: number) => new Uint8Array(16).fill(k + 1);
const table = (options: { peers: number; windowMs: number; foreignMs: number } = OPTIONS) =>
  createPeerTable(new ArrayBuffer(peerTableBytes(options.peers)), options);

t.test('a stamp is written anew once it is no longer fresh, and not before', async (t) => {
  for (const [windowMs, freshMs] of [
    [600_000, STAMP_FRESH_MS],
    [1_000, 10],
  ] as const) {
    const peers = table({ ...OPTIONS, windowMs });
    const known = peers.know(addressOf(1), 7946);
    const stamps = (nowMs: number) =>
      peers.records(nowMs).map(({ lastOwnMs, lastSentMs }) => Math.max(lastOwnMs, lastSentMs) - NOW);
    for (const [atMs, wanted] of [
      [0, 0],
      [freshMs - 1, 0],
      [freshMs, freshMs],
      [freshMs + 1, freshMs],
    ] as const) {
      known.learn('own', NOW + atMs);
      known.sent(NOW + atMs);
      t.strictSame(stamps(NOW + atMs), [wanted, wanted], `after ${atMs} ms of ${windowMs}`);
    }
  }
});

t.test('the first stamps of a clock that has just begun are written', async (t) => {
  const peers = table();
  const known = peers.know(addressOf(1), 7946);
  known.learn('own', 5);
  known.sent(5);
  t.equal(known.memory(5), MEMORY.proven);
  t.ok(known.answers(5));
});

t.test('the own label that follows a foreign one is learned, however soon', async (t) => {
  const known = table().know(addressOf(1), 7946);
  known.learn('own', NOW);
  known.learn('foreign', NOW + 10);
  t.equal(known.memory(NOW + 10), MEMORY.foreign);
  known.learn('own', NOW + 20);
  t.equal(known.memory(NOW + 20) & (MEMORY.proven | MEMORY.foreign), MEMORY.proven);
});

t.test('while its slot changes hands a peer is nobody, and itself afterwards', async (t) => {
  const buffer = new ArrayBuffer(peerTableBytes(OPTIONS.peers));
  const peers = createPeerTable(buffer, OPTIONS);
  const known = peers.know(addressOf(1), 0);
  known.learn('own', NOW);
  t.equal(known.memory(NOW), MEMORY.proven);
  const cells = new Int32Array(buffer);
  // Its sequence number: the cell before the one that holds port + 1.
  const at = cells.findIndex((cell, i) => i >= 16 && (i - 16) % 24 === 0 && cells[i + 1] === 1 && cell > 0);
  cells[at] = (cells[at] ?? 0) + 1;
  t.equal(known.memory(NOW), 0);
  t.notOk(known.answers(NOW));
  cells[at] = (cells[at] ?? 0) + 1;
  t.equal(known.memory(NOW), MEMORY.proven, 'the number moved on, the key is the same');
});

t.test('a record that never stays in one hand is given up', async (t) => {
  let looks = 0;
  const restless = {
    find() {
      looks++;
      return 0;
    },
    time: () => NOW,
    holds: () => false,
  };
  const known = knownPeer(restless as unknown as Records, OPTIONS, addressOf(1), 0);
  t.equal(known.memory(NOW), 0, 'nothing is known of it');
  t.ok(looks > 1 && looks < 10, `after ${looks} looks`);
});

type Step =
  | { readonly do: 'learn'; readonly peer: number; readonly evidence: Evidence }
  | { readonly do: 'sent' | 'unlabelled' | 'look'; readonly peer: number }
  | { readonly do: 'wait'; readonly ms: number };

const PEERS = 24;
const peer = fc.nat({ max: PEERS - 1 });
const STEP: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    ...{ do: fc.constant('learn' as const), peer },
    evidence: fc.constantFrom<Evidence>('own', 'none', 'foreign'),
  }),
  fc.record({ do: fc.constantFrom('sent' as const, 'unlabelled' as const, 'look' as const), peer }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 30, 101, 6_000, 700_000) }),
);

const portOf = (k: number) => 7946 + (k & 1);
const placeOf = (k: number) => addressOf(k >> 1);

function apply(step: Exclude<Step, { do: 'wait' }>, known: KnownPeer, nowMs: number): unknown {
  if (step.do === 'learn') return known.learn(step.evidence, nowMs);
  if (step.do === 'sent') return known.sent(nowMs);
  if (step.do === 'unlabelled') return known.unlabelled(nowMs);
  return [known.memory(nowMs), known.answers(nowMs)];
}

t.test(
  'kept or found anew each time: the same answers and the same records, in a table that is far too small',
  async (t) => {
    const options = { ...OPTIONS, peers: 2 };
    let evicted = 0;
    t.doesNotThrow(() =>
      fc.assert(
        fc.property(fc.array(STEP, { minLength: 20, maxLength: 150, size: 'max' }), (steps) => {
          const [kept, anew]: PeerTable[] = [table(options), table(options)];
          if (kept === undefined || anew === undefined) throw new Error('no tables');
          const known = Array.from({ length: PEERS }, (_, k) => kept.know(placeOf(k), portOf(k)));
          let nowMs = NOW;
          for (const step of steps) {
            if (step.do === 'wait') {
              nowMs += step.ms;
              continue;
            }
            const fresh = anew.know(placeOf(step.peer), portOf(step.peer));
            deepStrictEqual(apply(step, known[step.peer] as KnownPeer, nowMs), apply(step, fresh, nowMs));
          }
          deepStrictEqual(kept.records(nowMs), anew.records(nowMs));
          deepStrictEqual(kept.evictions(), anew.evictions());
          evicted += kept.evictions();
        }),
        PROPERTY,
      ),
    );
    t.ok(evicted > 500, `${evicted} evictions`);
  },
);
