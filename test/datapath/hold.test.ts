/** Streams that wait until a rule has seen what it needs: the shield, bounds of time, bytes and reservations. */
import t from 'tap';
import type { Direction } from '../../src/policy/facts.ts';
import { framed, marked } from './cases.ts';
import { dial, frames, makeContext, pause, rejected, sendAll, startFence, startRecorder, until } from './harness.ts';
import { bytewise, HARMFUL, HARMFUL_PACKED, pushPull } from './messages.ts';

const STATE = Buffer.alloc(300_000, 'state');

t.test('a push/pull is dialled through once its rows are there, and its user state flows', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
  const fence = await startFence(made, target.port);
  const dialler = await dial(fence.port);
  const message = pushPull(['one', 'two'], STATE);
  const rowsAt = message.length - STATE.length;
  dialler.socket.write(marked('own', message).subarray(0, 13 + rowsAt - 1));
  await pause(100);
  t.equal(fence.dials(), 0, 'the last row is not whole');
  t.same(frames(made.reading()), {}, 'and nothing is counted yet');
  dialler.socket.write(message.subarray(rowsAt - 1, rowsAt + 10));
  await until('the app to have the rows', () => (target.connections[0]?.received().length ?? 0) === rowsAt + 10);
  dialler.socket.end(message.subarray(rowsAt + 10));
  await dialler.ended();
  t.ok(target.connections[0]?.received().equals(message));
  t.same(frames(made.reading()), { 'inbound native stream own pass': 1 });
  const bytes = made.reading().bytes.reduce((sum, { value }) => sum + value, 0);
  t.equal(bytes, message.length + 13, 'every byte is counted once');
  await fence.close();
  await target.close();
});

t.test('any chunking: what is clear comes out as it went in, what harms never does', async (t) => {
  for (const carrier of ['native', 'dskit-stream'] as const) {
    for (const message of [pushPull(['one', 'two', 'three']), HARMFUL, HARMFUL_PACKED]) {
      const harmless = message !== HARMFUL && message !== HARMFUL_PACKED;
      const made = makeContext({ stage: 'accept' });
      const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
      const fence = await startFence(made, target.port);
      for (const mark of ['own', 'none'] as const) {
        const sent = framed(carrier, marked(mark, message));
        for (const chunks of [[sent], bytewise(sent)]) {
          const dialler = await dial(fence.port);
          await sendAll(dialler, chunks);
          t.equal(await dialler.ended(), 'fin');
          if (!harmless)
            t.match(
              dialler.received().toString('latin1'),
              /ringfence: the stream is not let through \(shield_bad_version\)/,
            );
        }
      }
      t.equal(target.connections.length, harmless ? 4 : 0);
      for (const connection of target.connections) {
        t.ok(connection.received().equals(framed(carrier, message)));
      }
      const transport = carrier === 'native' ? 'native' : 'dskit';
      t.same(rejected(made.reading()), harmless ? {} : { [`inbound ${transport} stream shield_bad_version`]: 4 });
      t.equal(made.rejections.length, harmless ? 0 : 4);
      await fence.close();
      await target.close();
    }
  }
});

t.test('the shield is for the app: what the app sends is not looked into, and nothing is at observe', async (t) => {
  const cases = [
    { direction: 'outbound', stage: 'accept', shield: true },
    { direction: 'inbound', stage: 'observe', shield: true },
    { direction: 'inbound', stage: 'accept', shield: false },
  ] as const;
  for (const { direction, stage, shield } of cases) {
    const made = makeContext({ stage, shield });
    const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
    const fence = await startFence(made, target.port, { direction });
    const dialler = await dial(fence.port);
    await sendAll(dialler, [HARMFUL]);
    await dialler.ended();
    t.ok(target.connections[0]?.received().equals(HARMFUL), `${direction} ${stage}`);
    t.same(rejected(made.reading()), {});
    const would = made
      .reading()
      .wouldReject.filter(({ value, reason }) => value > 0 && reason === 'shield_bad_version');
    t.same(
      would.map((entry) => entry.stage),
      stage === 'observe' ? ['accept', 'label'] : [],
      'observe counts what later stages would do; enforce would reject it for its label',
    );
    if (stage === 'observe') t.match(made.rejections, [{ reason: 'shield_bad_version', wouldRejectAt: 'accept' }]);
    else t.same(made.rejections, []);
    await fence.close();
    await target.close();
  }
});

t.test('harm in an answer never reaches the app that dialled', async (t) => {
  for (const chunks of [[HARMFUL], bytewise(HARMFUL), bytewise(HARMFUL_PACKED)]) {
    const made = makeContext({ stage: 'accept' });
    const target = await startRecorder((recorded) =>
      recorded.socket.once('data', () => void sendAll(recorded, chunks)),
    );
    const fence = await startFence(made, target.port, { direction: 'outbound' });
    const app = await dial(fence.port);
    await sendAll(app, [pushPull(['me'])], false);
    t.equal(await app.ended(), 'reset');
    t.equal(app.received().length, 0);
    t.equal(await target.connections[0]?.ended(), 'reset');
    t.same(rejected(made.reading()), { 'outbound native stream shield_bad_version': 1 });
    t.same(frames(made.reading()), { 'outbound native stream none pass': 1 });
    t.match(made.rejections, [{ reason: 'shield_bad_version', direction: 'outbound' }]);
    await fence.close();
    await target.close();
  }
});

