/** Frames on their way to the inspector: what is copied, what is left out and counted, and how streams end. */
import t from 'tap';
import { createInspection, type Inspector } from '../../src/datapath/inspection.ts';
import { INSPECTED_REJECTED_MAX, INSPECTED_STREAMS_MAX } from '../../src/datapath/inspection-places.ts';
import { createPump } from '../../src/datapath/inspection-pump.ts';
import { INSPECTION_SKIP_REASONS } from '../../src/datapath/inspection-queue.ts';
import { createRingLane, createRingWriter, RING_BYTES } from '../../src/datapath/inspection-ring.ts';
import type { FrameSource } from '../../src/ring/source.ts';
import { manualHost, source } from './inspection-kit.ts';

interface SeenStream {
  readonly source: FrameSource;
  bytes: Buffer;
  complete: boolean | undefined;
}

function setup({ bytesPerSecond = 1e9, wants = Number.POSITIVE_INFINITY } = {}) {
  const host = manualHost();
  const packets: { source: FrameSource; text: string }[] = [];
  const streams: SeenStream[] = [];
  const inspector: Inspector = {
    packet: (from, bytes) => void packets.push({ source: from, text: Buffer.from(bytes).toString() }),
    stream(from) {
      const seen: SeenStream = { source: from, bytes: Buffer.alloc(0), complete: undefined };
      streams.push(seen);
      return {
        push(chunk) {
          seen.bytes = Buffer.concat([seen.bytes, chunk]);
          return seen.bytes.length < wants;
        },
        end(complete) {
          if (seen.complete !== undefined) throw new Error('ended twice');
          seen.complete = complete;
        },
      };
    },
  };
  const buffer = new SharedArrayBuffer(RING_BYTES);
  const inspection = createInspection({
    bytesPerSecond,
    pump: createPump(host),
    inspector,
    lanes: [createRingLane(buffer)],
  });
  const { write } = createRingWriter(buffer);
  return {
    ...{ host, inspection, packets, streams },
    offer: (from: FrameSource, bytes: Uint8Array) => inspection.packet(from, bytes, 0, bytes.length),
    writeRing: (from: FrameSource, bytes: Uint8Array) => write(from, bytes, 0, bytes.length),
  };
}

t.test('packets are copied, and read later', async (t) => {
  const { host, inspection, offer, packets, writeRing } = setup();
  const bytes = Buffer.from('abc');
  const label = Buffer.from('blue');
  offer(source({ label }), bytes);
  t.equal(packets.length, 0, 'not at once');
  bytes.fill(0);
  label.fill(0);
  offer(source({ rejected: true, label: Buffer.from('green') }), Buffer.from('def'));
  writeRing(source(), Buffer.from('from the worker'));
  host.pass(200);
  t.strictSame(packets.map(({ text }) => text).sort(), ['abc', 'def', 'from the worker']);
  t.equal(Buffer.from(packets[0]?.source.label ?? []).toString(), 'blue');
  t.strictSame(
    inspection.skipped(),
    Object.fromEntries(INSPECTION_SKIP_REASONS.map((reason) => [reason, 0])),
    'nothing was left out',
  );
});

t.test('streams are read in order, to their end', async (t) => {
  const { host, inspection, streams } = setup();
  const request = inspection.stream(source({ kind: 'stream' }));
  const answer = inspection.stream(source({ kind: 'stream', answer: true }));
  for (const i of [1, 2, 3]) {
    request?.push(Buffer.from(`q${i}`));
    answer?.push(Buffer.from(`a${i}`));
  }
  host.pass(100);
  request?.push(Buffer.from('!'));
  request?.end(true);
  request?.end(false);
  request?.push(Buffer.from('after its end'));
  answer?.end(false);
  host.pass(100);
  t.strictSame(
    streams.map(({ bytes, complete }) => [bytes.toString(), complete]),
    [
      ['q1q2q3!', true],
      ['a1a2a3', false],
    ],
  );
});

