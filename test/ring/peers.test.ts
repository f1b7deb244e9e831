import fc from 'fast-check';
import t from 'tap';
import {
  ANSWER_WINDOW_MS,
  createPeerTable,
  type Evidence,
  type PeerTable,
  type PeerTableOptions,
  peerTableBytes,
} from '../../src/ring/peers.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { PROPERTY } from '../property.ts';

const OPTIONS = { peers: 16, windowMs: 600_000, foreignMs: 10_000 } as const;
const NOW = 1_800_000_000_000;

function address(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw new Error(`${text} is no address`);
  return bytes;
}

const PEER = address('10.0.0.7');
const fresh = (options: PeerTableOptions = OPTIONS): PeerTable =>
  createPeerTable(new ArrayBuffer(peerTableBytes(options.peers)), options);

/** Evidence at times relative to NOW. */
function after(...shown: [Evidence, number][]): PeerTable {
  const table = fresh();
  for (const [evidence, atMs] of shown) table.learn(PEER, evidence, NOW + atMs);
  return table;
}

t.test('an unknown peer is nothing', async (t) => {
  t.strictSame(fresh().recall(PEER, NOW), { proven: false, foreign: false, ambiguous: false });
  t.strictSame(fresh().records(NOW), []);
  t.equal(fresh().evictions(), 0);
});

t.test('own evidence proves a peer for the window, and not a millisecond longer', async (t) => {
  const table = after(['own', 0]);
  t.strictSame(table.recall(PEER, NOW), { proven: true, foreign: false, ambiguous: false });
  t.equal(table.recall(PEER, NOW + OPTIONS.windowMs).proven, true);
  t.equal(table.recall(PEER, NOW + OPTIONS.windowMs + 1).proven, false);
  t.equal(table.recall(address('10.0.0.8'), NOW).proven, false, 'and no one else');
});

t.test('unlabelled evidence proves nothing and takes nothing away', async (t) => {
  t.strictSame(after(['none', 0]).recall(PEER, NOW), { proven: false, foreign: false, ambiguous: false });
  t.equal(after(['own', 0], ['none', 5]).recall(PEER, NOW + 5).proven, true);
});

t.test('one switch is a recycled address: foreign cuts for its time, and the proof is gone', async (t) => {
  const table = after(['own', 0], ['foreign', 1_000]);
  t.strictSame(table.recall(PEER, NOW + 1_000), { proven: false, foreign: true, ambiguous: false });
  t.equal(table.recall(PEER, NOW + 1_000 + OPTIONS.foreignMs).foreign, true);
  const expired = table.recall(PEER, NOW + 1_001 + OPTIONS.foreignMs);
  t.strictSame(
    expired,
    { proven: false, foreign: false, ambiguous: false },
    'nothing is left, also not the older proof',
  );
});

t.test('foreign evidence ends at once with an own frame', async (t) => {
  const table = after(['foreign', 0], ['own', 1]);
  t.strictSame(table.recall(PEER, NOW + 1), { proven: true, foreign: false, ambiguous: false });
  t.strictSame(after(['foreign', 0], ['own', 0]).recall(PEER, NOW).foreign, false, 'within the same millisecond too');
});

t.test('own, foreign, own within the window is ambiguous: counted, and never cut', async (t) => {
  const table = after(['own', 0], ['foreign', 1_000], ['own', 2_000]);
  t.strictSame(table.recall(PEER, NOW + 2_000), { proven: true, foreign: false, ambiguous: true });
  table.learn(PEER, 'foreign', NOW + 3_000);
  t.strictSame(table.recall(PEER, NOW + 3_000), { proven: true, foreign: false, ambiguous: true }, 'still not cut');
  const later = NOW + 3_001 + OPTIONS.windowMs;
  t.equal(table.recall(PEER, later).ambiguous, false, 'until the window has passed');
  t.equal(
    after(['foreign', 0], ['own', 1], ['foreign', 2]).recall(PEER, NOW + 2).ambiguous,
    true,
    'the other way round',
  );
});

