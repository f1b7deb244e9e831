/** Datagrams of the portable engine that arrive in one turn of the event loop, and what is counted of them once the kernel took them. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { BoundedSender, Departures } from '../../src/datapath/bounded-sender.ts';
import { marked } from './cases.ts';
import { dropped, frames, makeContext, type TestContext, until } from './harness.ts';
import { type Datagrams, startDatagrams, startUdp } from './listen-kit.ts';

function forwarded(made: TestContext, direction: 'inbound' | 'outbound'): number {
  const row = made.reading().forward.find((one) => one.direction === direction && one.kind === 'packet');
  return row?.buckets.reduce((sum, n) => sum + n, 0) ?? Number.NaN;
}

t.test('one turn of many peers: each keeps its order, and sessions that go in its midst lose nothing', async (t) => {
  for (const sessions of [64, 1, 2]) {
    const made = makeContext({ stage: 'accept' });
    const app = await startUdp();
    const path = await startDatagrams('portable', made, {
      app: { address: '127.0.0.1', port: app.port },
      limits: { sessions },
    });
    const peers = await Promise.all([startUdp(), startUdp(), startUdp()]);
    const expected: string[] = [];
    for (let i = 0; i < 30; i++) {
      const text = `${i % 3} ${i}`;
      expected.push(text);
      // The kernel has it when this returns: all of them wait in the fence's socket before its next turn.
      (peers[i % 3] as Datagrams).socket.send(marked('own', Buffer.from(`\x08${text}`)), path.port, '127.0.0.1');
    }
    await until('all of them', () => app.got.length === 30);
    const got = app.got.map(({ bytes }) => bytes.subarray(1).toString());
    for (const peer of ['0', '1', '2']) {
      const of = (list: string[]) => list.filter((text) => text.startsWith(peer));
      t.same(of(got), of(expected), `${sessions} sessions: in its order`);
    }
    t.equal(path.sessions(), Math.min(3, sessions));
    t.equal(path.evictions() > 0, sessions < 3);
    t.same(dropped(made.reading()), {});
    t.equal(forwarded(made, 'inbound'), 30, 'each has its place in the histogram');
    await path.stop();
    for (const { socket } of [app, ...peers]) socket.close();
  }
});

t.test('what the kernel refuses is dropped, not forwarded', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const gone = await startUdp();
  gone.socket.close();
  const path = await startDatagrams('portable', made, { app: { address: '127.0.0.1', port: gone.port } });
  const peer = await startUdp();
  const count = 8;
  for (let i = 0; i < count; i++) peer.socket.send(marked('own', Buffer.of(8, i)), path.port, '127.0.0.1');
  // Every second one meets what became of the one before.
  await until('the refusals', () => (dropped(made.reading()).app_unreachable ?? 0) === count / 2);
  t.same(frames(made.reading()), { 'inbound native packet own pass': count });
  t.equal(forwarded(made, 'inbound'), count / 2, 'the others were handed over');
  peer.socket.close();
  await path.stop();
});

t.test('answers are counted as they leave, from when they came', async (t) => {
  const made = makeContext();
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const nowMs = 5_000;
  const { tally } = made.context;
  const departures = new Departures(tally, 'outbound', () => nowMs);
  const failures: (string | undefined)[] = [];
  const sender = new BoundedSender(socket, { tally, departures, onFailure: ({ code }) => failures.push(code) });
  departures.arrived(4_980);
  for (let i = 0; i < 3; i++) sender.sendTo(Buffer.of(i), socket.address().port, '127.0.0.1');
  sender.sendTo(Buffer.alloc(65_508), socket.address().port, '127.0.0.1');
  t.equal(forwarded(made, 'outbound'), 0, 'not before node has told of them');
  await until('them', () => forwarded(made, 'outbound') === 3);
  t.same(failures, ['EMSGSIZE']);
  const row = made.reading().forward.find(({ direction, kind }) => direction === 'outbound' && kind === 'packet');
  t.ok(Math.abs((row?.sumSeconds ?? 0) - 0.06) < 1e-9, 'three times 20 ms');
  socket.close();
  await once(socket, 'close');
  sender.sendTo(Buffer.of(9), 7946, '127.0.0.1');
  t.equal(dropped(made.reading()).send_failed, 1);
});
