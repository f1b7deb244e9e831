/** Hostile, slow and idle streams, limits, and an app that is not there. */
import { connect, createServer } from 'node:net';
import t from 'tap';
import type { RejectStreams } from '../../src/datapath/engine.ts';
import type { Direction } from '../../src/policy/facts.ts';
import { framed, MESSAGE, marked } from './cases.ts';
import {
  dial,
  dropped,
  frames,
  makeContext,
  pause,
  rejected,
  sendAll,
  startFence,
  startRecorder,
  until,
} from './harness.ts';

t.test('slow loris: a header that does not end in time', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const target = await startRecorder();
  const fence = await startFence(made, target.port, { limits: { headerTimeoutMs: 300 } });
  const slow = [[244], [244, 10, 1], [2], [1, 14], [1, 3, 97, 98, 99, 6]];
  const diallers = await Promise.all(slow.map(() => dial(fence.port)));
  for (const [i, { socket }] of diallers.entries()) socket.write(Buffer.from(slow[i] ?? []));
  const drip = setInterval(() => diallers[1]?.socket.write('x'), 100);
  for (const dialler of diallers) t.equal(await dialler.ended(), 'reset');
  clearInterval(drip);
  t.same(rejected(made.reading()), {
    'inbound native stream header_timeout': 2,
    'inbound dskit stream header_timeout': 3,
  });
  t.equal(made.rejections.length, slow.length);
  t.equal(fence.dials(), 0);
  await fence.close();
  await target.close();
});

t.test('a connection without a byte is a probe: neither frame nor rejection, and never dialled through', async (t) => {
  for (const how of ['fin', 'reset', 'silence'] as const) {
    const made = makeContext({ stage: 'enforce' });
    const fence = await startFence(made, 1, { limits: { headerTimeoutMs: 200 } });
    const dialler = await dial(fence.port);
    await until('the accept', () => fence.streams.counts().inbound === 1);
    if (how === 'fin') dialler.socket.end();
    if (how === 'reset') dialler.socket.resetAndDestroy();
    else t.equal(await dialler.ended(), 'fin', `${how}: closed quietly`);
    await until('the probe to be forgotten', () => fence.streams.counts().inbound === 0);
    t.same(frames(made.reading()), {});
    t.same(made.rejections, []);
    t.equal(fence.dials(), 0);
    await fence.close();
  }
});

t.test('a FIN or a reset in the middle of a header', async (t) => {
  for (const fin of [true, false]) {
    const made = makeContext({ stage: 'accept' });
    const fence = await startFence(made, 1);
    for (const bytes of [[244], [244, 5, 97], [1], [1, 2, 97, 98]]) {
      const dialler = await dial(fence.port);
      await new Promise((resolve) => dialler.socket.write(Buffer.from(bytes), resolve));
      if (fin) dialler.socket.end();
      else dialler.socket.resetAndDestroy();
      await until('the end', () => fence.streams.counts().inbound === 0);
      dialler.socket.destroy();
    }
    t.same(rejected(made.reading()), {
      'inbound native stream label_truncated': 2,
      'inbound dskit packet dskit_truncated': 2,
    });
    t.equal(fence.dials(), 0);
    await fence.close();
  }
});

t.test('garbage and TLS are counted, reset, and go nowhere', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const fence = await startFence(made, 1);
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\xff\xff\xff\xff', '\x16\x03\x01\x02\x00\x01']) {
    const dialler = await dial(fence.port);
    dialler.socket.write(Buffer.from(bytes, 'latin1'));
    t.equal(await dialler.ended(), 'reset');
    t.equal(dialler.received().length, 0);
  }
  t.same(rejected(made.reading()), {
    'inbound unknown stream stream_unknown_type': 2,
    'inbound tls stream tls_unterminated': 1,
  });
  await fence.close();
});

t.test('TLS that may pass passes untouched', async (t) => {
  const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end('hello')));
  const fence = await startFence(makeContext({ stage: 'enforce', unterminatedTls: 'pass' }), target.port);
  const dialler = await dial(fence.port);
  const hello = Buffer.from([22, 3, 1, 0, 5, 244, 0, 1, 2, 3]);
  await sendAll(dialler, [hello]);
  await dialler.ended();
  t.ok(target.connections[0]?.received().equals(hello));
  t.equal(dialler.received().toString(), 'hello');
  await fence.close();
  await target.close();
});

