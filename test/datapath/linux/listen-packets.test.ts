/** What is the engine's own about the datagrams of a listen fence; what it shares with the portable path: ../listen-datagrams.test.ts. */
import { readdirSync } from 'node:fs';
import t from 'tap';
import { createDoubts } from '../../../src/datapath/doubts.ts';
import { createDatagramBatches } from '../../../src/datapath/linux/datagram-batch.ts';
import { type ListenPackets, openListenPackets } from '../../../src/datapath/linux/listen-packets.ts';
import { Loop } from '../../../src/datapath/linux/loop.ts';
import { LOOKS_MAX } from '../../../src/datapath/linux/queue-watch.ts';
import { SOCKADDR_MAX_BYTES, sockaddr } from '../../../src/datapath/linux/sockaddr.ts';
import { AF_INET, loadSyscalls, SOCK_DGRAM, SOL_SOCKET, type Syscalls } from '../../../src/datapath/linux/syscalls.ts';
import { SEARCH_PAUSE_MS } from '../../../src/datapath/port-search.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { MESSAGE, marked } from '../cases.ts';
import { dropped, frames, LIMITS, makeContext, pause, type TestContext, until } from '../harness.ts';
import { type Datagrams, STRANGERS, startUdp } from '../listen-kit.ts';

const calls = await loadSyscalls();
const NONE = -1;
const SO_RCVBUFFORCE = 33;
const ROOM_BYTES = 4 * 1024 * 1024;
/** Datagrams, each of which makes one look as long as epoll tells. */
const SENT = 4_096;
const SENT_A_MS = 40;
const OWN_MESSAGE = marked('own', MESSAGE);

/** A fence whose loop turns when the test says so, so that what was sent before is one batch. */
function open(
  made: TestContext,
  app: number,
  options: { host?: string; appHost?: string; sessions?: number; idleMs?: number; calls?: Syscalls } = {},
) {
  const { host = '127.0.0.1', appHost = '127.0.0.1', sessions = 64, idleMs = LIMITS.sessionIdleMs } = options;
  const loop = new Loop(calls, () => performance.now());
  const packets: ListenPackets = openListenPackets({
    context: made.context,
    calls: options.calls ?? calls,
    loop,
    batches: createDatagramBatches(calls),
    listen: { address: host, port: 0 },
    app: { address: appHost, port: app },
    limits: { sessions, sessionIdleMs: idleMs },
  });
  return {
    packets,
    port: packets.at.port,
    turn: () => loop.turn(20),
    /** Turns until `condition`, with node's sockets between. */
    until: (what: string, condition: () => boolean) =>
      until(what, () => {
        loop.turn(0);
        return condition();
      }),
    stop() {
      const cut = packets.stop();
      loop.close();
      return cut;
    },
  };
}

const sent = (peer: Datagrams, bytes: Buffer, port: number, host = '127.0.0.1') =>
  new Promise<void>((resolve, reject) =>
    peer.socket.send(bytes, port, host, (error) => (error ? reject(error) : resolve())),
  );
const descriptors = () => readdirSync('/proc/self/fd').length;

t.test('a wildcard socket answers from the address that was asked', async (t) => {
  for (const host of ['0.0.0.0', '::']) {
    const app = await startUdp();
    const fence = open(makeContext({ stage: 'accept' }), app.port, { host });
    const peer = await startUdp();
    for (const asked of ['127.0.0.1', '127.0.0.7', '127.1.2.3', '127.0.0.7']) {
      peer.got.length = 0;
      app.got.length = 0;
      await sent(peer, marked('own', MESSAGE), fence.port, asked);
      await fence.until('the datagram', () => app.got.length === 1);
      app.socket.send('ack', app.got[0]?.from.port ?? 0, '127.0.0.1');
      await fence.until('the answer', () => peer.got.length === 1);
      t.match(peer.got[0]?.from, { address: asked, port: fence.port }, `${host}, asked at ${asked}`);
    }
    fence.stop();
    app.socket.close();
    peer.socket.close();
  }
  const app = await startUdp();
  const fence = open(makeContext({ stage: 'accept' }, [{ address: '::1', prefix: 128, family: 'ipv6' }]), app.port, {
    host: '::',
  });
  const peer = await startUdp('::1');
  await sent(peer, marked('own', MESSAGE), fence.port, '::1');
  await fence.until('the datagram', () => app.got.length === 1);
  app.socket.send('ack', app.got[0]?.from.port ?? 0, '127.0.0.1');
  await fence.until('the answer', () => peer.got.length === 1);
  t.match(peer.got[0]?.from, { address: '::1', port: fence.port });
  fence.stop();
  app.socket.close();
  peer.socket.close();
});

