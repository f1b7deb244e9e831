/** Quarantine on streams: rows of push/pulls, and probes over TCP. */
import fc from 'fast-check';
import t from 'tap';
import { createQuarantine } from '../../src/ring/quarantine.ts';
import { quarantinePushPull } from '../../src/ring/quarantine-push-pull.ts';
import type { FrameSource } from '../../src/ring/source.ts';
import { encodeCompress } from '../../src/wire/compress.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { decodePushPull, encodePushPull, encodeUserStream, type PushPullNode } from '../../src/wire/push-pull.ts';
import { PROPERTY } from '../property.ts';
import { appFrame, frame, ping, row } from './frames.ts';

const SET = createQuarantine({
  foreign: [{ name: 'b-1', address: '10.1.0.1', port: 7946 }],
  own: [],
  identity: { cidrs: [], names: [] },
});
const userState = Uint8Array.of(1, 2, 3, 4, 5);
const join = true;

const FRIEND = frame({ kind: 'stream', peer: { address: '10.0.0.9', port: 40_000 } });
const FOREIGNER = frame({ kind: 'stream', peer: { address: '10.1.0.1', port: 40_000 } });

const table = (...nodes: PushPullNode[]) => encodePushPull({ join, nodes, userState });
const run = (message: Uint8Array, source: FrameSource = FRIEND) => quarantinePushPull(message, SET, source);
const hex = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : Buffer.from(bytes).toString('hex'));

const own = row('a-1');
const ownSuspect = row('a-2', 'suspect', '10.0.0.2');
const ownDead = row('a-3', 'dead', '10.0.0.3');
const ownLeft = row('a-4', 'left', '10.0.0.4');
const foreign = row('b-1', 'alive', '10.1.0.1');
const foreignDead = row('b-1', 'dead', '10.1.0.1');

t.test('alive rows of foreigners go; the rest keeps its bytes, join and user state', async (t) => {
  const { message, ...counts } = run(table(own, foreign, ownSuspect, foreign, foreignDead));
  t.equal(hex(message), hex(table(own, ownSuspect, foreignDead)));
  t.strictSame(counts, { stripped: 2, dropped: 0 });
  t.equal(hex(run(table(foreign)).message), hex(table()), 'none left is a table too');
  const clean = table(own, ownDead, ownLeft, foreignDead);
  t.equal(run(clean).message, clean, 'the same memory');
});

t.test("a foreigner's word about own members goes", async (t) => {
  const all = table(own, ownSuspect, ownDead, ownLeft, foreignDead, foreign);
  const { message, ...counts } = run(all, FOREIGNER);
  t.equal(hex(message), hex(table(own, foreignDead)));
  t.strictSame(counts, { stripped: 1, dropped: 3 });
  const dialled = appFrame({ kind: 'stream', peer: { address: '10.1.0.1', port: 7946 }, answer: true });
  t.match(run(all, dialled), { stripped: 1, dropped: 3 }, 'its answer to our app as well');
  const request = appFrame({ kind: 'stream', peer: { address: '10.1.0.1', port: 7946 } });
  t.match(run(all, request), { stripped: 1, dropped: 0 }, 'what our app tells it is our word');
});

t.test(
  'a foreigner that shares its address with an own member is told by its port, where our app dialled it',
  async (t) => {
    const shared = createQuarantine({
      foreign: [{ name: 'b-1', address: '10.0.0.1', port: 7001 }],
      own: [{ name: 'a-1', address: '10.0.0.1', port: 7002 }],
      identity: { cidrs: [], names: [] },
    });
    const answer = (port: number) => appFrame({ kind: 'stream', peer: { address: '10.0.0.1', port }, answer: true });
    t.equal(quarantinePushPull(table(ownDead), shared, answer(7001)).dropped, 1);
    t.equal(quarantinePushPull(table(ownDead), shared, answer(7002)).dropped, 0);
  },
);

t.test('compression keeps its algorithm', async (t) => {
  for (const algorithm of [0, 1] as const) {
    const { message } = run(encodeCompress(table(own, foreign), algorithm));
    t.equal(hex(message), hex(encodeCompress(table(own), algorithm)));
    const clean = encodeCompress(table(own), algorithm);
    t.equal(run(clean).message, clean);
  }
});