t.test('limits: streams in total, streams of one peer', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const fence = await startFence(made, 1, { limits: { streams: 3, streamsPerPeer: 2 } });
  const open = [await dial(fence.port), await dial(fence.port)];
  await until('two', () => fence.streams.counts().inbound === 2);
  t.equal(await (await dial(fence.port)).ended(), 'reset', 'a third of the same peer');
  open.push(await dial(fence.port, '127.0.0.2'));
  await until('three', () => fence.streams.counts().inbound === 3);
  t.equal(await (await dial(fence.port, '127.0.0.3')).ended(), 'reset', 'a fourth of another');
  t.same(rejected(made.reading()), {
    'inbound unknown stream peer_streams_limit': 1,
    'inbound unknown stream streams_limit': 1,
  });
  for (const { socket } of open) socket.destroy();
  await until('room again', () => fence.streams.counts().inbound === 0);
  const again = await dial(fence.port);
  await until('one', () => fence.streams.counts().inbound === 1);
  t.equal(again.ending(), 'open');
  again.socket.destroy();
  await fence.close();
});

t.test('strangers that use up the inbound limits do not keep the app from dialling', async (t) => {
  let direction: Direction = 'inbound';
  const fence = await startFence(makeContext({ stage: 'enforce' }), 1, {
    direction: () => direction,
    limits: { streams: 2, streamsPerPeer: 2 },
  });
  const held = [await dial(fence.port), await dial(fence.port)];
  await until('two inbound', () => fence.streams.counts().inbound === 2);
  direction = 'outbound';
  const own = [await dial(fence.port), await dial(fence.port)];
  await until('two outbound', () => fence.streams.counts().outbound === 2);
  t.equal(await (await dial(fence.port)).ended(), 'reset', 'outbound has its own limit');
  t.same(fence.streams.counts(), { inbound: 2, outbound: 2 });
  for (const { socket } of [...held, ...own]) socket.destroy();
  await fence.close();
});

t.test('an exchange that falls silent is reset on both sides; one that drips is not', async (t) => {
  for (const stage of ['observe', 'enforce'] as const) {
    const made = makeContext({ stage });
    const target = await startRecorder();
    const fence = await startFence(made, target.port, { limits: { idleTimeoutMs: 1_500 } });
    const dialler = await dial(fence.port);
    dialler.socket.write(marked('own', MESSAGE));
    for (let i = 0; i < 5; i++) {
      await pause(600);
      if (i % 2 === 0) dialler.socket.write('.');
      else target.connections[0]?.socket.write('.');
    }
    t.equal(dialler.ending(), 'open', 'alive after twice the idle time');
    t.equal(await dialler.ended(), 'reset');
    t.equal(await target.connections[0]?.ended(), 'reset');
    t.same(rejected(made.reading()), { 'inbound native stream idle_timeout': 1 });
    t.match(made.rejections, [{ reason: 'idle_timeout', labelState: 'own' }]);
    await fence.close();
    await target.close();
  }
});

t.test('a dskit packet of more than 10 MiB is reset and never ends with a FIN', async (t) => {
  for (const [mark, shield] of [
    ['own', true],
    ['none', true],
    ['own', false],
    ['none', false],
  ] as const) {
    const made = makeContext({ stage: 'accept', shield });
    const target = await startRecorder();
    const fence = await startFence(made, target.port);
    const dialler = await dial(fence.port);
    const sent = framed('dskit-packet', marked(mark, Buffer.concat([MESSAGE, Buffer.alloc(10 * 1024 * 1024)])));
    dialler.socket.end(sent);
    t.equal(await dialler.ended(), 'reset');
    t.equal(target.connections.length, shield ? 0 : 1, 'what is held never reaches the app');
    if (!shield) t.equal(await target.connections[0]?.ended(), 'reset');
    t.same(rejected(made.reading()), { 'inbound dskit packet dskit_oversize': 1 });
    await fence.close();
    await target.close();
  }
});