t.test(
  'an app that is named by the wildcard that it listens on is at the loopback address, and its answers are its own',
  async (t) => {
    for (const [appHost, host] of [
      ['0.0.0.0', '127.0.0.1'],
      ['::', '::1'],
    ] as const) {
      const app = await startUdp(host);
      const fence = open(makeContext({ stage: 'accept' }), app.port, { appHost });
      const peer = await startUdp();
      await sent(peer, marked('own', MESSAGE), fence.port);
      await fence.until('the datagram', () => app.got.length === 1);
      app.socket.send('ack', app.got[0]?.from.port ?? 0, host);
      await fence.until('the answer', () => peer.got.length === 1);
      t.equal(peer.got[0]?.from.port, fence.port, appHost);
      fence.stop();
      app.socket.close();
      peer.socket.close();
    }
  },
);

t.test('one batch of many peers: each keeps its order, and sessions that go in its midst lose nothing', async (t) => {
  for (const sessions of [64, 1, 2]) {
    const made = makeContext({ stage: 'accept' });
    const app = await startUdp();
    const fence = open(made, app.port, { sessions });
    const peers = await Promise.all([startUdp(), startUdp(), startUdp()]);
    const expected: string[] = [];
    for (let i = 0; i < 30; i++) {
      const text = `${i % 3} ${i}`;
      expected.push(text);
      await sent(peers[i % 3] as Datagrams, marked('own', Buffer.from(`\x08${text}`)), fence.port);
    }
    fence.turn();
    await fence.until('all of them', () => app.got.length === 30);
    const got = app.got.map(({ bytes }) => bytes.subarray(1).toString());
    t.same([...got].sort(), [...expected].sort(), `${sessions} sessions`);
    for (const peer of ['0', '1', '2']) {
      const of = (list: string[]) => list.filter((text) => text.startsWith(peer));
      t.same(of(got), of(expected), 'in its order');
    }
    t.equal(fence.packets.sessions(), Math.min(3, sessions));
    t.equal(fence.packets.sessionEvictions() > 0, sessions < 3);
    t.same(dropped(made.reading()), {});
    const [counted] = made.reading().forward;
    t.equal(
      counted?.buckets.reduce((sum, n) => sum + n, 0),
      30,
      'each has its place in the histogram',
    );
    t.equal(fence.stop(), Math.min(3, sessions));
    app.socket.close();
    for (const { socket } of peers) socket.close();
  }
});

t.test('an app that is down: every refused datagram counts', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const gone = await startUdp();
  gone.socket.close();
  const fence = open(made, gone.port);
  const peer = await startUdp();
  for (let i = 0; i < 20; i++) await sent(peer, marked('own', MESSAGE), fence.port);
  fence.turn();
  await fence.until('the refusals', () => dropped(made.reading()).app_unreachable === 20);
  t.same(dropped(made.reading()), { app_unreachable: 20 });
  fence.stop();
  peer.socket.close();
});

t.test('a session whose socket cannot be had is counted, and the next datagram tries anew', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const app = await startUdp();
  let refuse = true;
  const loop = new Loop(calls, () => performance.now());
  const batches = createDatagramBatches(calls);
  const listen = { address: '127.0.0.1', port: 0 };
  const limits = { sessions: 4, sessionIdleMs: 1_000 };
  let opened = 0;
  const packets = openListenPackets({
    context: made.context,
    calls: {
      ...calls,
      socket: (...how) => (opened++ > 0 && refuse ? calls.socket(-1, -1, -1) : calls.socket(...how)),
    },
    ...{ loop, batches, listen, limits, app: { address: '127.0.0.1', port: app.port } },
  });
  const peer = await startUdp();
  await sent(peer, marked('own', MESSAGE), packets.at.port);
  loop.turn(20);
  t.same([dropped(made.reading()), packets.sessions()], [{ send_failed: 1 }, 0]);
  refuse = false;
  await sent(peer, marked('own', MESSAGE), packets.at.port);
  loop.turn(20);
  await until('the datagram', () => app.got.length === 1);
  packets.stop();
  loop.close();
  app.socket.close();
  peer.socket.close();
});

