/** Streams whose bulk goes on inside the kernel: what arrives is what was sent, and every ending is what it is without. */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import type { Deferred } from '../../../src/datapath/linux/loop.ts';
import type { RawIo } from '../../../src/datapath/linux/raw-io.ts';
import { BULK_FROM_BYTES, RawSplice } from '../../../src/datapath/linux/raw-splice.ts';
import {
  LARGE_PIPES_MAX,
  PIPES_MAX,
  SPLICE_BYTES,
  type SplicePipe,
  SplicePipes,
} from '../../../src/datapath/linux/splice-pipes.ts';
import type { Stage } from '../../../src/policy/stage.ts';
import { marked } from '../cases.ts';
import {
  cutAt,
  dial,
  echo,
  LIMITS,
  makeContext,
  pause,
  type Recorded,
  seeded,
  sendAll,
  startFence,
  startRecorder,
  until,
  useEngine,
  withInside,
} from '../harness.ts';
import { pushPull } from '../messages.ts';
import { rawEngine, turnedLoop } from './raw-kit.ts';

const MIB = 1024 * 1024;
const MSG_OOB = 1;

const turned = await turnedLoop();
t.teardown(() => turned.close());
useEngine(rawEngine(turned));
const { io } = turned;

/** Bytes that left sockets for pipes. */
let spliced = 0;
const { splice } = io.calls;
const pipeEnds = new Set<number>();
Object.assign(io.calls, {
  splice(from: number, to: number, bytes: number): number {
    const moved = splice(from, to, bytes);
    if (!pipeEnds.has(from)) spliced += Math.max(0, moved);
    return moved;
  },
});
const { take, give } = io.pipes;
Object.assign(io.pipes, {
  take(): SplicePipe | undefined {
    const pipe = take.call(io.pipes);
    if (pipe !== undefined) pipeEnds.add(pipe.reads);
    return pipe;
  },
  /** Once it is closed a socket may have its number. */
  give(pipe: SplicePipe, empty: boolean): void {
    pipeEnds.delete(pipe.reads);
    give.call(io.pipes, pipe, empty);
  },
});

function body(bytes: number, seed = bytes): Buffer {
  const random = seeded(seed);
  const block = Buffer.from(Array.from({ length: 4_099 }, () => Math.floor(random() * 256)));
  return Buffer.alloc(bytes, block);
}

const request = (bytes: number) => marked('own', pushPull(['one', 'two'], body(bytes)));
/** What of a request must arrive: in `observe` all of it, otherwise what follows the label. */
const arriving = (bytes: number, stage: Stage) =>
  stage === 'observe' ? request(bytes) : pushPull(['one', 'two'], body(bytes));
/** A request that goes on for so long after its message, which the app would ignore. */
const longRequest = (bytes: number) => Buffer.concat([request(0), body(bytes)]);
const longArriving = (bytes: number) => Buffer.concat([arriving(0, 'enforce'), body(bytes)]);
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const descriptors = () => readdirSync('/proc/self/fd').length;

/** Where both begin to differ, undefined if one is the other's beginning. */
const isPrefix = (part: Buffer, whole: Buffer) => part.equals(whole.subarray(0, part.length));

async function gone(fence: Awaited<ReturnType<typeof startFence>>): Promise<void> {
  await until('the stream to end', () => fence.streams.counts().inbound === 0);
}

t.test('what arrives is what was sent, across the change from copying to moving, whatever the pieces', async (t) => {
  const target = await startRecorder(echo);
  for (const stage of ['observe', 'accept', 'enforce'] as const) {
    const made = makeContext({ stage, shield: stage !== 'observe' });
    const fence = await startFence(made, target.port);
    const sizes = fc.integer({ min: 0, max: 3 * MIB });
    const run = async (bytes: number, cuts: number, seed: number): Promise<void> => {
      const random = seeded(seed);
      target.connections.length = 0;
      spliced = 0;
      const before = made.reading().bytes.reduce((sum, { value }) => sum + value, 0);
      const sent = request(bytes);
      const expected = arriving(bytes, stage);
      const dialler = await dial(fence.port);
      for (const piece of cutAt(sent, cuts, random)) {
        dialler.socket.write(piece);
        if (random() < 0.3) await pause(random() * 4);
      }
      dialler.socket.end();
      const ending = await dialler.ended();
      if (ending !== 'fin') throw new Error(`ended by ${ending}`);
      if (hash(dialler.received()) !== hash(expected)) throw new Error('another answer');
      const arrived = target.connections[0]?.received() ?? Buffer.alloc(0);
      if (hash(arrived) !== hash(expected)) throw new Error('another request');
      await gone(fence);
      const counted = made.reading().bytes.reduce((sum, { value }) => sum + value, 0) - before;
      if (counted !== sent.length + expected.length) throw new Error(`${counted} bytes counted`);
      if (bytes > 2 * MIB && spliced === 0) throw new Error('all was copied');
    };
    const property = fc.asyncProperty(sizes, fc.integer({ min: 0, max: 30 }), fc.nat(), run);
    await t.resolves(fc.assert(property, { numRuns: 15, examples: [[3 * MIB, 3, 1]] }), stage);
    await fence.close();
  }
  await target.close();
});