t.test('how a rejected stream is told so', async (t) => {
  const state = Buffer.alloc(3 * 1024 * 1024, 'x');
  const expected: Record<RejectStreams, string> = { explain: 'fin', reset: 'reset', silent: 'fin' };
  for (const rejectStreams of ['explain', 'reset', 'silent'] as const) {
    const made = makeContext({ stage: 'enforce' });
    const fence = await startFence(made, 1, { rejectStreams, limits: { rejectDrainMs: 500 } });
    const dialler = await dial(fence.port);
    dialler.socket.write(marked('foreign', Buffer.concat([MESSAGE, state])));
    t.equal(await dialler.ended(), expected[rejectStreams], rejectStreams);
    const answer = dialler.received().toString('latin1');
    if (rejectStreams === 'explain') {
      t.equal(dialler.socket.writableLength, 0, 'the dialler could write all of its state');
      t.match(answer, /^\r\x81\xa5Error\xda..ringfence: label "other\.traces" is not accepted here$/s);
      t.notMatch(answer, /prod/, 'ours is not named');
    } else t.equal(answer, '');
    await fence.close();
  }
});

t.test('the explanation escapes and bounds the label, and names what is missing', async (t) => {
  const fence = await startFence(makeContext({ stage: 'enforce' }), 1);
  const evil = Buffer.concat([Buffer.from([244, 255]), Buffer.alloc(255, '\n"\\\x1b'), MESSAGE]);
  const cases: [Buffer, RegExp][] = [
    [evil, /label "(\\x0a\\x22\\x5c\\x1b){8}…"/],
    [MESSAGE, /streams without a label are not accepted here/],
    [marked('label_double', MESSAGE), /malformed \(label_double\)/],
    [framed('dskit-stream', marked('foreign', MESSAGE)), /label "other\.traces" is not accepted/],
  ];
  for (const [sent, pattern] of cases) {
    const dialler = await dial(fence.port);
    await sendAll(dialler, [sent]);
    t.equal(await dialler.ended(), 'fin');
    t.match(dialler.received().toString('utf8'), pattern);
  }
  const encrypted = await dial(fence.port);
  encrypted.socket.write(marked('foreign', Buffer.from([10, 0, 0, 0, 9, 1])));
  t.equal(await encrypted.ended(), 'reset', 'an encrypted stream is reset');
  await fence.close();
});

t.test('the app that dials a stranger is told so', async (t) => {
  const made = makeContext({ stage: 'label' }, [{ address: '10.0.0.0', prefix: 8, family: 'ipv4' }]);
  const fence = await startFence(made, 1, { direction: 'outbound' });
  const app = await dial(fence.port);
  await sendAll(app, [MESSAGE]);
  await app.ended();
  t.match(app.received().toString('latin1'), /the peer that was dialled is not admitted/);
  t.equal(fence.dials(), 0);
  await fence.close();
});

t.test('draining a rejected stream is bounded in bytes and in time', async (t) => {
  const fence = await startFence(makeContext({ stage: 'enforce' }), 1, {
    limits: { rejectDrainMs: 300, rejectDrainBytes: 1024 * 1024 },
  });
  const endless = await dial(fence.port);
  endless.socket.write(marked('foreign', Buffer.alloc(32 * 1024 * 1024)));
  await until('the flood to be cut', () => endless.socket.destroyed);
  const lazy = await dial(fence.port);
  lazy.socket.write(marked('foreign', MESSAGE));
  await until('the lazy one to be closed', () => fence.streams.counts().inbound === 0);
  t.equal(await lazy.ended(), 'fin');
  lazy.socket.destroy();
  await fence.close();
});

