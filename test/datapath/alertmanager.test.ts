/** Alertmanager's connections through the stream engine, without the TLS around them: packets one by one, streams as exchanges. */
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { createNodeStreams } from '../../src/datapath/node-streams.ts';
import type { Direction } from '../../src/policy/facts.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { encodeAlertmanagerFrame } from '../../src/wire/alertmanager.ts';
import { ALERTMANAGER_FRAME_MAX_BYTES } from '../../src/wire/limits.ts';
import { type Mark, MESSAGE, marked } from './cases.ts';
import {
  cutAt,
  dial,
  dropped,
  frames,
  LIMITS,
  makeContext,
  pause,
  rejected,
  seeded,
  sendAll,
  startFence,
  startRecorder,
  until,
} from './harness.ts';

/** A gossip packet that is harmless: a user message. */
const GOSSIP = Buffer.concat([Buffer.of(8), Buffer.from('what an app has to say')]);
const FROM = '127.0.0.1:9094';
const packet = (mark: Mark, body = GOSSIP) =>
  Buffer.from(encodeAlertmanagerFrame({ kind: 'packet', from: FROM, msg: marked(mark, body) }));
const STREAM_FRAME = Buffer.from(encodeAlertmanagerFrame({ kind: 'stream', from: '', msg: Buffer.of() }));
const stream = (mark: Mark) => Buffer.concat([STREAM_FRAME, marked(mark, MESSAGE)]);
const alertmanager = { transport: 'alertmanager' } as const;

t.test('packets: what passes is rewritten, what does not is left out, and the connection lives on', async (t) => {
  const passing: Readonly<Record<string, readonly [Stage, Direction, readonly Mark[], readonly Buffer[]]>> = {
    'observe passes everything as it is': [
      'observe',
      'inbound',
      ['own', 'none', 'foreign', 'label_empty'],
      ['own', 'none', 'foreign', 'label_empty'].map((mark) => packet(mark as Mark)),
    ],
    'accept strips': ['accept', 'inbound', ['own', 'none', 'foreign'], [packet('none'), packet('none')]],
    'enforce takes own alone': ['enforce', 'inbound', ['none', 'foreign', 'own', 'label_double'], [packet('none')]],
    'outbound is labelled': ['enforce', 'outbound', ['none', 'own', 'foreign'], [packet('own'), packet('own')]],
  };
  for (const [title, [stage, direction, marks, out]] of Object.entries(passing)) {
    for (const cuts of [0, 40]) {
      const made = makeContext({ stage });
      const target = await startRecorder();
      const fence = await startFence(made, target.port, { ...alertmanager, direction });
      const dialler = await dial(fence.port);
      const sent = Buffer.concat(marks.map((mark) => packet(mark)));
      await sendAll(dialler, cutAt(sent, cuts, seeded(7)), false);
      await until('what passes', () => (target.connections[0]?.received().length ?? 0) >= Buffer.concat(out).length);
      t.strictSame(target.connections[0]?.received(), Buffer.concat(out), `${title}, ${cuts} cuts`);
      t.equal(
        Object.values(frames(made.reading())).reduce((a, b) => a + b),
        marks.length,
        'each is counted',
      );
      t.equal(fence.streams.counts()[direction], 1, 'the connection is open');
      t.equal(fence.dials(), 1);
      dialler.socket.end();
      t.equal(await target.connections[0]?.ended(), 'fin');
      await until('both sides to be closed', () => fence.streams.counts()[direction] === 0);
      await fence.close();
      await target.close();
    }
  }
});

t.test('packets that are all rejected never make a connection', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const target = await startRecorder();
  const fence = await startFence(made, target.port, alertmanager);
  const dialler = await dial(fence.port);
  await sendAll(dialler, [Buffer.concat([packet('foreign'), packet('none')])]);
  await until('it to be closed', () => fence.streams.counts().inbound === 0);
  t.strictSame(rejected(made.reading()), {
    'inbound alertmanager packet label_foreign': 1,
    'inbound alertmanager packet label_missing': 1,
  });
  t.equal(fence.dials(), 0);
  await fence.close();
  await target.close();
});