t.test('a datagram that waits is a copy, and goes on as if it had just come', async (t) => {
  const made = makeContext({ stage: 'accept' }, STRANGERS);
  let starting = false;
  const doubts = createDoubts({
    canAsk: () => true,
    starting: () => starting,
    ask: () => undefined,
    now: made.context.now,
    waitMs: 5_000,
    bytesMax: 1_000_000,
  });
  let admitted = false;
  const admits = makeContext({ stage: 'accept' }).context.admission();
  const context = {
    ...made.context,
    doubts,
    starting: () => starting,
    admission: () => (admitted ? admits : made.context.admission()),
  };
  const app = await startUdp();
  const fence = open({ ...made, context }, app.port, { host: '0.0.0.0' });
  const peer = await startUdp();
  const other = await startUdp();
  await sent(peer, Buffer.from('\x08first'), fence.port, '127.0.0.5');
  fence.turn();
  t.same([doubts.waiting(), fence.packets.sessions(), frames(made.reading())], [1, 0, {}]);
  await sent(other, marked('own', Buffer.from('\x08an own one that takes its place in memory')), fence.port);
  fence.turn();
  await until('the other', () => app.got.length === 1);
  admitted = true;
  doubts.answered('127.0.0.1');
  await until('the first', () => app.got.length === 2);
  t.equal(app.got[1]?.bytes.toString(), '\x08first');
  t.equal(fence.packets.sessions(), 2);
  app.socket.send('\x08ack', app.got[1]?.from.port ?? 0, '127.0.0.1');
  await fence.until('the answer', () => peer.got.length === 1);
  t.match(peer.got[0]?.from, { address: '127.0.0.5' }, 'from where it was asked');
  starting = true;
  app.socket.send('\x08later', app.got[1]?.from.port ?? 0, '127.0.0.1');
  await fence.until('an answer that waits', () => doubts.waiting() === 1);
  starting = false;
  doubts.answered();
  await until('the later answer', () => peer.got.length === 2);
  t.equal(peer.got[1]?.bytes.toString(), '\x08later');
  starting = true;
  await sent(peer, Buffer.from('\x08late'), fence.port);
  await fence.until('one that waits', () => doubts.waiting() === 1);
  starting = false;
  fence.packets.stop();
  doubts.answered();
  t.equal(app.got.length, 2, 'nothing goes on after a stop');
  fence.stop();
  app.socket.close();
  peer.socket.close();
  other.socket.close();
});

t.test('a flood of strangers is remembered in bounds and opens no socket', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const app = await startUdp();
  const fence = open(made, app.port);
  const before = descriptors();
  const peers = await Promise.all(Array.from({ length: 40 }, () => startUdp()));
  const after = descriptors();
  for (let round = 0; round < 5; round++) {
    for (const peer of peers) await sent(peer, marked('foreign', MESSAGE), fence.port);
    fence.turn();
  }
  await fence.until('all of them', () => frames(made.reading())['inbound native packet foreign reject'] === 200);
  t.equal(after - before, 40);
  t.equal(descriptors(), after);
  fence.stop();
  app.socket.close();
  for (const { socket } of peers) socket.close();
});

t.test('start: refused as the portable path is, and nothing stays open', async (t) => {
  const made = makeContext();
  const held = await startUdp();
  const loop = new Loop(calls, () => performance.now());
  const before = descriptors();
  const start = (address: string, port: number) =>
    openListenPackets({
      ...{ context: made.context, calls, loop, batches: createDatagramBatches(calls), listen: { address, port } },
      ...{ app: { address: '127.0.0.1', port: 1 }, limits: { sessions: 1, sessionIdleMs: 1_000 } },
    });
  t.throws(() => start('127.0.0.1', held.port), {
    name: 'StartError',
    code: 'EADDRINUSE',
    message: `cannot listen on 127.0.0.1:${held.port} (UDP): the port is in use by another process`,
  });
  t.throws(() => start('192.0.2.1', 7946), {
    code: 'EADDRNOTAVAIL',
    message: 'cannot listen on 192.0.2.1:7946 (UDP): no interface of this machine has that address',
  });
  t.equal(descriptors(), before);
  loop.close();
  held.socket.close();
});

t.test('idle sessions give their sockets back', async (t) => {
  const app = await startUdp();
  const peer = await startUdp();
  const before = descriptors();
  const fence = open(makeContext({ stage: 'accept' }), app.port, { idleMs: 50 });
  await sent(peer, marked('own', MESSAGE), fence.port);
  fence.turn();
  t.equal(fence.packets.sessions(), 1);
  await fence.until('the session to expire', () => fence.packets.sessions() === 0);
  t.equal(fence.stop(), 0);
  t.equal(fence.packets.stop(), 0, 'and twice is once');
  t.equal(descriptors(), before);
  app.socket.close();
  peer.socket.close();
});

