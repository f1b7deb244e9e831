/**
 * Streams of a listen fence in the engine's own thread, over real sockets, and what the main thread gets to know of them: what inspection
 * reads, seals and the ring's key, counts, reports, answers to what it was asked.
 */
import t, { type Test } from 'tap';
import { appSeals, keyOfRing } from '../../../src/datapath/app-seals.ts';
import type { Rejection } from '../../../src/datapath/engine.ts';
import type { Lane } from '../../../src/datapath/inspection-queue.ts';
import { RING_BYTES } from '../../../src/datapath/inspection-ring.ts';
import { createStreamRingLane } from '../../../src/datapath/inspection-stream-lane.ts';
import {
  createStreamRing,
  STREAM_RING_OWN_BYTES,
  STREAM_RING_REJECTED_BYTES,
} from '../../../src/datapath/inspection-stream-ring.ts';
import { createLinuxEngine } from '../../../src/datapath/linux/engine.ts';
import { createEngineListenPath } from '../../../src/datapath/linux/listen-path.ts';
import type { WorkerOptions } from '../../../src/datapath/options.ts';
import { NO_ADMISSION_RULES } from '../../../src/policy/admission.ts';
import { readTallies } from '../../../src/policy/tally-reading.ts';
import { peerTableBytes } from '../../../src/ring/peers.ts';
import type { FrameSource } from '../../../src/ring/source.ts';
import { createKeyring, sealStream } from '../../../src/wire/encryption.ts';
import { freePort } from '../../cli/fence-process.ts';
import { marked } from '../cases.ts';
import {
  dial,
  LIMITS,
  makeContext,
  OWN,
  type Recorded,
  rejected,
  sendAll,
  startRecorder,
  until,
  withInside,
} from '../harness.ts';
import { HARMFUL, pushPull } from '../messages.ts';

const skip = process.platform === 'linux' ? false : 'the Linux engine needs Linux';
const NO_BYTES = new Uint8Array(0);
const ADMITTED = {
  ...NO_ADMISSION_RULES,
  cidrs: [{ address: '127.0.0.0', prefix: 8, family: 'ipv4' }] as const,
};
/** One thread for all, as in a process; it ends with its last fence. */
const ENGINE = createLinuxEngine();

interface Stand {
  readonly stage?: 'observe' | 'accept' | 'enforce';
  readonly keys?: readonly Uint8Array[];
  /** The stage is not known at first. */
  readonly starting?: boolean;
  onConnection?(recorded: Recorded): void;
}

/** A listen fence in the engine's thread, and an app behind it. */
async function open(
  t: Pick<Test, 'teardown'>,
  { stage = 'accept', keys = [], starting = false, onConnection }: Stand = {},
) {
  const keyring = keys.length > 0 ? createKeyring(keys) : undefined;
  const made = withInside(makeContext({ stage }), { keyring: () => keyring, reseal: () => true });
  const app = await startRecorder(onConnection);
  t.teardown(() => app.close());
  const rings = {
    own: new SharedArrayBuffer(RING_BYTES),
    rejected: new SharedArrayBuffer(RING_BYTES),
    ownStreams: createStreamRing(STREAM_RING_OWN_BYTES),
    rejectedStreams: createStreamRing(STREAM_RING_REJECTED_BYTES),
  };
  const peers = { peers: 64, windowMs: 600_000, foreignMs: 10_000 };
  let rules = { policy: made.context.snapshot().settings, admission: ADMITTED, starting };
  const calls = { inspect: 0 };
  const worker: WorkerOptions = {
    label: OWN,
    peersBuffer: new SharedArrayBuffer(peerTableBytes(peers.peers)),
    peers,
    rules: () => rules,
    ask: () => undefined,
    inspect: () => void calls.inspect++,
    waits: { waitMs: 5_000, bytesMax: 1_000_000 },
    floodPacketsPerSecond: 0,
    inside: () => ({ keys, reseal: true, quarantine: undefined }),
    rings,
  };
  const port = await freePort();
  const path = createEngineListenPath(
    made.context,
    {
      listen: { address: '127.0.0.1', port },
      app: { address: '127.0.0.1', port: app.port },
      streams: { transport: 'native', rejectStreams: 'explain', limits: LIMITS },
      worker,
    },
    ENGINE,
  );
  await path.start();
  t.teardown(() => path.stop());
  return {
    ...{ made, path, port, app, keyring, calls },
    own: createStreamRingLane(rings.ownStreams),
    rejectedOnes: createStreamRingLane(rings.rejectedStreams),
    reading: () => readTallies(path.tallies()),
    /** What the app got of the connection that brought bytes; the main thread's looks at the app bring none. */
    arrived: () => app.connections.find(({ chunks }) => chunks.length > 0),
    async know() {
      rules = { ...rules, starting: false };
      await path.rulesChanged();
      path.answered();
    },
  };
}