t.test('of a long stream one small read is copied, each way', async (t) => {
  const target = await startRecorder(echo);
  const fence = await startFence(makeContext({ stage: 'enforce' }), target.port);
  const sent = request(4 * MIB);
  spliced = 0;
  const dialler = await dial(fence.port);
  dialler.socket.end(sent);
  t.equal(await dialler.ended(), 'fin');
  t.equal(hash(dialler.received()), hash(arriving(4 * MIB, 'enforce')));
  const copied = sent.length + arriving(4 * MIB, 'enforce').length - spliced;
  t.ok(copied <= 2 * BULK_FROM_BYTES, `${copied} bytes copied`);
  await fence.close();
  await target.close();
});

t.test('each half ends by itself', async (t) => {
  const answer = body(2 * MIB, 5);
  for (const first of ['request', 'answer'] as const) {
    const target = await startRecorder();
    const fence = await startFence(makeContext(), target.port);
    const dialler = await dial(fence.port);
    const sent = request(2 * MIB);
    if (first === 'request') {
      await sendAll(dialler, [sent]);
      await until('the app', () => target.connections.length === 1);
      t.equal(await target.connections[0]?.ended(), 'fin');
      t.equal(dialler.ending(), 'open');
      target.connections[0]?.socket.end(answer);
      t.equal(await dialler.ended(), 'fin');
    } else {
      dialler.socket.write(sent.subarray(0, 1_000));
      await until('the app', () => target.connections.length === 1);
      target.connections[0]?.socket.end(answer);
      t.equal(await dialler.ended(), 'fin');
      t.equal(target.connections[0]?.ending(), 'open');
      dialler.socket.end(sent.subarray(1_000));
      t.equal(await target.connections[0]?.ended(), 'fin');
    }
    t.equal(hash(dialler.received()), hash(answer));
    t.equal(hash(target.connections[0]?.received() ?? answer), hash(arriving(2 * MIB, 'enforce')));
    await gone(fence);
    await fence.close();
    await target.close();
  }
});

t.test('a reset in the middle stays one, after the bytes before it; no descriptor is left', async (t) => {
  const before = descriptors();
  for (const who of ['dialler', 'app'] as const) {
    for (const stuck of [false, true]) {
      const target = await startRecorder();
      const fence = await startFence(makeContext(), target.port);
      const dialler = await dial(fence.port);
      dialler.socket.write(request(0).subarray(0, 100));
      dialler.socket.write(request(0).subarray(100));
      await until('the app', () => target.connections.length === 1);
      const app = target.connections[0] as Recorded;
      const [writer, reader] = who === 'dialler' ? [dialler, app] : [app, dialler];
      const sent = body(16 * MIB, 9);
      const had = reader.received().length;
      if (stuck) reader.socket.pause();
      spliced = 0;
      writer.socket.write(sent);
      if (stuck) await pause(100);
      else await until('half of it', () => reader.received().length > 8 * MIB);
      t.ok(spliced > 0, 'it was moved');
      writer.socket.resetAndDestroy();
      await pause(20);
      reader.socket.resume();
      t.equal(await reader.ended(), 'reset', `${who} ${stuck}`);
      const got = reader.received().subarray(who === 'dialler' ? arriving(0, 'enforce').length : had);
      t.ok(isPrefix(got, sent), 'what came is what was sent');
      await gone(fence);
      await fence.close();
      await target.close();
    }
  }
  await until('its descriptors to be closed', () => descriptors() <= before + 4);
  t.ok(io.pipes.open <= 2, `${io.pipes.open} pipes are kept`);
});

