/** What a fence in the engine's thread looks with: rules that change by message, and rings for what it saw. */
import t from 'tap';
import { keyOfRing, noteSealOfMember } from '../../../src/datapath/app-seals.ts';
import type { Inside } from '../../../src/datapath/inside.ts';
import type { Lane } from '../../../src/datapath/inspection-queue.ts';
import { createRingLane, RING_BYTES } from '../../../src/datapath/inspection-ring.ts';
import { createStreamRingLane } from '../../../src/datapath/inspection-stream-lane.ts';
import { createStreamRing, STREAM_RING_REJECTED_BYTES } from '../../../src/datapath/inspection-stream-ring.ts';
import { createWorkerInside } from '../../../src/datapath/linux/worker-inside.ts';
import { source } from '../inspection-kit.ts';

const offer = ({ packet }: Inside, bytes: Uint8Array, of = source()) => packet(of, bytes, 0, bytes.length);
const makeRings = () => ({
  own: new SharedArrayBuffer(RING_BYTES),
  rejected: new SharedArrayBuffer(RING_BYTES),
  ownStreams: createStreamRing(STREAM_RING_REJECTED_BYTES),
  rejectedStreams: createStreamRing(STREAM_RING_REJECTED_BYTES),
});
const NONE = { keys: [], reseal: false, quarantine: undefined };
const rules = {
  foreign: [{ name: 'b-1', address: '10.0.0.9', port: 7946 }],
  own: [],
  identity: { cidrs: [], names: [] },
};

t.test('rules come and go', async (t) => {
  const inside = createWorkerInside(NONE, undefined);
  t.equal(inside.keyring(), undefined);
  t.equal(inside.quarantine(), undefined);
  t.equal(inside.reseal(), false);
  inside.change({ keys: [new Uint8Array(32), new Uint8Array(16)], reseal: true, quarantine: structuredClone(rules) });
  t.equal(inside.keyring()?.size, 2);
  t.equal(inside.reseal(), true);
  t.equal(inside.quarantine()?.foreignAlive('b-1', Uint8Array.of(10, 0, 0, 9), 7946), true);
  inside.change(NONE);
  t.equal(inside.keyring(), undefined);
  t.equal(inside.quarantine(), undefined);
});

t.test('which key the members seal with is told once for each change, and lives as long as the keys', async (t) => {
  const keys = [new Uint8Array(32).fill(1), new Uint8Array(16).fill(2)];
  const told: (number | undefined)[] = [];
  const inside = createWorkerInside({ ...NONE, keys }, undefined, (key) => told.push(key[0]));
  const seen = (key: number) => {
    const keyring = inside.keyring();
    noteSealOfMember(keyring === undefined ? undefined : { keyring, key });
  };
  for (const key of [0, 0, 1, 1]) seen(key);
  t.strictSame(told, [1, 2]);
  inside.change({ ...NONE, reseal: true, keys: keys.map((key) => Uint8Array.from(key)) });
  const kept = inside.keyring();
  t.equal(kept === undefined ? undefined : keyOfRing(kept), 1, 'other rules, the same keys');
  inside.change({ ...NONE, keys: [...keys].reverse() });
  seen(0);
  t.strictSame(told, [1, 2, 2], 'by the key and not its place');
});

t.test('streams and rejected frames are urgent, what passed only when its ring fills', async (t) => {
  const rings = makeRings();
  const inside = createWorkerInside(NONE, rings);
  const empty = (lane: Lane) => {
    while (lane.take() !== undefined);
    return inside.isUrgent();
  };
  offer(inside, Buffer.alloc(1_000), source());
  t.notOk(inside.isUrgent());
  for (let i = 0; i < 100; i++) offer(inside, Buffer.alloc(1_000), source());
  t.ok(inside.isUrgent(), 'more than a third of the ring');
  t.notOk(empty(createRingLane(rings.own)), 'read');
  offer(inside, Buffer.from('x'), source({ rejected: true }));
  t.ok(inside.isUrgent(), 'rejected');
  t.notOk(empty(createRingLane(rings.rejected)));
  for (const rejected of [false, true]) {
    inside.stream(source({ kind: 'stream', rejected }))?.end(true);
    t.ok(inside.isUrgent(), `a stream, ${rejected ? 'rejected' : 'passed'}`);
    t.notOk(empty(createStreamRingLane(rejected ? rings.rejectedStreams : rings.ownStreams)));
  }
  t.notOk(createWorkerInside(NONE, undefined).isUrgent(), 'nothing is inspected');
});

t.test('packets and streams go to the ring of their kind; without rings nowhere', async (t) => {
  const rings = makeRings();
  const inside = createWorkerInside(NONE, rings);
  offer(inside, Buffer.from('passed'), source());
  offer(inside, Buffer.from('rejected'), source({ rejected: true }));
  const taken = [rings.own, rings.rejected].map((ring) => {
    const lane = createRingLane(ring);
    const piece = lane.take();
    t.notOk(lane.waiting());
    return piece?.type === 'packet' ? Buffer.from(piece.bytes).toString() : undefined;
  });
  t.strictSame(taken, ['passed', 'rejected']);
  for (const rejected of [false, true]) {
    const tap = inside.stream(source({ kind: 'stream', rejected }));
    tap?.push(Buffer.from('bytes'));
    tap?.end(true);
  }
  const streams = [rings.ownStreams, rings.rejectedStreams].map((ring) => createStreamRingLane(ring).take());
  t.strictSame(
    streams.map(
      (piece) => piece?.type === 'stream' && [piece.stream.source.rejected, Buffer.from(piece.bytes).toString()],
    ),
    [
      [false, 'bytes'],
      [true, 'bytes'],
    ],
  );
  t.equal(createWorkerInside(NONE, undefined).stream(source({ kind: 'stream' })), undefined);
  t.doesNotThrow(() => offer(createWorkerInside(NONE, undefined), Buffer.from('x')));
});
