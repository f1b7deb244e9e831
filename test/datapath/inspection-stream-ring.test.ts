/** Streams through shared memory: what arrives is what was written, in order, whole or told as cut; and never more than the ring holds. */
import fc from 'fast-check';
import t from 'tap';
import type { Lane } from '../../src/datapath/inspection-queue.ts';
import { createStreamRingLane } from '../../src/datapath/inspection-stream-lane.ts';
import { createStreamRing, STREAM_RING_REJECTED_BYTES } from '../../src/datapath/inspection-stream-ring.ts';
import { createStreamRingWriter } from '../../src/datapath/inspection-stream-writer.ts';
import { source } from './inspection-kit.ts';

const SMALL = 64 * 1024;

interface Seen {
  readonly peer: string;
  bytes: Buffer;
  complete: boolean | undefined;
}

/** Reads up to `max` pieces; a stream says by `wants` how many bytes it is interested in. */
function reader(lane: Lane, wants = Number.POSITIVE_INFINITY) {
  const seen: Seen[] = [];
  const of = new Map<object, Seen>();
  const read = (max = Number.POSITIVE_INFINITY): void => {
    for (let i = 0; i < max; i++) {
      const piece = lane.take();
      if (piece === undefined) return;
      if (piece.type === 'packet') throw new Error('a packet');
      const { stream } = piece;
      let one = of.get(stream);
      if (one === undefined) {
        one = { peer: stream.source.peer.address, bytes: Buffer.alloc(0), complete: undefined };
        of.set(stream, one);
        seen.push(one);
      }
      const it = one;
      if (it.complete !== undefined) throw new Error('after its end');
      if (piece.type === 'stream') {
        stream.push(piece.bytes, () => ({
          push(chunk) {
            it.bytes = Buffer.concat([it.bytes, chunk]);
            return it.bytes.length < wants;
          },
          end: () => undefined,
        }));
      } else {
        it.complete = piece.complete;
        stream.end(piece.complete);
      }
    }
  };
  return { seen, read };
}

t.test('a source, bytes in pieces, an end', async (t) => {
  const ring = createStreamRing(SMALL);
  const writer = createStreamRingWriter(ring, 4);
  const lane = createStreamRingLane(ring);
  const from = source({ kind: 'stream', answer: true, rejected: true, peer: { address: '2001:db8::7', port: 7947 } });
  const tap = writer.open(from);
  const long = Buffer.alloc(40_000, 'x');
  tap?.push(Buffer.from('head'));
  tap?.push(long);
  tap?.end(true);
  tap?.end(false);
  tap?.push(Buffer.from('after its end'));
  const first = lane.take();
  t.equal(first?.type, 'stream');
  t.strictSame(first?.type === 'stream' && first.stream.source, {
    ...from,
    label: new Uint8Array(Buffer.from('blue')),
  });
  const { seen, read } = reader(lane);
  read();
  t.strictSame(seen, [{ peer: '2001:db8::7', bytes: long, complete: true }]);
  t.equal(lane.waiting(), false);
  t.strictSame(lane.skipped(), { queue_full: 0, streams_limit: 0, stream_cut_short: 0 });
});

t.test(
  'what finds no room is cut there, its end is told all the same, and the next stream is whole again',
  async (t) => {
    const ring = createStreamRing(SMALL);
    const writer = createStreamRingWriter(ring, 128);
    const lane = createStreamRingLane(ring);
    const greedy = writer.open(source({ kind: 'stream' }));
    const other = writer.open(source({ kind: 'stream', peer: { address: '10.0.0.8', port: 1 } }));
    const bytes = Buffer.alloc(3 * SMALL, 1);
    for (let i = 0; i < bytes.length; i++) bytes[i] = i % 251;
    greedy?.push(bytes);
    greedy?.push(Buffer.from('more'));
    other?.push(Buffer.alloc(SMALL / 2));
    greedy?.end(true);
    other?.end(true);
    const full = lane.skipped();
    t.equal(full.stream_cut_short, 2, 'once a stream');
    const { seen, read } = reader(lane);
    read();
    t.equal(seen.length, 2);
    t.equal(seen[0]?.complete, false);
    t.ok((seen[0]?.bytes.length ?? 0) > SMALL / 4);
    t.ok(seen[0]?.bytes.equals(bytes.subarray(0, seen[0].bytes.length)), 'a prefix of it');
    t.equal(seen[1]?.complete, false);
    const next = writer.open(source({ kind: 'stream' }));
    next?.push(Buffer.from('whole'));
    next?.end(true);
    read();
    t.strictSame(seen[2], { peer: '10.0.0.9', bytes: Buffer.from('whole'), complete: true });
  },
);

t.test('nobody reads: streams stop being opened, ends fit, nothing is lost of what was taken', async (t) => {
  const ring = createStreamRing(SMALL);
  const writer = createStreamRingWriter(ring, 128);
  const lane = createStreamRingLane(ring);
  const taps = Array.from({ length: 200 }, (_, i) => {
    const tap = writer.open(source({ kind: 'stream', peer: { address: `10.0.1.${i % 16}`, port: i } }));
    tap?.push(Buffer.alloc(700, i));
    return tap;
  }).filter((tap) => tap !== undefined);
  t.ok(taps.length > 40 && taps.length <= 128, `${taps.length} streams`);
  for (const tap of taps) tap.end(true);
  const { seen, read } = reader(lane);
  read();
  t.equal(seen.length, taps.length, 'every end arrives');
  for (const { bytes, complete } of seen) t.equal(complete, bytes.length === 700);
  const { queue_full = 0, streams_limit = 0 } = lane.skipped();
  t.equal(taps.length + queue_full + streams_limit, 200);
});