t.test("the reader's reset reaches the writer", async (t) => {
  const target = await startRecorder();
  const fence = await startFence(makeContext(), target.port);
  const dialler = await dial(fence.port);
  dialler.socket.write(longRequest(64 * MIB));
  await until('bulk at the app', () => (target.connections[0]?.received().length ?? 0) > 8 * MIB);
  target.connections[0]?.socket.resetAndDestroy();
  t.equal(await dialler.ended(), 'reset');
  await gone(fence);
  await fence.close();
  await target.close();
});

t.test(
  'bytes behind urgent ones, which splice does not see, are not lost, with an end behind them or without',
  async (t) => {
    const { default: koffi } = await import('koffi');
    const sendUrgent = koffi.load(null).func('long send(int, void *, size_t, int)');
    const target = await startRecorder();
    const fence = await startFence(makeContext(), target.port);
    const dialler = await dial(fence.port);
    const { socket } = dialler;
    const app = async (bytes: number) => {
      await until(`${bytes} bytes`, () => (target.connections[0]?.received().length ?? 0) === bytes);
    };
    spliced = 0;
    socket.write(longRequest(4 * MIB));
    const had = longArriving(4 * MIB).length;
    await app(had);
    t.ok(spliced > 0, 'it was moved');
    const { fd } = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle;
    const urgent = () => t.equal(sendUrgent(fd, Buffer.of(33), 1, MSG_OOB), 1);
    urgent();
    socket.write(Buffer.alloc(1_000, 1));
    await app(had + 1_000);
    socket.write(body(4 * MIB));
    await app(had + 1_000 + 4 * MIB);
    urgent();
    socket.end(Buffer.alloc(500, 2));
    t.equal(await target.connections[0]?.ended(), 'fin');
    await app(had + 1_000 + 4 * MIB + 500);
    const sent = [longArriving(4 * MIB), Buffer.alloc(1_000, 1), body(4 * MIB), Buffer.alloc(500, 2)];
    t.equal(hash(target.connections[0]?.received() ?? body(1)), hash(Buffer.concat(sent)));
    await fence.close();
    await target.close();
  },
);

t.test('a slow reader holds the writer back: no more waits here than one pipe', async (t) => {
  const target = await startRecorder(({ socket }) => socket.pause());
  const fence = await startFence(makeContext(), target.port);
  const dialler = await dial(fence.port);
  const sent = longRequest(48 * MIB);
  const before = process.memoryUsage().arrayBuffers;
  spliced = 0;
  dialler.socket.write(sent);
  dialler.socket.end();
  await until('the app', () => target.connections.length === 1);
  await pause(300);
  const moved = spliced;
  t.ok(dialler.socket.writableLength > 0, 'the dialler is held back');
  t.ok(process.memoryUsage().arrayBuffers - before < 4 * MIB, 'and nothing piles up in between');
  await pause(200);
  t.equal(spliced, moved, 'nothing more is moved meanwhile');
  const app = target.connections[0] as Recorded;
  for (let i = 0; i < 20; i++) {
    app.socket.resume();
    await pause(2);
    app.socket.pause();
    await pause(2);
  }
  app.socket.resume();
  t.equal(await app.ended(), 'fin');
  t.equal(hash(app.received()), hash(longArriving(48 * MIB)));
  await fence.close();
  await target.close();
});

t.test('a writer that rests with a full pipe behind it is ended by the idle time', async (t) => {
  const target = await startRecorder(({ socket }) => socket.pause());
  const made = makeContext();
  const fence = await startFence(made, target.port, { limits: { ...LIMITS, idleTimeoutMs: 300 } });
  const dialler = await dial(fence.port);
  dialler.socket.write(longRequest(48 * MIB));
  t.equal(await dialler.ended(), 'reset');
  await gone(fence);
  t.match(made.rejections, [{ reason: 'idle_timeout' }]);
  t.ok(io.pipes.open <= 2, 'its pipe is closed with it');
  await fence.close();
  await target.close();
});