t.test('switches that are a window apart are two recyclings, not two members', async (t) => {
  const far = OPTIONS.windowMs + 1;
  const table = after(['own', 0], ['foreign', 1_000], ['own', 1_000 + far]);
  t.strictSame(table.recall(PEER, NOW + 1_000 + far), { proven: true, foreign: false, ambiguous: false });
  const slow = after(['own', 0], ['foreign', far - 1], ['own', 2 * far]);
  t.equal(slow.recall(PEER, NOW + 2 * far).ambiguous, false);
});

t.test('repeated evidence of one kind is no switch', async (t) => {
  const own = after(['own', 0], ['own', 1], ['own', 2], ['none', 3], ['own', 4]);
  t.equal(own.recall(PEER, NOW + 4).ambiguous, false);
  const foreign = after(['foreign', 0], ['foreign', 1], ['none', 2], ['foreign', 3], ['own', 4]);
  t.equal(foreign.recall(PEER, NOW + 4).ambiguous, false, 'one switch only');
});

t.test('a datagram is an answer only from where we lately sent, address and port', async (t) => {
  const table = fresh();
  table.sent(PEER, 7946, NOW);
  t.equal(table.answers(PEER, 7946, NOW), true);
  t.equal(table.answers(PEER, 7946, NOW + ANSWER_WINDOW_MS), true);
  t.equal(table.answers(PEER, 7946, NOW + ANSWER_WINDOW_MS + 1), false);
  t.equal(table.answers(PEER, 7947, NOW), false, 'another port');
  t.equal(table.answers(address('10.0.0.8'), 7946, NOW), false, 'another address');
  table.sent(PEER, 65_535, NOW);
  t.equal(table.answers(PEER, 65_535, NOW), true, 'the highest port');
  t.strictSame(table.recall(PEER, NOW), { proven: false, foreign: false, ambiguous: false }, 'sending proves nothing');
});

t.test('records show what is remembered, and leave out what expired', async (t) => {
  const table = after(['own', 0], ['none', 10], ['foreign', 20]);
  table.sent(PEER, 7946, NOW + 5);
  const v6 = address('fd00::5');
  table.learn(v6, 'none', NOW + 600_000);
  const records = table.records(NOW + 30).sort((a, b) => b.port - a.port || a.lastNoneMs - b.lastNoneMs);
  const nothing = {
    ...{ proven: false, foreign: false, ambiguous: false, unlabelled: undefined },
    ...{ lastOwnMs: 0, lastForeignMs: 0, lastNoneMs: 0 },
  };
  t.strictSame(records, [
    { ...nothing, address: '10.0.0.7', port: 7946, lastSentMs: NOW + 5 },
    {
      ...nothing,
      ...{ address: '10.0.0.7', port: 0, foreign: true },
      ...{ lastOwnMs: NOW, lastNoneMs: NOW + 10, lastForeignMs: NOW + 20, lastSentMs: 0 },
    },
    { ...nothing, address: 'fd00::5', port: 0, lastNoneMs: NOW + 600_000, lastSentMs: 0 },
  ]);
  t.strictSame(
    table.records(NOW + 601_000).map((record) => record.address),
    ['fd00::5'],
  );
});

const stranger = (i: number) => address(`10.${1 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`);

t.test('a flood of strangers is bounded and counted, and never evicts a proven peer', async (t) => {
  const table = fresh();
  const members = Array.from({ length: OPTIONS.peers }, (_, i) => address(`10.0.0.${i}`));
  for (const member of members) table.learn(member, 'own', NOW);
  for (let i = 0; i < 20_000; i++) {
    table.learn(stranger(i), i % 2 === 0 ? 'foreign' : 'none', NOW + 1 + i / 100);
    table.sent(stranger(i), 1 + (i % 60_000), NOW + 1 + i / 100);
  }
  const lost = members.filter((member) => !table.recall(member, NOW + 1_000).proven);
  t.strictSame(lost, []);
  t.ok(table.records(NOW + 1_000).length <= OPTIONS.peers * 4, 'bounded by its size');
  t.ok(table.evictions() > 30_000, `${table.evictions()} counted`);
});