t.test('streams: the frame is a prefix, and its own write', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end('answer')));
  const fence = await startFence(made, target.port, alertmanager);
  const dialler = await dial(fence.port);
  await sendAll(dialler, [stream('own')]);
  t.equal(await dialler.ended(), 'fin');
  t.equal(dialler.received().toString(), 'answer');
  t.strictSame(target.connections[0]?.received(), stream('none'));
  t.strictSame(frames(made.reading()), { 'inbound alertmanager stream own pass': 1 });
  const stranger = await dial(fence.port);
  await sendAll(stranger, [stream('foreign')]);
  await stranger.ended();
  t.match(stranger.received().toString('latin1'), 'is not accepted here', 'a refused stream is told why');
  await fence.close();
  await target.close();
});

const HUGE = Buffer.from('ffffffff0a0676302e312e30', 'hex');
const VERSION = Buffer.concat([Buffer.of(8, 0, 0, 0, 10, 6), Buffer.from('v9.9.9')]);

t.test('what cannot be read on ends both sides', async (t) => {
  const cases: Readonly<Record<string, readonly [Buffer, string]>> = {
    'a length of 4 GiB': [HUGE, 'stream alertmanager_oversize'],
    'another version': [VERSION, 'stream alertmanager_malformed'],
    'a length of 4 GiB after a packet': [Buffer.concat([packet('own'), HUGE]), 'packet alertmanager_oversize'],
    'a stream after a packet': [Buffer.concat([packet('own'), stream('own')]), 'packet alertmanager_malformed'],
  };
  for (const [title, [bytes, reason]] of Object.entries(cases)) {
    const made = makeContext({ stage: 'accept' });
    const target = await startRecorder();
    const fence = await startFence(made, target.port, alertmanager);
    const dialler = await dial(fence.port);
    await sendAll(dialler, [bytes], false);
    t.equal(await dialler.ended(), 'reset', title);
    t.strictSame(rejected(made.reading()), { [`inbound alertmanager ${reason}`]: 1 }, title);
    await until('it to be forgotten', () => fence.streams.counts().inbound === 0);
    await fence.close();
    await target.close();
  }
});

t.test('observe passes on even what it cannot read', async (t) => {
  const made = makeContext({ stage: 'observe' });
  const target = await startRecorder();
  const fence = await startFence(made, target.port, alertmanager);
  const dialler = await dial(fence.port);
  const sent = Buffer.concat([packet('own'), VERSION, Buffer.alloc(100_000, 7)]);
  await sendAll(dialler, [sent]);
  await until('a connection', () => target.connections.length > 0);
  t.equal(await target.connections[0]?.ended(), 'fin');
  t.strictSame(target.connections[0]?.received(), sent);
  t.strictSame(frames(made.reading()), {
    'inbound alertmanager packet own pass': 1,
    'inbound alertmanager packet malformed pass': 1,
  });
  await fence.close();
  await target.close();
});

