/** Sessions that are read by the clock: by themselves, and in a listen fence whose queue stands. */
import t from 'tap';
import { BATCH, createDatagramBatches } from '../../../src/datapath/linux/datagram-batch.ts';
import { openListenPackets } from '../../../src/datapath/linux/listen-packets.ts';
import type { Session } from '../../../src/datapath/linux/listen-session.ts';
import { ListenSessions } from '../../../src/datapath/linux/listen-sessions.ts';
import { Loop } from '../../../src/datapath/linux/loop.ts';
import { POLL_MS, POLLED_IDLE_MS, POLLED_MAX, PolledSessions } from '../../../src/datapath/linux/polled-sessions.ts';
import { STANDING_BATCHES } from '../../../src/datapath/linux/receive-queue.ts';
import { sockaddr } from '../../../src/datapath/linux/sockaddr.ts';
import { AF_INET, loadSyscalls, SOCK_DGRAM, SystemError } from '../../../src/datapath/linux/syscalls.ts';
import { createTimerQueue } from '../../../src/datapath/timers.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { MESSAGE, marked } from '../cases.ts';
import { LIMITS, makeContext, until } from '../harness.ts';
import { startUdp } from '../listen-kit.ts';

function stand() {
  let nowMs = 1_000;
  const timers = createTimerQueue(() => nowMs);
  const watched = new Set<number>();
  const read: number[] = [];
  const state = { refuses: false, onRead: (_session: Session) => {} };
  const loop = {
    timers,
    unwatch: (fd: number) => void watched.delete(fd),
    watch(fd: number) {
      if (state.refuses) throw new SystemError('epoll_ctl', 'ENOMEM');
      watched.add(fd);
    },
  } as unknown as Loop;
  const polled = new PolledSessions({
    context: { now: () => nowMs },
    loop,
    onReadable(session) {
      read.push(session.fd);
      state.onRead(session);
    },
  });
  const session = (fd: number) => {
    watched.add(fd);
    return { fd, lastMs: nowMs, polled: false } as Session;
  };
  const pass = (ms: number) => {
    nowMs += ms;
    timers.run(nowMs);
  };
  const taken = () => read.splice(0);
  return { polled, session, pass, watched, taken, state, nextMs: () => timers.nextMs() };
}

t.test('a session is read every so often until it was idle for a while, and then by epoll again', async (t) => {
  const { polled, session, pass, watched, taken, nextMs } = stand();
  const [busy, idle] = [session(5), session(6)];
  polled.take(busy);
  polled.take(idle);
  t.strictSame([...watched], []);
  for (let ms = 0; ms < POLLED_IDLE_MS; ms += POLL_MS) {
    t.strictSame([busy.polled, idle.polled], [true, true]);
    busy.lastMs += POLL_MS;
    pass(POLL_MS);
    t.strictSame(taken(), [5, 6]);
  }
  t.strictSame([[...watched], busy.polled, idle.polled], [[6], true, false], 'read once more, then watched');
  for (let ms = 0; ms <= POLLED_IDLE_MS; ms += POLL_MS) pass(POLL_MS);
  t.strictSame([...watched].toSorted(), [5, 6]);
  t.equal(nextMs(), undefined, 'and the clock rests');
  polled.take(busy);
  pass(POLL_MS);
  t.equal(taken().pop(), 5, 'until there is one again');
});

t.test('no more than so many at once', async (t) => {
  const { polled, session, pass, watched, taken } = stand();
  const sessions = Array.from({ length: POLLED_MAX + 3 }, (_, i) => session(i + 10));
  for (const one of sessions) polled.take(one);
  t.equal(watched.size, 3);
  t.equal(sessions.filter((one) => one.polled).length, POLLED_MAX);
  pass(POLL_MS);
  t.equal(taken().length, POLLED_MAX);
});

t.test('one that is closed, even while others are read, is neither read nor watched', async (t) => {
  const { polled, session, pass, watched, taken, state } = stand();
  const [first, second, third] = [session(5), session(6), session(7)];
  for (const one of [first, second, third]) polled.take(one);
  polled.drop(third);
  state.onRead = (one) => {
    if (one === first) polled.drop(second);
  };
  pass(POLLED_IDLE_MS);
  t.strictSame(taken(), [5]);
  t.strictSame([...watched], [5]);
  polled.drop(first);
  t.notOk(first.polled, 'dropping what is not polled does nothing');
});