t.test('the app down, then up: reset, counted, and one fault for each change', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const gone = await startRecorder();
  const { port } = gone;
  gone.server.close();
  const fence = await startFence(made, port);
  t.equal(fence.streams.appUp(), undefined);
  for (let i = 0; i < 3; i++) {
    const dialler = await dial(fence.port);
    dialler.socket.write(marked('own', MESSAGE));
    t.equal(await dialler.ended(), 'reset');
  }
  t.equal(fence.streams.appUp(), false);
  t.same(dropped(made.reading()), { app_unreachable: 3 });
  t.same(
    made.faults.map(({ code }) => code),
    ['app_unreachable'],
  );
  const app = createServer((socket) => socket.on('end', () => socket.end()).resume()).listen(port, '127.0.0.1');
  await new Promise((resolve) => app.on('listening', resolve));
  const dialler = await dial(fence.port);
  await sendAll(dialler, [marked('own', MESSAGE)]);
  t.equal(await dialler.ended(), 'fin');
  t.equal(fence.streams.appUp(), true);
  t.same(
    made.faults.map(({ code }) => code),
    ['app_unreachable', 'app_reachable'],
  );
  app.close();
  await fence.close();
});

t.test('a peer that takes no connection is no fault of ours', async (t) => {
  const made = makeContext({ stage: 'label' });
  const gone = await startRecorder();
  gone.server.close();
  const fence = await startFence(made, gone.port, { direction: 'outbound' });
  const app = await dial(fence.port);
  app.socket.write(MESSAGE);
  t.equal(await app.ended(), 'reset');
  t.same(dropped(made.reading()), { peer_unreachable: 1 });
  t.same(made.faults, []);
  t.equal(fence.streams.appUp(), undefined);
  await fence.close();
});

t.test('stop resets what is open and says how many', async (t) => {
  const target = await startRecorder();
  const fence = await startFence(makeContext({ stage: 'enforce' }), target.port);
  const flowing = await dial(fence.port);
  flowing.socket.write(marked('own', MESSAGE));
  const half = connect({ port: fence.port, host: '127.0.0.1' });
  half.on('error', () => undefined);
  half.write(Buffer.from([244]));
  await until('both', () => fence.streams.counts().inbound === 2 && target.connections.length === 1);
  t.equal(fence.streams.stop(), 2);
  t.equal(await flowing.ended(), 'reset');
  t.equal(await target.connections[0]?.ended(), 'reset');
  await until('none', () => fence.streams.counts().inbound === 0);
  t.equal(fence.streams.stop(), 0);
  await fence.close();
  await target.close();
});

t.test('a stage that tightens under an observed stream cuts it when its header says so', async (t) => {
  const made = makeContext({ stage: 'observe' });
  const target = await startRecorder();
  const fence = await startFence(made, target.port);
  const dialler = await dial(fence.port);
  await until('the dial', () => target.connections.length === 1);
  made.setStage('enforce');
  dialler.socket.write(marked('foreign', MESSAGE));
  t.equal(await dialler.ended(), 'reset');
  t.equal(target.connections[0]?.received().length, 0);
  t.same(rejected(made.reading()), { 'inbound native stream label_foreign': 1 });
  t.ok(
    made.reading().bytes.every(({ value }) => value === 0),
    'bytes of a rejected frame are none of a passing one',
  );
  await fence.close();
  await target.close();
});

t.test('observe counts every byte, also of a header that never ends', async (t) => {
  for (const how of ['fin', 'reset', 'silence'] as const) {
    const made = makeContext({ stage: 'observe' });
    const target = await startRecorder();
    const fence = await startFence(made, target.port, { limits: { idleTimeoutMs: 400 } });
    const dialler = await dial(fence.port);
    dialler.socket.write(Buffer.from([244, 5, 97]));
    await until('the bytes at the app', () => target.connections[0]?.received().length === 3);
    if (how === 'fin') dialler.socket.end();
    if (how === 'reset') dialler.socket.resetAndDestroy();
    await until('the end at the app', () => target.connections[0]?.ending() !== 'open');
    target.connections[0]?.socket.destroy();
    await until('the stream to end', () => fence.streams.counts().inbound === 0);
    t.same(frames(made.reading()), { 'inbound native stream malformed pass': 1 }, how);
    t.equal(
      made.reading().bytes.reduce((sum, { value }) => sum + value, 0),
      3,
      `${how}: its bytes`,
    );
    t.same(rejected(made.reading()), how === 'silence' ? { 'inbound native stream idle_timeout': 1 } : {}, how);
    dialler.socket.destroy();
    await fence.close();
    await target.close();
  }
});