interface Read {
  readonly source: FrameSource;
  readonly bytes: Buffer;
  readonly complete: boolean | undefined;
}

/** Reads along as inspection does: what waits in `lane` is added to `reads`. */
function createReader(lane: Lane): () => readonly Read[] {
  const streams = new Map<object, { source: FrameSource; chunks: Uint8Array[]; complete: boolean | undefined }>();
  return () => {
    for (let piece = lane.take(); piece !== undefined; piece = lane.take()) {
      if (piece.type === 'packet') throw new Error('a packet among the streams');
      const { stream } = piece;
      const known = streams.get(stream) ?? { source: stream.source, chunks: [], complete: undefined };
      streams.set(stream, known);
      if (piece.type === 'stream') known.chunks.push(piece.bytes);
      else {
        known.complete = piece.complete;
        stream.end(piece.complete);
      }
    }
    return [...streams.values()].map(({ source, chunks, complete }) => ({
      ...{ source, complete },
      bytes: Buffer.concat(chunks),
    }));
  };
}

/** Whether a push/pull was told up to its user state of so many bytes at least, which is of no interest. */
function tellsTable(read: Read | undefined, message: Buffer, stateBytes: number): boolean {
  const length = read?.bytes.length ?? 0;
  return length >= message.length - stateBytes && read?.bytes.equals(message.subarray(0, length)) === true;
}

const answering = (answer: Uint8Array) => (recorded: Recorded) =>
  void recorded.socket.on('end', () => void sendAll(recorded, [answer]));

/** One exchange from a dialler that sends `request` and a FIN; resolves at the end of the answer. */
async function exchange(port: number, request: Uint8Array): Promise<Recorded> {
  const dialler = await dial(port);
  await sendAll(dialler, [request]);
  await dialler.ended();
  dialler.socket.destroy();
  return dialler;
}

t.before(async () => {
  // Keeps the thread from ending between the tests: it takes seconds to load from its sources.
  if (skip === false) await open(t);
});

t.test(
  'passed streams: of requests and answers all of interest reaches inspection, and the app is seen to write plainly',
  { skip },
  async (t) => {
    const request = pushPull(['one', 'two'], Buffer.alloc(600_000, 'r'));
    const answer = pushPull(['three'], Buffer.alloc(700_000, 'a'));
    const fence = await open(t, { onConnection: answering(answer) });
    t.equal(appSeals(fence.made.context), undefined, 'nothing is known yet');
    const dialler = await exchange(fence.port, marked('own', request));
    t.ok(dialler.received().equals(answer), 'the answer as it came');
    t.ok(fence.arrived()?.received().equals(request), 'the request without its label');
    await until('word that something waits', () => fence.calls.inspect > 0);
    const read = createReader(fence.own);
    await until('both ends', () => read().filter(({ complete }) => complete !== undefined).length === 2);
    const [first, second] = read();
    t.match(first?.source, { answer: false, rejected: false, labelState: 'own', peer: { address: '127.0.0.1' } });
    t.match(second?.source, { answer: true, rejected: false });
    t.ok(tellsTable(first, request, 600_000) && first?.complete, 'the request');
    t.ok(tellsTable(second, answer, 700_000) && second?.complete, 'the answer');
    t.equal(appSeals(fence.made.context), false);
    t.same(fence.own.skipped(), { queue_full: 0, streams_limit: 0, stream_cut_short: 0 });
  },
);

t.test('sealed streams: the app is seen to seal, and under which key', { skip }, async (t) => {
  const keys = [Buffer.alloc(16, 1), Buffer.alloc(16, 2), Buffer.alloc(16, 3)];
  const others = createKeyring(keys);
  const plain = pushPull(['three']);
  const fence = await open(t, { keys, onConnection: answering(sealStream(others, plain, NO_BYTES, 1, 2)) });
  if (fence.keyring === undefined) throw new Error('no keys');
  t.equal(keyOfRing(fence.keyring), 0, 'the first one, while nothing is known');
  await exchange(fence.port, sealStream(others, pushPull(['one']), NO_BYTES, 1, 1));
  await until('the key', () => fence.keyring !== undefined && keyOfRing(fence.keyring) === 2);
  t.equal(appSeals(fence.made.context), true);
});