t.test('without a pipe bytes are copied, and moved once there is one again', async (t) => {
  const all: SplicePipe[] = [];
  for (let pipe = take.call(io.pipes); pipe !== undefined; pipe = take.call(io.pipes)) all.push(pipe);
  t.equal(all.length, PIPES_MAX);
  const target = await startRecorder();
  const fence = await startFence(makeContext(), target.port);
  const dialler = await dial(fence.port);
  const sent = request(12 * MIB);
  spliced = 0;
  dialler.socket.write(sent.subarray(0, 4 * MIB));
  await until('the first part', () => (target.connections[0]?.received().length ?? 0) > 4 * MIB - 100);
  t.equal(spliced, 0);
  for (const pipe of all) io.pipes.give(pipe, true);
  dialler.socket.end(sent.subarray(4 * MIB));
  t.equal(await target.connections[0]?.ended(), 'fin');
  t.ok(spliced > 4 * MIB, `${spliced} moved`);
  t.equal(hash(target.connections[0]?.received() ?? sent), hash(arriving(12 * MIB, 'enforce')));
  await fence.close();
  await target.close();
});

t.test('what somebody looks at is not moved', async (t) => {
  const seen = { native: 0, dskit: 0 };
  for (const transport of ['native', 'dskit'] as const) {
    const push = (chunk: Uint8Array) => {
      seen[transport] += chunk.length;
      return true;
    };
    const made = withInside(makeContext({ stage: 'accept' }), { stream: () => ({ push, end: () => undefined }) });
    const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
    const fence = await startFence(made, target.port);
    const dialler = await dial(fence.port);
    const stream = transport === 'native' ? request(4 * MIB) : Buffer.concat([Buffer.of(2), request(4 * MIB)]);
    spliced = 0;
    await sendAll(dialler, [stream]);
    t.equal(await dialler.ended(), 'fin');
    const { length } = arriving(4 * MIB, 'enforce');
    t.equal(hash(target.connections[0]?.received().subarray(-4 * MIB) ?? stream), hash(body(4 * MIB)));
    const unseen = `behind the table nothing is of interest: ${spliced} moved, ${seen.native} seen`;
    if (transport === 'native') t.ok(spliced > MIB && seen.native < MIB, unseen);
    else t.same([spliced, seen.dskit], [0, length], "dskit's pairs are");
    await fence.close();
    await target.close();
  }
});

t.test('pipes: of the size that is granted, or none', async (t) => {
  const closed: number[] = [];
  const asked: number[] = [];
  let granted = 0;
  let next = 100;
  const pipes = new SplicePipes(
    {
      ...io.calls,
      pipe: () => (next < 0 ? undefined : { reads: next++, writes: next++ }),
      setPipeSize(_fd, bytes) {
        asked.push(bytes);
        return bytes <= granted ? bytes : -1;
      },
    },
    (fd) => closed.push(fd),
    3,
  );
  t.equal(pipes.take(), undefined, 'two pages are worth nothing');
  t.same([asked, closed, pipes.open], [[MIB, MIB / 2, MIB / 4, MIB / 8, MIB / 16], [100, 101], 0]);
  granted = MIB / 2;
  const some = [pipes.take(), pipes.take(), pipes.take()] as SplicePipe[];
  t.same([pipes.take(), pipes.open], [undefined, 3], 'no more than the bound');
  closed.length = 0;
  pipes.give(some[0] as SplicePipe, false);
  t.same(closed, [102, 103], 'one that is not empty is closed');
  pipes.give(some[1] as SplicePipe, true);
  t.same([pipes.take(), closed.length], [some[1], 2], 'an empty one is used again');
  next = -1;
  t.same([pipes.take(), pipes.open], [undefined, 2], 'without descriptors there is none');
  pipes.give(some[1] as SplicePipe, true);
  closed.length = 0;
  pipes.close();
  t.same([closed, pipes.open], [[104, 105], 1], 'what is kept is closed at the end');
});

t.test('pipes: many at once, of which a part is large', async (t) => {
  const sizes: number[] = [];
  let next = 100;
  const calls = {
    ...io.calls,
    pipe: () => ({ reads: next++, writes: next++ }),
    setPipeSize: (_fd: number, bytes: number) => sizes.push(bytes) && bytes,
  };
  const pipes = new SplicePipes(calls, () => undefined);
  const all: SplicePipe[] = [];
  for (let pipe = pipes.take(); pipe !== undefined; pipe = pipes.take()) all.push(pipe);
  const small = PIPES_MAX - LARGE_PIPES_MAX;
  t.same(sizes, [...Array(LARGE_PIPES_MAX).fill(MIB), ...Array(small).fill(MIB / 4)]);
  for (const pipe of all.slice(LARGE_PIPES_MAX)) pipes.give(pipe, true);
  t.equal(pipes.open, LARGE_PIPES_MAX, 'small ones are not kept');
  pipes.give(all[0] as SplicePipe, false);
  pipes.take();
  t.equal(sizes.at(-1), MIB, 'a large one is made again once there is room for it');
  pipes.give(all[1] as SplicePipe, true);
  t.equal(pipes.take(), all[1], 'and kept');
  const real = new SplicePipes(io.calls, (fd) => io.syscalls.close(fd));
  const pipe = real.take() as SplicePipe;
  t.equal(io.calls.setPipeSize(pipe.writes, SPLICE_BYTES), SPLICE_BYTES);
  real.give(pipe, false);
});