t.test('an answer that is clear flows, in any chunking, and keeps its half-closes', async (t) => {
  const answer = pushPull(['you', 'others'], STATE);
  for (const chunks of [[answer], [answer.subarray(0, 9), answer.subarray(9, 50), answer.subarray(50)]]) {
    const target = await startRecorder((recorded) => {
      recorded.socket.on('end', () => void sendAll(recorded, chunks));
    });
    const fence = await startFence(makeContext({ stage: 'accept' }), target.port, { direction: 'outbound' });
    const app = await dial(fence.port);
    await sendAll(app, [pushPull(['me'])]);
    t.equal(await app.ended(), 'fin');
    t.ok(app.received().equals(answer));
    await fence.close();
    await target.close();
  }
});

t.test('what ends before it is whole passes as it is, FIN and all: it harms nobody', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end('bye')));
  const fence = await startFence(made, target.port);
  const cut = pushPull(['one', 'two']).subarray(0, 40);
  const dialler = await dial(fence.port);
  await sendAll(dialler, [cut]);
  t.equal(await dialler.ended(), 'fin');
  t.equal(dialler.received().toString(), 'bye');
  t.ok(target.connections[0]?.received().equals(cut));
  await fence.close();
  await target.close();
});

t.test('a dialler that goes away while it is held is counted, and nobody is dialled', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const fence = await startFence(made, 1);
  const dialler = await dial(fence.port);
  await new Promise((resolve) => dialler.socket.write(pushPull(['one', 'two']).subarray(0, 40), resolve));
  await pause(50);
  dialler.socket.resetAndDestroy();
  await until('the end', () => fence.streams.counts().inbound === 0);
  t.same(frames(made.reading()), { 'inbound native stream none pass': 1 });
  t.equal(fence.dials(), 0);
  await fence.close();
});

t.test('time: a slow sender passes within the bound, a slower one is reset', async (t) => {
  const message = pushPull(['one', 'two', 'three']);
  for (const [everyMs, passes] of [
    [100, true],
    [700, false],
  ] as const) {
    const made = makeContext({ stage: 'accept' });
    const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
    const fence = await startFence(made, target.port, { limits: { holdTimeoutMs: 1_500 } });
    const dialler = await dial(fence.port);
    for (let i = 0; i < 5 && dialler.ending() === 'open'; i++) {
      dialler.socket.write(message.subarray(i * 30, i === 4 ? message.length : (i + 1) * 30));
      await pause(everyMs);
    }
    dialler.socket.end();
    t.equal(await dialler.ended(), passes ? 'fin' : 'reset');
    t.equal(fence.dials(), passes ? 1 : 0);
    t.same(rejected(made.reading()), passes ? {} : { 'inbound native stream hold_timeout': 1 });
    if (!passes) t.match(made.rejections, [{ reason: 'hold_timeout', labelState: 'none', bytes: 90 }]);
    await fence.close();
    await target.close();
  }
});

t.test('bytes: what is larger than the fence holds is rejected, and says so', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const fence = await startFence(made, 1, { limits: { holdBytes: 1_000 } });
  const names = Array.from({ length: 60 }, (_, i) => `member-${i}`);
  const dialler = await dial(fence.port);
  for (const piece of [pushPull(names).subarray(0, 900), pushPull(names).subarray(900, 2_000)]) {
    dialler.socket.write(piece);
    await pause(50);
  }
  dialler.socket.end();
  t.equal(await dialler.ended(), 'fin');
  t.match(dialler.received().toString('latin1'), /not let through \(hold_limit\)/);
  t.same(rejected(made.reading()), { 'inbound native stream hold_limit': 1 });
  t.equal(fence.dials(), 0);
  await fence.close();
});

t.test('bytes of all: others wait for room, then pass; without room they end in time', async (t) => {
  const slow = pushPull(['one', 'two']).subarray(0, 60);
  const names = Array.from({ length: 3_000 }, (_, i) => `member-${i}`);
  const table = pushPull(names);
  const made = makeContext({ stage: 'accept' });
  const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
  const limits = { holdBytes: 400_000, holdBytesTotal: 400_050, holdTimeoutMs: 2_000 };
  const fence = await startFence(made, target.port, { limits });
  const first = await dial(fence.port);
  first.socket.write(slow);
  await pause(100);
  const second = await dial(fence.port);
  second.socket.end(table);
  await pause(300);
  t.equal(fence.dials(), 0, 'the second waits for room');
  first.socket.resetAndDestroy();
  t.equal(await second.ended(), 'fin');
  t.ok(target.connections[0]?.received().equals(table), 'and passes whole once there is some');
  const third = await dial(fence.port);
  third.socket.write(slow);
  await pause(800);
  const fourth = await dial(fence.port);
  fourth.socket.end(table);
  t.equal(await third.ended(), 'reset', 'who blocks the rest does so no longer than its own time');
  t.equal(await fourth.ended(), 'fin');
  t.same(rejected(made.reading()), { 'inbound native stream hold_timeout': 1 });
  await fence.close();
  await target.close();
});