t.test('ends and time-outs within a frame; rest between frames is no time-out', async (t) => {
  const half = packet('own').subarray(0, 20);
  const limits = { headerTimeoutMs: 300, idleTimeoutMs: 200 };
  const made = makeContext({ stage: 'accept' });
  const target = await startRecorder();
  const fence = await startFence(made, target.port, { ...alertmanager, limits });
  const [first, later, resting, ended, endedLater, silent] = await Promise.all(
    Array.from({ length: 6 }, () => dial(fence.port)),
  );
  if (!first || !later || !resting || !ended || !endedLater || !silent) throw new Error('six were dialled');
  first.socket.write(half);
  later.socket.write(Buffer.concat([packet('own'), half]));
  resting.socket.write(packet('own'));
  ended.socket.end(half);
  endedLater.socket.end(Buffer.concat([packet('own'), half]));
  t.equal(await first.ended(), 'reset');
  t.equal(await later.ended(), 'reset');
  t.equal(await silent.ended(), 'fin', 'a probe');
  await ended.ended();
  await endedLater.ended();
  await pause(400);
  t.equal(resting.ending(), 'open');
  resting.socket.write(packet('own'));
  await until('the second packet', () =>
    target.connections.some((each) => each.received().equals(Buffer.concat([packet('none'), packet('none')]))),
  );
  t.strictSame(rejected(made.reading()), {
    'inbound alertmanager stream header_timeout': 1,
    'inbound alertmanager packet header_timeout': 1,
    'inbound alertmanager stream alertmanager_malformed': 1,
    'inbound alertmanager packet alertmanager_malformed': 1,
  });
  t.equal(fence.streams.stop(), 1, 'only the resting one is left');
  await fence.close();
  await target.close();
});

t.test('an app that is not there, or goes, resets the sender, who dials again', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const target = await startRecorder();
  const fence = await startFence(made, target.port, alertmanager);
  const dialler = await dial(fence.port);
  await sendAll(dialler, [packet('own')], false);
  await until('the packet', () => target.connections[0]?.received().equals(packet('none')) === true);
  t.equal(fence.streams.appUp(), true);
  target.connections[0]?.socket.end();
  t.equal(await dialler.ended(), 'reset');
  await target.close();
  const again = await dial(fence.port);
  await sendAll(again, [packet('own')], false);
  t.equal(await again.ended(), 'reset');
  t.strictSame(dropped(made.reading()), { app_unreachable: 1 });
  t.equal(fence.streams.appUp(), false);
  await fence.close();
});

t.test('a sender that breaks off resets the other side', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const target = await startRecorder();
  const fence = await startFence(made, target.port, alertmanager);
  const dialler = await dial(fence.port);
  await sendAll(dialler, [packet('own')], false);
  await until('the packet', () => (target.connections[0]?.received().length ?? 0) > 0);
  dialler.socket.resetAndDestroy();
  t.equal(await target.connections[0]?.ended(), 'reset');
  await until('it to be forgotten', () => fence.streams.counts().inbound === 0);
  await fence.close();
  await target.close();
});

t.test('backpressure: an app that does not read stops the sender, and loses nothing', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const target = await startRecorder(({ socket }) => {
    socket.pause();
    setTimeout(() => socket.resume(), 300);
  });
  const fence = await startFence(made, target.port, alertmanager);
  const dialler = await dial(fence.port);
  const body = Buffer.concat([Buffer.of(8), Buffer.alloc(60_000, 5)]);
  await sendAll(dialler, [Buffer.concat(Array.from({ length: 100 }, () => packet('own', body)))]);
  await until('a connection', () => target.connections.length > 0);
  t.equal(await target.connections[0]?.ended(), 'fin');
  t.ok(
    target.connections[0]?.received().equals(Buffer.concat(Array.from({ length: 100 }, () => packet('none', body)))),
  );
  await fence.close();
  await target.close();
});

t.test('a packet that is too long once it is labelled is dropped, counted, and the next one passes', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const target = await startRecorder();
  const fence = await startFence(made, target.port, { ...alertmanager, direction: 'outbound' });
  const dialler = await dial(fence.port);
  const longest = Buffer.concat([Buffer.of(8), Buffer.alloc(ALERTMANAGER_FRAME_MAX_BYTES - 40, 5)]);
  await sendAll(dialler, [Buffer.concat([packet('none', longest), packet('none')])]);
  await until('a connection', () => target.connections.length > 0);
  t.equal(await target.connections[0]?.ended(), 'fin');
  t.strictSame(target.connections[0]?.received(), packet('own'));
  t.strictSame(dropped(made.reading()), { send_failed: 1 });
  await fence.close();
  await target.close();
});

