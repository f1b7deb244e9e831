/** What becomes of a stream once it passes: bytes, half-closes, resets, backpressure. */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { reset } from '../../src/datapath/endings.ts';
import { type Carrier, framed, MESSAGE, marked } from './cases.ts';
import {
  cutAt,
  dial,
  echo,
  frames,
  makeContext,
  pause,
  rejected,
  seeded,
  sendAll,
  startFence,
  startRecorder,
  until,
} from './harness.ts';

const STATE = randomBytes(5 * 1024 * 1024);

t.test('5 MB both ways, byte-identical, in every stage that passes it', async (t) => {
  for (const stage of ['observe', 'enforce'] as const) {
    for (const carrier of ['native', 'dskit-stream'] as const) {
      const made = makeContext({ stage });
      const target = await startRecorder(echo);
      const fence = await startFence(made, target.port);
      const dialler = await dial(fence.port);
      const body = Buffer.concat([MESSAGE, STATE]);
      const sent = framed(carrier, marked('own', body));
      const expected = stage === 'observe' ? sent : framed(carrier, body);
      await sendAll(dialler, [sent]);
      t.equal(await dialler.ended(), 'fin');
      t.ok(target.connections[0]?.received().equals(expected), `${stage} ${carrier}: request`);
      t.ok(dialler.received().equals(expected), `${stage} ${carrier}: answer`);
      const bytes = made.reading().bytes.reduce((sum, { value }) => sum + value, 0);
      t.equal(bytes, sent.length + expected.length, 'both ways are counted');
      await fence.close();
      await target.close();
    }
  }
});

t.test('a 5 MB dskit packet keeps a right digest right and a wrong one wrong', async (t) => {
  for (const damaged of [false, true]) {
    const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
    const fence = await startFence(makeContext({ stage: 'enforce' }), target.port);
    const dialler = await dial(fence.port);
    const sent = framed('dskit-packet', marked('own', Buffer.concat([MESSAGE, STATE])));
    const expected = framed('dskit-packet', Buffer.concat([MESSAGE, STATE]));
    const last = sent.length - 1;
    if (damaged) sent[last] = (sent[last] ?? 0) ^ 1;
    await sendAll(dialler, cutAt(sent, 20, seeded(5)));
    await dialler.ended();
    t.equal(target.connections[0]?.received().equals(expected), !damaged);
    t.equal(target.connections[0]?.received().length, expected.length);
    await fence.close();
    await target.close();
  }
});

t.test('a side that does not read holds the other back', async (t) => {
  const target = await startRecorder(({ socket }) => socket.pause());
  const fence = await startFence(makeContext({ stage: 'enforce' }), target.port);
  const dialler = await dial(fence.port);
  const all = marked('own', Buffer.concat([MESSAGE, Buffer.alloc(64 * 1024 * 1024)]));
  dialler.socket.write(all);
  await until('the app to be dialled', () => target.connections.length === 1);
  await pause(500);
  const held = dialler.socket.writableLength;
  t.ok(held > 0, 'the dialler is held back');
  t.ok(process.memoryUsage().arrayBuffers < 400 * 1024 * 1024, 'and nothing piles up in between');
  target.connections[0]?.socket.resume();
  dialler.socket.end();
  t.equal(await target.connections[0]?.ended(), 'fin');
  t.equal(target.connections[0]?.received().length, all.length - 13);
  await fence.close();
  await target.close();
});

t.test('a half-close is passed on, and the other half stays open', async (t) => {
  for (const stage of ['observe', 'accept', 'enforce'] as const) {
    const target = await startRecorder();
    const fence = await startFence(makeContext({ stage }), target.port);
    const dialler = await dial(fence.port);
    await sendAll(dialler, [marked('own', MESSAGE)]);
    await until('the request', () => target.connections.length === 1);
    t.equal(await target.connections[0]?.ended(), 'fin');
    await pause(50);
    t.equal(dialler.ending(), 'open', 'the answer is still to come');
    target.connections[0]?.socket.end('late answer');
    t.equal(await dialler.ended(), 'fin');
    t.equal(dialler.received().toString(), 'late answer');
    await fence.close();
    await target.close();
  }
});

t.test('the answer may end first', async (t) => {
  const target = await startRecorder(({ socket }) => socket.end('go on'));
  const fence = await startFence(makeContext({ stage: 'enforce' }), target.port);
  const dialler = await dial(fence.port);
  await sendAll(dialler, [marked('own', MESSAGE)], false);
  t.equal(await dialler.ended(), 'fin');
  dialler.socket.end('and more');
  t.equal(await target.connections[0]?.ended(), 'fin');
  t.equal(target.connections[0]?.received().toString('latin1'), `${MESSAGE.toString('latin1')}and more`);
  await fence.close();
  await target.close();
});