/** A direction whose kernel is a list of answers: bytes that arrive, bytes that the reader takes. */
function stubbed(arriving: number[], taken: number[]) {
  const told: string[] = [];
  const turns: Deferred[] = [];
  const stub = {
    loop: { deferBulk: (one: Deferred) => void turns.push(one) },
    calls: { splice: () => arriving.shift() },
    pipes: {
      take: () => ({ reads: 1, writes: 2 }),
      give: (_pipe: SplicePipe, empty: boolean) => told.push(empty ? 'empty' : 'not empty'),
    },
    failure: () => undefined,
  };
  const from = {
    fd: 3,
    wantsRead: () => true,
    onNothing: () => void told.push('nothing'),
    read: () => void told.push('read'),
    resume: () => void told.push('resume'),
  };
  const to = {
    free: true,
    onRoom: () => undefined as unknown,
    takesNow: () => to.free,
    takeFrom(_pipe: number, _bytes: number, whenRoom: () => void) {
      to.onRoom = whenRoom;
      return taken.shift() ?? 0;
    },
  };
  const splice = new RawSplice(stub as unknown as RawIo, from, to, (bytes) => told.push(`${bytes}`));
  return { splice, to, told, turn: () => turns.shift()?.later() };
}

t.test('what a slow reader takes of a pipe passes too: it is not idle meanwhile', async (t) => {
  const { splice, to, told, turn } = stubbed([1_000, -1], [300, 0, 400, 0, 300]);
  t.equal(splice.moves(BULK_FROM_BYTES), true);
  turn();
  t.same(told, ['1000']);
  for (let i = 0; i < 2; i++) {
    to.onRoom();
    turn();
  }
  t.same(told, ['1000', '0', '0', 'empty', 'read'], 'told at each sign of life; the pipe was given back empty');
});

t.test('nothing goes past what waits to be written, and no pipe with bytes in it is given to another', async (t) => {
  const waits = stubbed([], []);
  t.equal(waits.splice.moves(BULK_FROM_BYTES - 1), false, 'too little to be bulk');
  waits.to.free = false;
  t.equal(waits.splice.moves(BULK_FROM_BYTES), false);
  const closed = stubbed([1_000], [300, 0]);
  t.equal(closed.splice.moves(BULK_FROM_BYTES), true);
  closed.turn();
  closed.splice.close();
  t.same(closed.told, ['1000', 'not empty']);
  const broken = stubbed([1_000], [300, -1]);
  t.equal(broken.splice.moves(BULK_FROM_BYTES), true);
  broken.turn();
  t.same(broken.told, ['1000', 'not empty', 'resume']);
  t.equal(broken.splice.moves(BULK_FROM_BYTES), false, 'what comes then is read, so that its end is met');
});

t.test('bulk is served in order, for a bounded time in a turn, after events', async (t) => {
  const { Loop } = await import('../../../src/datapath/linux/loop.ts');
  let nowMs = 0;
  const loop = new Loop(turned.calls, () => nowMs);
  const story: string[] = [];
  const work = (name: string, goes: number) => ({
    later(): void {
      story.push(name);
      nowMs += 0.6;
      if (goes > 1) loop.deferBulk(work(name, goes - 1));
    },
  });
  for (const name of ['a', 'b', 'c']) loop.deferBulk(work(name, 2));
  const turn = () => {
    loop.defer({ later: () => void story.push('event') });
    loop.turn(0);
    return story.splice(0).join(' ');
  };
  t.equal(turn(), 'event a b');
  t.equal(turn(), 'event c a');
  t.equal(turn(), 'event b c');
  t.equal(turn(), 'event');
  loop.close();
});