t.test('what nobody wants any more is not copied, and is not left out either', async (t) => {
  const { host, inspection, streams } = setup({ wants: 10 });
  const tap = inspection.stream(source({ kind: 'stream' }));
  for (let i = 0; i < 100; i++) {
    tap?.push(Buffer.alloc(1_000_000));
    host.pass(50);
  }
  tap?.end(true);
  host.pass(100);
  t.equal(streams[0]?.bytes.length, 1_000_000);
  t.equal(streams[0]?.complete, true);
  t.equal(inspection.skipped().stream_cut_short, 0);
});

t.test('a stream that finds no room is cut short, once counted, and gives its place back', async (t) => {
  const { host, inspection, streams } = setup();
  const tap = inspection.stream(source({ kind: 'stream' }));
  for (let i = 0; i < 50; i++) tap?.push(Buffer.alloc(1024 * 1024, i));
  tap?.end(true);
  host.pass(2_000);
  t.equal(streams[0]?.complete, false, 'its end is no end');
  t.ok((streams[0]?.bytes.length ?? 0) >= 6 * 1024 * 1024);
  t.equal(inspection.skipped().stream_cut_short, 1);
});

t.test('so many streams at once, own and rejected apart; ended ones make room', async (t) => {
  const { host, inspection } = setup();
  const open = (rejected: boolean, count: number) =>
    Array.from({ length: count }, (_, i) =>
      inspection.stream(source({ kind: 'stream', rejected, peer: { address: `10.0.0.${i % 8}`, port: 7946 } })),
    );
  const rejected = open(true, INSPECTED_REJECTED_MAX + 5);
  t.equal(rejected.filter((tap) => tap !== undefined).length, INSPECTED_REJECTED_MAX);
  const own = open(false, INSPECTED_STREAMS_MAX + 1);
  t.equal(
    own.filter((tap) => tap !== undefined).length,
    INSPECTED_STREAMS_MAX,
    'a flood of rejected ones takes none of ours',
  );
  t.equal(inspection.skipped().streams_limit, 6);
  for (const tap of [...rejected, ...own]) tap?.end(false);
  host.pass(100);
  t.ok(inspection.stream(source({ rejected: true })));
  t.ok(inspection.stream(source()));
});

t.test('a peer that keeps its streams open hides nobody else', async (t) => {
  const { host, inspection } = setup();
  const greedy = { kind: 'stream', peer: { address: '10.6.6.6', port: 1 } } as const;
  for (const rejected of [false, true]) {
    const taps = Array.from({ length: 200 }, () => inspection.stream(source({ ...greedy, rejected })));
    const most = (rejected ? INSPECTED_REJECTED_MAX : INSPECTED_STREAMS_MAX) / 4;
    t.equal(taps.filter((tap) => tap !== undefined).length, most);
    const other = inspection.stream(source({ kind: 'stream', rejected }));
    t.ok(other);
    for (const tap of [...taps, other]) tap?.end(false);
    host.pass(100);
    t.ok(inspection.stream(source({ ...greedy, rejected })), 'ended ones make room');
  }
});

t.test('a flood of rejected packets leaves our own in', async (t) => {
  const { host, inspection, offer, packets } = setup({ bytesPerSecond: 500_000 });
  for (let i = 0; i < 2_000; i++) {
    for (let j = 0; j < 20; j++) offer(source({ rejected: true }), Buffer.alloc(1_000));
    if (i % 20 === 0) offer(source(), Buffer.from(`own ${i}`));
    host.pass(10, true);
  }
  host.pass(2_000, true);
  t.equal(packets.filter(({ source: from }) => !from.rejected).length, 100, 'every one of ours');
  t.ok(inspection.skipped().queue_full > 10_000, `${inspection.skipped().queue_full} of the flood were left out`);
  offer(source(), Buffer.alloc(2 * 1024 * 1024));
  t.equal(inspection.skipped().frame_too_large, 1);
});

t.test('once stopped, nothing is read', async (t) => {
  const { host, inspection, offer, packets } = setup();
  offer(source(), Buffer.from('a'));
  inspection.stop();
  host.pass(1_000);
  t.equal(packets.length, 0);
});