t.test("a dialler's reset reaches the app as a reset, never as an end", async (t) => {
  const carriers: Carrier[] = ['native', 'dskit-stream', 'dskit-packet'];
  for (const stage of ['observe', 'enforce'] as const) {
    for (const carrier of carriers) {
      for (const atOnce of [false, true]) {
        const target = await startRecorder();
        // Without the shield: a dskit packet that is held reaches the app whole or not at all.
        const fence = await startFence(makeContext({ stage, shield: false }), target.port);
        const dialler = await dial(fence.port);
        const whole = framed(carrier, marked('own', Buffer.concat([MESSAGE, STATE.subarray(0, 300)])));
        await new Promise((resolve) => dialler.socket.write(whole.subarray(0, -20), resolve));
        if (!atOnce) await until('bytes at the app', () => (target.connections[0]?.received().length ?? 0) > 0);
        dialler.socket.resetAndDestroy();
        await until('the stream to end', () => fence.streams.counts().inbound === 0);
        await pause(20);
        for (const connection of target.connections) {
          const ending = await connection.ended();
          // A dial that was given up before a byte was handed over looks like a probe; anything else must be a reset.
          const expected = connection.received().length === 0 && atOnce ? ending : 'reset';
          t.equal(ending, expected, `${stage} ${carrier} ${atOnce ? 'at once' : 'later'}`);
        }
        if (!atOnce) t.equal(target.connections.length, 1);
        await fence.close();
        await target.close();
      }
    }
  }
});

t.test("the app's reset reaches the dialler as a reset, after what came before it", async (t) => {
  for (const stage of ['observe', 'enforce'] as const) {
    for (const atOnce of [false, true]) {
      const target = await startRecorder(({ socket }) => {
        socket.on('data', () =>
          socket.write('half an answer', () => {
            if (atOnce) socket.resetAndDestroy();
            else setTimeout(() => socket.resetAndDestroy(), 50);
          }),
        );
      });
      const fence = await startFence(makeContext({ stage }), target.port);
      const dialler = await dial(fence.port);
      await sendAll(dialler, [marked('own', MESSAGE)], false);
      t.equal(await dialler.ended(), 'reset', `${stage} ${atOnce ? 'at once' : 'later'}`);
      if (!atOnce) t.equal(dialler.received().toString(), 'half an answer');
      await fence.close();
      await target.close();
    }
  }
});

t.test('a reset closes a socket in every state that it can be in', async (t) => {
  const target = await startRecorder();
  const states: Record<string, (socket: Socket) => void> = {
    connected: () => undefined,
    'with bytes that are not written yet': (socket) => void socket.write(Buffer.alloc(16 * 1024 * 1024)),
    'with its FIN on the way': (socket) => void socket.end('the end'),
    'destroyed already': (socket) => void socket.destroy(),
  };
  for (const [name, enter] of Object.entries(states)) {
    const { socket } = await dial(target.port);
    enter(socket);
    reset(socket);
    await until(`the close of a socket ${name}`, () => socket.closed);
    t.ok(socket.closed, name);
  }
  const connecting = connect({ port: target.port, host: '127.0.0.1' });
  reset(connecting);
  await until('the close of a connecting socket', () => connecting.closed);
  await target.close();
});

t.test('any chunking gives one verdict and the same bytes', async (t) => {
  const random = seeded(20_261_122);
  for (const stage of ['observe', 'accept', 'enforce'] as const) {
    for (const carrier of ['native', 'dskit-stream', 'dskit-packet'] as const) {
      for (const mark of ['own', 'none', 'foreign', 'label_double'] as const) {
        const made = makeContext({ stage });
        const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
        const fence = await startFence(made, target.port);
        const sent = framed(carrier, marked(mark, MESSAGE));
        const ways = [
          [sent],
          Array.from(sent, (_, i) => sent.subarray(i, i + 1)),
          cutAt(sent, 7, random),
          cutAt(sent, 3, random),
        ];
        for (const chunks of ways) {
          const dialler = await dial(fence.port);
          await sendAll(dialler, chunks);
          await dialler.ended();
          dialler.socket.destroy();
        }
        await until('all of it', () => target.connections.every(({ ending }) => ending() !== 'open'));
        const outputs = new Set(target.connections.map((connection) => connection.received().toString('hex')));
        const reading = made.reading();
        t.same(Object.values(frames(reading)), [ways.length], `${stage} ${carrier} ${mark}: one verdict`);
        t.equal(outputs.size, Object.keys(rejected(reading)).length === 0 ? 1 : 0);
        await fence.close();
        await target.close();
      }
    }
  }
});

t.test('observe is byte for byte transparent, whatever the bytes are', async (t) => {
  const random = seeded(7);
  const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
  const made = makeContext({ stage: 'observe' });
  const fence = await startFence(made, target.port);
  const starts = [[244], [244, 0], [244, 255, 1], [1], [1, 255], [1, 3, 97], [2], [22, 3, 1], [99], [255], [10], [13]];
  for (const [i, start] of starts.entries()) {
    const sent = Buffer.concat([Buffer.from(start), randomBytes(Math.floor(random() * 700))]);
    const dialler = await dial(fence.port);
    await sendAll(dialler, cutAt(sent, 4, random));
    t.equal(await dialler.ended(), 'fin');
    t.ok(target.connections[i]?.received().equals(sent), `starts with ${start}`);
  }
  t.same(rejected(made.reading()), {});
  const seen = Object.values(frames(made.reading())).reduce((sum, value) => sum + value, 0);
  t.equal(seen, starts.length, 'and every one is counted');
  await fence.close();
  await target.close();
});
