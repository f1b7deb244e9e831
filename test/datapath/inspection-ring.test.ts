/** The shared ring against a plain list: what was taken in comes out, in order and whole; what was left out is counted. */
import fc from 'fast-check';
import t from 'tap';
import {
  createRingLane,
  createRingWriter,
  RING_BYTES,
  RING_CAPACITY_BYTES,
} from '../../src/datapath/inspection-ring.ts';
import { DIRECTIONS, KINDS, LABEL_STATES } from '../../src/policy/facts.ts';
import type { FrameSource } from '../../src/ring/source.ts';
import { TRANSPORTS } from '../../src/wire/transport.ts';
import { source } from './inspection-kit.ts';

function ring() {
  const buffer = new SharedArrayBuffer(RING_BYTES);
  const writer = createRingWriter(buffer);
  // As the engine does: the packet is somewhere in a larger memory.
  const write = (from: FrameSource, bytes: Uint8Array) =>
    writer.write(from, Buffer.concat([Buffer.from('before'), bytes, Buffer.from('after')]), 6, 6 + bytes.length);
  return { buffer, ...writer, write, lane: createRingLane(buffer) };
}

t.test('every fact of a source survives the way', async (t) => {
  const { write, lane } = ring();
  const sources = [
    ...DIRECTIONS.map((direction) => source({ direction })),
    ...TRANSPORTS.map((transport) => source({ transport })),
    ...KINDS.map((kind) => source({ kind })),
    ...LABEL_STATES.map((labelState) => source({ labelState })),
    source({ rejected: true }),
    source({ answer: true }),
    source({ label: new Uint8Array(0) }),
    source({ label: new Uint8Array(255).fill(200) }),
    source({ peer: { address: 'fd00:1234:5678:9abc:def0:1234:5678:9abc', port: 65_535 } }),
  ];
  for (const [i, one] of sources.entries()) t.ok(write(one, Buffer.alloc(i, i)));
  for (const [i, one] of sources.entries()) {
    const piece = lane.take();
    if (piece?.type !== 'packet') throw new Error('no packet');
    t.strictSame({ ...piece.source, label: [...piece.source.label] }, { ...one, label: [...one.label] });
    t.strictSame(
      [...piece.bytes],
      Array.from({ length: i }, () => i),
    );
    t.notOk(piece.bytes.buffer instanceof SharedArrayBuffer, 'a copy');
  }
  t.equal(lane.take(), undefined);
  t.notOk(lane.waiting());
});

t.test('a full ring leaves out and counts; a packet that never fits has a count of its own', async (t) => {
  const { write, lane } = ring();
  let taken = 0;
  while (write(source(), Buffer.alloc(1_400))) taken++;
  t.ok(taken > 170, `${taken} packets`);
  t.notOk(write(source(), Buffer.alloc(1_400)));
  t.notOk(write(source(), Buffer.alloc(RING_CAPACITY_BYTES)));
  t.strictSame(lane.skipped(), { queue_full: 2, frame_too_large: 1 });
  t.ok(lane.take());
  t.ok(lane.take());
  t.ok(write(source(), Buffer.alloc(1_400)), 'room again');
});

t.test('a ring that is read as it is written stays in its first pages', async (t) => {
  const { buffer, write, lane } = ring();
  for (let i = 0; i < 10_000; i++) {
    if (!write(source(), Buffer.alloc(1_400, i % 251))) t.fail(`no room for ${i}`);
    const piece = lane.take();
    if (piece?.type !== 'packet' || !piece.bytes.every((byte) => byte === i % 251)) t.fail(`packet ${i}`);
  }
  const used = Buffer.from(buffer).findLastIndex((byte) => byte !== 0);
  t.ok(used < 8_192, `${used} bytes`);
});

t.test('property: any interleaving of writing and taking, around the end many times', async (t) => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 60_000 }), fc.integer({ min: 0, max: 6 })), {
    maxLength: 300,
  });
  const run = (script: readonly (readonly [number, number])[]) => {
    const { buffer, room, write, lane } = ring();
    // Positions near 2^32 wrap too.
    new Int32Array(buffer, 0, 2).fill(-RING_CAPACITY_BYTES);
    const expected: { bytes: number; mark: number; source: FrameSource }[] = [];
    let mark = 0;
    let left = 0;
    const check = () => {
      const piece = lane.take();
      const want = expected.shift();
      if (piece?.type !== 'packet') return want === undefined;
      return (
        piece.bytes.length === want?.bytes &&
        piece.bytes.every((byte) => byte === want.mark) &&
        piece.source.peer.port === want.source.peer.port
      );
    };
    for (const [bytes, takes] of script) {
      mark = (mark + 1) % 251;
      const from = source({ peer: { address: '10.0.0.1', port: mark } });
      const hasRoom = room(bytes);
      const written = write(from, Buffer.alloc(bytes, mark));
      if (hasRoom && !written) return false;
      left += Number(!hasRoom) + Number(!written);
      if (written) expected.push({ bytes, mark, source: from });
      for (let i = 0; i < takes; i++) if (!check()) return false;
    }
    while (expected.length > 0) if (!check()) return false;
    const { queue_full: full = 0, frame_too_large: large = 0 } = lane.skipped();
    return lane.take() === undefined && full + large === left;
  };
  t.doesNotThrow(() => fc.assert(fc.property(steps, run), { numRuns: 60 }));
});

t.test('a buffer of another size is refused', async (t) => {
  t.throws(() => createRingLane(new SharedArrayBuffer(64)), RangeError);
});