t.test('reservations: further ones wait, then are rejected; the directions have budgets of their own', async (t) => {
  let direction: Direction = 'inbound';
  const made = makeContext({ stage: 'accept' });
  const target = await startRecorder();
  const limits = { announcedBytes: 400_000, holdTimeoutMs: 1_000 };
  const fence = await startFence(made, target.port, { direction: () => direction, limits });
  const message = pushPull(['one'], STATE);
  const first = await dial(fence.port);
  first.socket.write(message.subarray(0, 2_000));
  await until('the first to pass', () => fence.dials() === 1);
  const second = await dial(fence.port);
  second.socket.end(message);
  await pause(200);
  t.equal(fence.dials(), 1, 'the second waits');
  first.socket.resetAndDestroy();
  await until('the second to pass', () => fence.dials() === 2);
  await until('its bytes', () => target.connections[1]?.received().length === message.length);
  const third = await dial(fence.port);
  third.socket.end(message);
  t.equal(await third.ended(), 'fin');
  t.match(third.received().toString('latin1'), /shield_memory/);
  t.same(rejected(made.reading()), { 'inbound native stream shield_memory': 1 });
  const huge = await dial(fence.port);
  huge.socket.end(pushPull(['one'], Buffer.alloc(500_000)));
  t.equal(await huge.ended(), 'fin', 'what can never fit is told at once');
  direction = 'outbound';
  const own = await dial(fence.port);
  own.socket.end(message);
  await until('the app to be dialled through', () => fence.dials() === 3);
  second.socket.destroy();
  own.socket.destroy();
  await fence.close();
  await target.close();
});

t.test('a peer that reserves or holds all it can keeps no other waiting', async (t) => {
  const message = pushPull(['one'], STATE);
  const rows = pushPull(Array.from({ length: 500 }, (_, i) => `member-${i}`));
  const cases = [
    { limits: { announcedBytes: 1_300_000 }, greedy: message.subarray(0, 2_000) },
    { limits: { holdBytes: 100_000, holdBytesTotal: 200_000 }, greedy: rows.subarray(0, 20_000) },
  ];
  for (const { limits, greedy } of cases) {
    const made = makeContext({ stage: 'accept' });
    const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
    const fence = await startFence(made, target.port, { limits: { ...limits, holdTimeoutMs: 3_000 } });
    const busy = await Promise.all(Array.from({ length: 12 }, () => dial(fence.port, '127.0.0.2')));
    for (const { socket } of busy) socket.write(greedy);
    await pause(200);
    const other = await dial(fence.port);
    const began = performance.now();
    await sendAll(other, [message]);
    t.equal(await other.ended(), 'fin');
    t.ok(performance.now() - began < 2_000, 'at once');
    t.same(rejected(made.reading()), {});
    t.ok(target.connections.some((connection) => connection.received().equals(message)));
    for (const { socket } of busy) socket.destroy();
    await fence.close();
    await target.close();
  }
});

t.test('a stage that changes while a stream is held is the one that decides', async (t) => {
  for (const stage of ['enforce', 'observe'] as const) {
    const made = makeContext({ stage: 'accept' });
    const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
    const fence = await startFence(made, target.port);
    const dialler = await dial(fence.port);
    dialler.socket.write(HARMFUL.subarray(0, 40));
    await pause(50);
    made.setStage(stage);
    dialler.socket.end(HARMFUL.subarray(40));
    t.equal(await dialler.ended(), 'fin');
    t.same(rejected(made.reading()), stage === 'observe' ? {} : { 'inbound native stream label_missing': 1 });
    t.equal(fence.dials(), stage === 'observe' ? 1 : 0);
    if (stage === 'observe') t.ok(target.connections[0]?.received().equals(HARMFUL));
    await fence.close();
    await target.close();
  }
});

t.test('a stop cuts what is held', async (t) => {
  const fence = await startFence(makeContext({ stage: 'accept' }), 1);
  const dialler = await dial(fence.port);
  dialler.socket.write(pushPull(['one', 'two']).subarray(0, 40));
  await until('the stream', () => fence.streams.counts().inbound === 1);
  await pause(50);
  t.equal(fence.streams.stop(), 1);
  t.equal(await dialler.ended(), 'reset');
  await until('its end', () => fence.streams.counts().inbound === 0);
  await fence.close();
});