t.test('a kernel that cannot watch one more is asked again', async (t) => {
  const { polled, session, pass, watched, taken, state } = stand();
  const one = session(5);
  polled.take(one);
  state.refuses = true;
  pass(POLLED_IDLE_MS);
  t.ok(one.polled);
  pass(POLL_MS);
  t.strictSame(taken(), [5, 5], 'and it is still read');
  state.refuses = false;
  pass(POLL_MS);
  t.strictSame([one.polled, [...watched]], [false, [5]]);
});

t.test('stopped, nothing is read any more', async (t) => {
  const { polled, session, pass, taken, nextMs } = stand();
  polled.stop();
  polled.take(session(5));
  polled.stop();
  t.equal(nextMs(), undefined);
  pass(POLL_MS);
  t.strictSame(taken(), []);
});

t.test('where every place is taken epoll watches, because the next peer may end any of the sessions', async (t) => {
  const calls = await loadSyscalls();
  const loop = new Loop(calls, () => performance.now());
  const batches = createDatagramBatches(calls);
  const app = await startUdp();
  const sessions = new ListenSessions({
    context: makeContext({ stage: 'accept' }).context,
    ...{ calls, loop, sends: batches.sends, queue: { stands: true } },
    app: { address: '127.0.0.1', port: app.port },
    limits: { sessions: 3, sessionIdleMs: LIMITS.sessionIdleMs },
    onReadable: () => undefined,
  });
  const polled = [5001, 5002, 5003, 5004, 5005].map((port) => {
    const name = Buffer.from(new ArrayBuffer(28));
    name.set(sockaddr(parseAddress('127.0.0.1') as Uint8Array, port));
    const peer = sessions.peerAt(name, new Int32Array(name.buffer), 0);
    sessions.queue(peer, batches.received.payloadAt(0), 8, performance.now());
    t.equal(sessions.flush(), 1);
    return peer.polled;
  });
  t.strictSame(polled, [true, true, false, false, false]);
  t.equal(sessions.stop(), 3);
  loop.close();
  app.socket.close();
});

t.test('a listen fence whose queue stands: answers come all the same, then and afterwards', async (t) => {
  const calls = await loadSyscalls();
  const removed: number[] = [];
  const epollRemove = (epoll: number, fd: number) => {
    removed.push(fd);
    calls.streams.epollRemove(epoll, fd);
  };
  const loop = new Loop({ ...calls, streams: { ...calls.streams, epollRemove } }, () => performance.now());
  const app = await startUdp();
  const packets = openListenPackets({
    context: makeContext({ stage: 'accept' }).context,
    ...{ calls, loop, batches: createDatagramBatches(calls) },
    listen: { address: '127.0.0.1', port: 0 },
    app: { address: '127.0.0.1', port: app.port },
    limits: { sessions: 4, sessionIdleMs: LIMITS.sessionIdleMs },
  });
  const fence = sockaddr(parseAddress('127.0.0.1') as Uint8Array, packets.at.port);
  const from = calls.socket(AF_INET, SOCK_DGRAM, 0);
  const bytes = marked('own', MESSAGE);
  const send = (count: number) => {
    for (let i = 0; i < count; i++) calls.sendto(from, bytes, bytes.length, fence);
  };
  const answered = () => {
    const into = Buffer.alloc(64);
    return calls.streams.recv(from, Number(calls.address(into)), into.length) > 0;
  };
  const answer = async (what: string) => {
    app.socket.send('ack', app.got.at(-1)?.from.port ?? 0, '127.0.0.1');
    await until(what, () => {
      loop.turn(0);
      return answered();
    });
  };
  send(1);
  await until('the first', () => {
    loop.turn(0);
    return app.got.length > 0;
  });
  await answer('an answer by epoll');
  t.strictSame(removed, [], 'watched by epoll');
  // Each turn takes no more than was sent before it.
  send(BATCH);
  for (let sent = 0; sent <= STANDING_BATCHES * BATCH; sent += 8 * BATCH) {
    send(8 * BATCH);
    loop.turn(0);
  }
  t.equal(removed.length, 1, 'its session was taken from epoll');
  app.got.splice(0, app.got.length - 1);
  await answer('an answer by the clock');
  const untilMs = performance.now() + POLLED_IDLE_MS + 20 * POLL_MS;
  while (performance.now() < untilMs) loop.turn(1);
  await answer('an answer by epoll again');
  t.equal(removed.length, 1);
  t.equal(packets.sessions(), 1);
  packets.stop();
  loop.close();
  calls.close(from);
  app.socket.close();
});