t.test(
  'no port left for sessions: it is searched for now and then, said, and who has a session keeps it',
  async (t) => {
    const made = makeContext({ stage: 'accept' });
    const app = await startUdp();
    let searches = 0;
    let portless = false;
    const connect: Syscalls['connect'] = (fd, name) => {
      searches++;
      return portless ? -1 : calls.connect(fd, name);
    };
    const errno = () => (portless ? 'EAGAIN' : calls.errno());
    const fence = open(made, app.port, { calls: { ...calls, connect, errno } });
    const [known, stranger] = await Promise.all([startUdp(), startUdp()]);
    await sent(known, marked('own', MESSAGE), fence.port);
    await fence.until('a session', () => app.got.length === 1);
    portless = true;
    for (let i = 0; i < 20; i++) await sent(stranger, marked('own', MESSAGE), fence.port);
    await sent(known, marked('own', MESSAGE), fence.port);
    await fence.until('the one that has a session', () => app.got.length === 2);
    t.equal(searches, 2, 'one that found a port, and one for all that came since');
    t.equal(dropped(made.reading()).send_failed, 20);
    t.same(
      made.faults.map(({ code }) => code),
      ['ports_exhausted'],
    );
    portless = false;
    await pause(SEARCH_PAUSE_MS);
    await sent(stranger, marked('own', MESSAGE), fence.port);
    await fence.until('the other one', () => app.got.length === 3);
    t.equal(fence.packets.sessions(), 2);
    fence.stop();
    app.socket.close();
    for (const { socket } of [known, stranger]) socket.close();
  },
);

t.test(
  'datagrams that come faster than looking pays: by the clock, none lost, and the clock ends with the fence',
  async (t) => {
    const app = calls.socket(AF_INET, SOCK_DGRAM, 0);
    calls.bind(app, nameOf(0));
    calls.setInt(app, SOL_SOCKET, SO_RCVBUFFORCE, ROOM_BYTES);
    let looks = 0;
    let watched = NONE;
    const streams = {
      ...calls.streams,
      recvmmsg(fd: number, headers: number, count: number) {
        if (fd === watched) looks++;
        return calls.streams.recvmmsg(fd, headers, count);
      },
    };
    const counting: Syscalls = Object.assign(Object.create(calls), { streams });
    let nowMs = 0;
    const loop = new Loop(counting, () => nowMs);
    const made = makeContext({ stage: 'accept' });
    const packets = openListenPackets({
      ...{ context: made.context, calls: counting, loop, batches: createDatagramBatches(counting) },
      listen: { address: '127.0.0.1', port: 0 },
      app: { address: '127.0.0.1', port: portOf(app) },
      limits: { sessions: 64, sessionIdleMs: LIMITS.sessionIdleMs },
    });
    watched = packets.fd;
    calls.setInt(packets.fd, SOL_SOCKET, SO_RCVBUFFORCE, ROOM_BYTES);
    const peer = calls.socket(AF_INET, SOCK_DGRAM, 0);
    const to = nameOf(packets.at.port);
    const passed = () => frames(made.reading())['inbound native packet own pass'] ?? 0;
    const send = (count: number) => {
      for (let sent = 0; sent < count; sent++) {
        calls.sendto(peer, OWN_MESSAGE, OWN_MESSAGE.length, to);
        nowMs += 1 / SENT_A_MS;
        loop.turn(0);
      }
    };
    const pass = (ms: number) => {
      for (let i = 0; i < ms; i++) {
        nowMs++;
        loop.turn(0);
      }
    };
    send(SENT);
    t.ok(looks < 2 * LOOKS_MAX, `${looks} looks`);
    pass(2);
    t.equal(passed(), SENT);
    send(2 * LOOKS_MAX);
    packets.stop();
    const before = looks;
    pass(3);
    t.equal(looks, before, 'nobody reads what the number of its socket stands for now');
    loop.close();
    for (const fd of [app, peer]) calls.close(fd);
  },
);

function nameOf(port: number): Buffer {
  return sockaddr(parseAddress('127.0.0.1') as Uint8Array, port);
}

function portOf(fd: number): number {
  const name = Buffer.from(new ArrayBuffer(SOCKADDR_MAX_BYTES + 4));
  const at = Number(calls.address(name));
  name.writeUInt32LE(SOCKADDR_MAX_BYTES, SOCKADDR_MAX_BYTES);
  calls.streams.getsockname(fd, at, at + SOCKADDR_MAX_BYTES);
  return name.readUInt16BE(2);
}