t.test('a flood of strangers that dial does not make us forget whom we wait for', async (t) => {
  const table = fresh();
  table.sent(PEER, 7946, NOW);
  for (let i = 0; i < 5_000; i++) table.learn(stranger(i), 'none', NOW + 1 + i / 10);
  t.equal(table.answers(PEER, 7946, NOW + 1_000), true);
});

t.test('a peer that proves itself finds room in a table full of strangers, and of older proven peers', async (t) => {
  const table = fresh({ ...OPTIONS, peers: 2 });
  for (let i = 0; i < 8; i++) table.learn(stranger(i), 'none', NOW);
  table.learn(PEER, 'own', NOW);
  t.equal(table.recall(PEER, NOW).proven, true);
  for (let i = 0; i < 8; i++) table.learn(stranger(i), 'own', NOW + 1 + i);
  t.equal(table.recall(PEER, NOW + 10).proven, false, 'the oldest proof goes first');
  t.equal(table.recall(stranger(7), NOW + 10).proven, true);
  const before = table.evictions();
  table.learn(PEER, 'foreign', NOW + 20);
  t.equal(table.recall(PEER, NOW + 20).foreign, false, 'what proves nothing finds no room among proven peers');
  t.equal(table.evictions(), before + 1, 'and that is counted');
});

t.test('an expired record makes room without counting as an eviction', async (t) => {
  const table = fresh({ ...OPTIONS, peers: 2 });
  for (let i = 0; i < 8; i++) table.learn(stranger(i), 'own', NOW);
  const later = NOW + OPTIONS.windowMs + 1;
  table.learn(PEER, 'none', later);
  t.equal(table.evictions(), 0);
  t.equal(table.records(later).length, 1);
});

t.test('two views over one SharedArrayBuffer share what they learn', async (t) => {
  const buffer = new SharedArrayBuffer(peerTableBytes(OPTIONS.peers));
  const [one, two] = [createPeerTable(buffer, OPTIONS), createPeerTable(buffer, OPTIONS)];
  one.learn(PEER, 'own', NOW);
  t.equal(two.recall(PEER, NOW).proven, true);
  two.learn(PEER, 'foreign', NOW + 1);
  t.strictSame(one.recall(PEER, NOW + 1), { proven: false, foreign: true, ambiguous: false });
  two.sent(PEER, 7946, NOW);
  t.equal(one.answers(PEER, 7946, NOW), true);
  t.strictSame(one.records(NOW + 1), two.records(NOW + 1));
});

t.test('a buffer that is too small is refused when the table is made', async (t) => {
  t.throws(() => createPeerTable(new ArrayBuffer(64), OPTIONS), RangeError);
});

t.test('property: while there is room, the table remembers what a plain map of evidence would', async (t) => {
  const kind = fc.constantFrom<Evidence>('own', 'none', 'foreign');
  const step = fc.tuple(fc.nat(2), kind, fc.nat(OPTIONS.windowMs / 4));
  const property = fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    const table = fresh();
    const times = new Map<number, { own: number; foreign: number; none: number }>();
    let now = NOW;
    for (const [peer, evidence, passMs] of steps) {
      now += passMs;
      table.learn(stranger(peer), evidence, now);
      const seen = times.get(peer) ?? { own: 0, foreign: 0, none: 0 };
      times.set(peer, { ...seen, [evidence]: now });
    }
    for (const [peer, { own, foreign }] of times) {
      const { proven, foreign: cut, ambiguous } = table.recall(stranger(peer), now);
      const lately = own > 0 && now - own <= OPTIONS.windowMs;
      if (proven !== (lately && (ambiguous || own >= foreign))) return false;
      if (cut !== (!ambiguous && foreign > own && now - foreign <= OPTIONS.foreignMs)) return false;
      if (ambiguous && (own === 0 || foreign === 0)) return false;
    }
    return table.evictions() === 0;
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});