t.test('rejected streams: inspection reads what is drained of them, and the report arrives', { skip }, async (t) => {
  const fence = await open(t, { stage: 'enforce' });
  const request = pushPull(['stranger'], Buffer.alloc(200_000, 'x'));
  await exchange(fence.port, marked('foreign', request));
  const read = createReader(fence.rejectedOnes);
  await until('its end', () => read()[0]?.complete !== undefined);
  t.match(read()[0], { source: { rejected: true, labelState: 'foreign' }, complete: true });
  t.ok(tellsTable(read()[0], request, 200_000), 'all of interest');
  await until('the report', () => fence.made.rejections.length > 0);
  t.match(fence.made.rejections, [
    { reason: 'label_foreign', direction: 'inbound', kind: 'stream', peer: { address: '127.0.0.1' } },
  ] as Partial<Rejection>[]);
  const [report] = fence.made.rejections;
  t.equal(report?.label.buffer.byteLength, report?.label.length, 'the label came alone');
  t.same(rejected(fence.reading()), { 'inbound native stream label_foreign': 1 });
  t.equal(fence.arrived(), undefined, 'the app saw nothing');
});

t.test('a stream that breaks off, or that finds no room, is never told as whole', { skip }, async (t) => {
  const fence = await open(t, { onConnection: answering(pushPull(['three'])) });
  const read = createReader(fence.own);
  // Sealed: only the whole of it is of use to who has the key.
  const sealed = Buffer.alloc(6_000_005, 'r');
  sealed[0] = 10;
  sealed.writeUInt32BE(6_000_000, 1);
  const request = marked('own', sealed);
  const broken = await dial(fence.port);
  broken.socket.write(request.subarray(0, 300_000));
  await until('a part of it', () => (fence.arrived()?.received().length ?? 0) > 200_000);
  broken.socket.resetAndDestroy();
  await until('the end of it', () => read()[0]?.complete !== undefined);
  t.equal(read()[0]?.complete, false, 'broken off');
  // Nobody reads along meanwhile: there is room for 4 MiB at most, less where the ring has just begun anew.
  await exchange(fence.port, request);
  const requests = () => read().filter(({ source }) => !source.answer);
  await until('the ends', () => requests().length === 2 && read().every(({ complete }) => complete !== undefined));
  const large = requests()[1];
  t.equal(large?.complete, false, 'no room');
  const told = large?.bytes.length ?? 0;
  t.ok(told > 100_000 && told < 4_200_000, `${told} bytes were told`);
  t.equal(fence.own.skipped().stream_cut_short, 1);
  t.ok(
    fence.app.connections.some(({ received }) => received().length === request.length - OWN.length - 2),
    'the app got all of it',
  );
});

t.test('harm that is found beside an observed stream is reported later', { skip }, async (t) => {
  const fence = await open(t, { stage: 'observe', onConnection: answering(NO_BYTES) });
  await exchange(fence.port, HARMFUL);
  t.ok(fence.arrived()?.received().equals(HARMFUL), 'it passed untouched');
  await until('the report', () => fence.made.rejections.length > 0);
  t.match(fence.made.rejections, [{ reason: /^shield_/, wouldRejectAt: /./, kind: 'stream' }] as object[]);
  const would = fence.reading().wouldReject.filter(({ value }) => value > 0);
  t.ok(would.length > 0, 'and counted');
});

t.test('open streams are counted, and cut by a stop', { skip }, async (t) => {
  const fence = await open(t);
  const diallers = await Promise.all([1, 2, 3].map(() => dial(fence.port)));
  for (const { socket } of diallers) socket.write(marked('own', pushPull(['one'])));
  await until('all of them', () => fence.path.counts().streamsInbound === 3);
  diallers[0]?.socket.resetAndDestroy();
  await until('one less', () => fence.path.counts().streamsInbound === 2);
  t.equal((await fence.path.stop()).streams, 2);
  for (const dialler of diallers.slice(1)) t.equal(await dialler.ended(), 'reset');
});

t.test('a stream waits while the stage is not known, and goes on by the rules of then', { skip }, async (t) => {
  const fence = await open(t, { starting: true, onConnection: answering(NO_BYTES) });
  const request = pushPull(['one']);
  const dialler = await dial(fence.port);
  const gone = await dial(fence.port);
  await sendAll(dialler, [marked('own', request)]);
  // Without a FIN: node never closes a socket that is reset while its FIN is on the way.
  gone.socket.write(marked('own', request));
  await until('both wait', () => fence.path.counts().waitingFrames === 2);
  gone.socket.resetAndDestroy();
  t.equal(fence.arrived(), undefined);
  await fence.know();
  t.equal(await dialler.ended(), 'fin');
  t.ok(fence.arrived()?.received().equals(request));
  await until('nothing waits', () => fence.path.counts().waitingFrames === 0);
  await until('none is open', () => fence.path.counts().streamsInbound === 0);
});