t.test('what observe passes on unread is not passed on at a later stage', async (t) => {
  const made = makeContext({ stage: 'observe' });
  const target = await startRecorder();
  const fence = await startFence(made, target.port, alertmanager);
  const dialler = await dial(fence.port);
  await sendAll(dialler, [Buffer.concat([packet('own'), VERSION])], false);
  await until('both', () => target.connections[0]?.received().length === packet('own').length + VERSION.length);
  made.setStage('enforce');
  await sendAll(dialler, [packet('foreign')], false);
  t.equal(await dialler.ended(), 'reset');
  t.equal(await target.connections[0]?.ended(), 'reset');
  t.notOk(target.connections[0]?.received().includes(packet('foreign')), 'not a byte of it arrived');
  t.strictSame(rejected(made.reading()), { 'inbound alertmanager packet alertmanager_malformed': 1 });
  await fence.close();
  await target.close();
});

t.test('a frame has one time to arrive, however its bytes trickle', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const target = await startRecorder();
  const fence = await startFence(made, target.port, { ...alertmanager, limits: { headerTimeoutMs: 300 } });
  const dialler = await dial(fence.port);
  dialler.socket.write(packet('own'));
  // A byte each 50 ms: the whole would take some three seconds.
  let at = 0;
  const trickle = setInterval(() => dialler.socket.write(packet('own').subarray(at, ++at)), 50);
  const started = performance.now();
  t.equal(await dialler.ended(), 'reset');
  clearInterval(trickle);
  t.ok(performance.now() - started < 1_500, 'within its time');
  t.strictSame(rejected(made.reading()), { 'inbound alertmanager packet header_timeout': 1 });
  await fence.close();
  await target.close();
});

t.test('a side that takes nothing for the idle time ends both', async (t) => {
  for (const ends of [true, false]) {
    const made = makeContext({ stage: 'accept' });
    const target = await startRecorder(({ socket }) => socket.pause());
    const limits = { idleTimeoutMs: 300 };
    const fence = await startFence(made, target.port, { ...alertmanager, limits });
    const dialler = await dial(fence.port);
    const body = Buffer.concat([Buffer.of(8), Buffer.alloc(60_000, 5)]);
    for (let i = 0; i < 400; i++) dialler.socket.write(packet('own', body));
    if (ends) dialler.socket.end();
    await until('both to be closed', () => fence.streams.counts().inbound === 0);
    t.strictSame(rejected(made.reading()), { 'inbound alertmanager packet idle_timeout': 1 });
    t.match(made.faults, [{ code: 'packets_stalled_inbound', message: /^the app took no packet for 300 ms/ }]);
    await fence.close();
    await target.close();
  }
});

t.test('a frame that comes in single bytes costs about its length', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const usedBytes = () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const made = makeContext({ stage: 'accept' });
  const target = await startRecorder();
  const whole = packet('own', Buffer.concat([Buffer.of(8), Buffer.alloc(120_000, 5)]));
  for (const start of [Buffer.of(), packet('own')]) {
    const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    const dial = () => connect({ port: target.port, host: '127.0.0.1', allowHalfOpen: true });
    const peer = { address: '10.0.0.1', port: 9094 };
    const parts = { ...alertmanager, rejectStreams: 'explain', limits: LIMITS } as const;
    const streams = createNodeStreams(made.context, parts);
    streams.accept(socket as Socket, { direction: 'inbound', peer, dial });
    socket.push(start);
    await pause(50);
    usedBytes();
    const before = usedBytes();
    for (const byte of whole.subarray(0, -1)) {
      socket.push(Buffer.alloc(1, byte));
      if (socket.readableLength > 1_000) await pause(0);
    }
    await pause(10);
    const heldBytes = usedBytes() - before;
    t.ok(heldBytes < 4_000_000, `${heldBytes} bytes are held`);
    socket.destroy();
    await until('it to be forgotten', () => streams.counts().inbound === 0);
  }
  await target.close();
});