t.test('places: as many as there are, a part of them for one peer, free once the end was read', async (t) => {
  const ring = createStreamRing(STREAM_RING_REJECTED_BYTES);
  const writer = createStreamRingWriter(ring, 8);
  const lane = createStreamRingLane(ring);
  const { seen, read } = reader(lane);
  const open = (address: string) => writer.open(source({ kind: 'stream', peer: { address, port: 1 } }));
  const ofOne = [open('a'), open('a')];
  t.equal(open('a'), undefined, 'a quarter of eight');
  const others = ['b', 'c', 'd'].flatMap((peer) => [open(peer), open(peer)]);
  t.equal(open('e'), undefined, 'all are taken');
  t.notOk([...ofOne, ...others].includes(undefined));
  t.equal(lane.skipped().streams_limit, 2);
  ofOne[0]?.end(true);
  t.equal(open('a'), undefined, 'its end was not read yet');
  read();
  t.ok(open('a'));
  t.equal(seen.length, 1);
});

t.test('what no longer interests is not written', async (t) => {
  const ring = createStreamRing(SMALL);
  const writer = createStreamRingWriter(ring, 4);
  const lane = createStreamRingLane(ring);
  const { seen, read } = reader(lane, 10);
  const tap = writer.open(source({ kind: 'stream' }));
  tap?.push(Buffer.alloc(10));
  tap?.push(Buffer.alloc(20));
  read();
  t.equal(seen[0]?.bytes.length, 10, 'nor read, where it waited');
  for (let i = 0; i < 100; i++) tap?.push(Buffer.alloc(SMALL / 2));
  t.equal(lane.skipped().stream_cut_short, 0);
  t.equal(lane.waiting(), false);
  tap?.end(true);
  read();
  t.equal(seen[0]?.complete, true);
  const next = writer.open(source({ kind: 'stream' }));
  next?.push(Buffer.from('again'));
  read();
  t.equal(seen[1]?.bytes.toString(), 'again', 'its slot starts anew');
});

t.test('little traffic uses little of the ring', async (t) => {
  const ring = createStreamRing(STREAM_RING_REJECTED_BYTES);
  const writer = createStreamRingWriter(ring, 4);
  const { seen, read } = reader(createStreamRingLane(ring));
  for (let i = 0; i < 500; i++) {
    const tap = writer.open(source({ kind: 'stream' }));
    tap?.push(Buffer.alloc(10_000, 7));
    tap?.end(true);
    read();
  }
  t.equal(seen.length, 500);
  const used = Buffer.from(ring).lastIndexOf(7);
  t.ok(used < 128 * 1024, `${used} bytes in`);
});

t.test('any order of writing and reading gives prefixes, whole where they are said to be', async (t) => {
  const step = fc.oneof(
    fc.record({ act: fc.constant('open' as const), n: fc.nat(5) }),
    fc.record({ act: fc.constant('push' as const), n: fc.nat(40), size: fc.nat(30_000) }),
    fc.record({ act: fc.constant('end' as const), n: fc.nat(40), complete: fc.boolean() }),
    fc.record({ act: fc.constant('read' as const), n: fc.nat(20) }),
  );
  t.doesNotThrow(() => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const ring = createStreamRing(SMALL);
        const writer = createStreamRingWriter(ring, 16);
        const lane = createStreamRingLane(ring);
        const { seen, read } = reader(lane);
        const written: { sent: Buffer[]; end: boolean | undefined; tap: ReturnType<typeof writer.open> }[] = [];
        let fill = 0;
        for (const one of steps) {
          if (one.act === 'read') read(one.n);
          else if (one.act === 'open') {
            // The port tells which it is.
            const port = written.length;
            const tap = writer.open(source({ kind: 'stream', peer: { address: `p${one.n}/${port}`, port } }));
            if (tap !== undefined) written.push({ sent: [], end: undefined, tap });
          } else {
            const to = written[one.n];
            if (to === undefined || to.end !== undefined) continue;
            if (one.act === 'end') {
              to.tap?.end(one.complete);
              to.end = one.complete;
            } else {
              const chunk = Buffer.alloc(one.size, ++fill);
              to.tap?.push(chunk);
              to.sent.push(Buffer.from(chunk));
              chunk.fill(0);
            }
          }
        }
        for (const { tap, end } of written) if (end === undefined) tap?.end(false);
        read();
        if (lane.waiting()) throw new Error('something is left');
        for (const { peer, bytes, complete } of seen) {
          const port = Number(peer.split('/')[1]);
          const { sent, end } = written[port] ?? { sent: [], end: undefined };
          const all = Buffer.concat(sent);
          if (complete === undefined) throw new Error('no end');
          if (complete && (end !== true || !all.equals(bytes))) throw new Error('said to be whole, and is not');
          if (!all.subarray(0, bytes.length).equals(bytes)) throw new Error('not what was written');
          if (!complete && end === true && all.equals(bytes) && lane.skipped().stream_cut_short === 0) {
            throw new Error('cut without reason');
          }
        }
        if (seen.length !== written.length) throw new Error(`${seen.length} of ${written.length} streams`);
      }),
      { numRuns: 300 },
    );
  });
});