t.test('probes of foreigners and by foreigners do not pass over TCP either', async (t) => {
  t.strictSame(run(encodeMessage(ping('b-1', 'a-1'))), { message: undefined, stripped: 0, dropped: 1 });
  t.strictSame(run(encodeCompress(encodeMessage(ping('a-1', 'b-1')), 0)), {
    message: undefined,
    stripped: 0,
    dropped: 1,
  });
  const own = encodeMessage(ping('a-1', 'a-2'));
  t.equal(run(own).message, own);
  const broken = Uint8Array.of(0, 0xff);
  t.equal(run(broken).message, broken);
});

t.test('rows as their writer wrote them', async (t) => {
  // A newer member's row with a field that nobody here knows, and a header with one.
  const odd = Buffer.from([0x82, 0xa4, ...Buffer.from('Name'), 0xa1, 0x61, 0xa3, ...Buffer.from('New'), 0xc3]);
  const withOdd = Buffer.concat([
    Buffer.from([6, 0x83]),
    ...[Buffer.from([0xa5]), Buffer.from('Nodes'), Buffer.from([2])],
    ...[Buffer.from([0xac]), Buffer.from('UserStateLen'), Buffer.from([1])],
    ...[Buffer.from([0xa3]), Buffer.from('New'), Buffer.from([0xc3])],
    odd,
    Buffer.from(encodePushPull({ join, nodes: [foreign], userState: new Uint8Array(0) })).subarray(-rowBytes(foreign)),
    Buffer.from([9]),
    Buffer.from('what follows'),
  ]);
  const { message, stripped } = run(withOdd);
  t.equal(stripped, 1);
  t.ok(Buffer.from(message ?? []).includes(odd), 'its bytes stay');
  t.match(decodePushPull(message ?? new Uint8Array(0)), { ok: true, value: { nodes: [{ Name: 'a' }], join: false } });
  t.ok(
    Buffer.from(message ?? [])
      .toString('latin1')
      .endsWith('\x09what follows'),
    'what memberlist ignores too',
  );
});

function rowBytes(node: PushPullNode): number {
  return (
    encodePushPull({ join, nodes: [node], userState }).length - encodePushPull({ join, nodes: [], userState }).length
  );
}

t.test('what is no whole push/pull stays as it is', async (t) => {
  const whole = table(own, foreign);
  const others = [
    new Uint8Array(0),
    encodeUserStream(userState),
    Uint8Array.of(6),
    Uint8Array.of(9, 0x80),
    whole.subarray(0, -1),
  ];
  others.push(whole.subarray(0, -userState.length - 10), Uint8Array.of(99), Uint8Array.of(10, 0, 0, 0, 1));
  const negative = Buffer.from(encodePushPull({ join, nodes: [], userState: new Uint8Array(0) }));
  negative[negative.indexOf('Nodes') + 5] = 0xff;
  const absurd = Buffer.from(encodePushPull({ join, nodes: [], userState: new Uint8Array(0) }));
  absurd[absurd.indexOf('UserStateLen') + 12] = 0xff;
  for (const message of [...others, negative, absurd]) t.strictSame(run(message), { message, stripped: 0, dropped: 0 });
});

t.test('of any table, exactly the rows of no bad fate are left, in order', async (t) => {
  const rows = [own, ownSuspect, ownDead, ownLeft, foreign, foreignDead];
  const any = fc.array(fc.nat(rows.length - 1), { maxLength: 30 });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        any,
        fc.boolean(),
        fc.constantFrom(undefined, 0 as const, 1 as const),
        (picks, byForeigner, algorithm) => {
          const nodes = picks.map((i) => rows[i] as PushPullNode);
          const kept = nodes.filter(
            (node) => node !== foreign && (!byForeigner || node === own || node === foreignDead),
          );
          const wrap = (bytes: Uint8Array) => (algorithm === undefined ? bytes : encodeCompress(bytes, algorithm));
          const { message, stripped, dropped } = run(wrap(table(...nodes)), byForeigner ? FOREIGNER : FRIEND);
          return hex(message) === hex(wrap(table(...kept))) && stripped + dropped === nodes.length - kept.length;
        },
      ),
      PROPERTY,
    ),
  );
});