t.test('unlabelled frames are counted, and anew after a window without any', async (t) => {
  const table = fresh();
  const of = (nowMs: number) => table.records(nowMs).find(({ port }) => port === 0)?.unlabelled;
  for (const atMs of [0, 10, OPTIONS.windowMs + 10]) table.unlabelled(PEER, NOW + atMs);
  const lastMs = NOW + OPTIONS.windowMs + 10;
  t.strictSame(of(lastMs), { count: 3, sinceMs: NOW, lastMs });
  t.strictSame(table.recall(PEER, lastMs), { proven: false, foreign: false, ambiguous: false }, 'they prove nothing');
  t.strictSame(of(lastMs + OPTIONS.windowMs)?.count, 3);
  table.learn(PEER, 'own', lastMs + OPTIONS.windowMs + 1);
  t.equal(of(lastMs + OPTIONS.windowMs + 1), undefined, 'too long ago, though the record lives');
  table.unlabelled(PEER, lastMs + OPTIONS.windowMs + 1);
  t.match(of(lastMs + OPTIONS.windowMs + 1), { count: 1, sinceMs: lastMs + OPTIONS.windowMs + 1 });
  t.equal(table.records(NOW).find(({ port }) => port === 0)?.lastNoneMs, 0, 'a datagram is no TCP exchange');
});

t.test('whoever is absolved is no foreigner any more; nobody is remembered for it', async (t) => {
  const table = after(['own', 0], ['foreign', 10]);
  table.absolve(PEER, NOW + 11);
  t.strictSame(table.recall(PEER, NOW + 11), { proven: true, foreign: false, ambiguous: false });
  table.learn(PEER, 'foreign', NOW + 12);
  t.equal(table.recall(PEER, NOW + 12).foreign, true, 'until it shows a foreign label again');
  table.absolve(address('10.0.0.8'), NOW);
  t.equal(table.records(NOW + 12).length, 1);
});

t.test('what speaks against a member outlives strangers; losing it is told, losing theirs is not', async (t) => {
  const table = fresh({ ...OPTIONS, peers: 2 });
  table.unlabelled(PEER, NOW);
  for (let i = 0; i < 5_000; i++) table.learn(stranger(i), 'none', NOW + i);
  t.equal(table.records(NOW + 5_000).find(({ unlabelled }) => unlabelled !== undefined)?.address, '10.0.0.7');
  t.ok(table.evictions() > 4_000);
  t.equal(table.lastLossMs(), 0, 'nothing that matters is lost');
  for (let i = 0; i < 8; i++) table.learn(stranger(i), 'own', NOW + 6_000 + i);
  t.equal(table.lastLossMs(), NOW + 6_007, 'proven peers need its room');
  table.learn(stranger(9), 'none', NOW + 7_000);
  t.equal(table.lastLossMs(), NOW + 6_007, 'a stranger that finds no room is no loss');
  table.unlabelled(PEER, NOW + 8_000);
  t.equal(table.lastLossMs(), NOW + 8_000, 'what a member said finds none either');
});

t.test('a flood of spoofed unlabelled datagrams clears no foreigner, while its evidence is fresh', async (t) => {
  const table = fresh({ ...OPTIONS, peers: 2 });
  table.learn(PEER, 'foreign', NOW);
  for (let i = 0; i < 5_000; i++) table.unlabelled(stranger(i), NOW + 1 + i / 1_000);
  t.equal(table.recall(PEER, NOW + 6).foreign, true);
  const later = NOW + OPTIONS.foreignMs + 1;
  for (let i = 0; i < 20; i++) table.unlabelled(stranger(i), later);
  t.equal(
    table.records(later).find(({ lastForeignMs }) => lastForeignMs > 0),
    undefined,
    'it goes first then',
  );
});

t.test('a lock that cannot be had loses what was to be written, and says so where it matters', async (t) => {
  const buffer = new ArrayBuffer(peerTableBytes(OPTIONS.peers));
  const table = createPeerTable(buffer, OPTIONS);
  Atomics.store(new Int32Array(buffer), 0, (Math.floor(NOW) % 2 ** 30) + 1);
  table.learn(PEER, 'none', NOW);
  t.strictSame([table.evictions(), table.lastLossMs()], [1, 0]);
  table.learn(PEER, 'own', NOW);
  t.strictSame([table.evictions(), table.lastLossMs()], [2, NOW]);
});
