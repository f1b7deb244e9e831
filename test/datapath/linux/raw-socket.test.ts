// A raw socket beside node's: the same script on each, against a node socket on loopback, and the same story must come of it.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t, { type Test as Tap } from 'tap';
import { confirmFin } from '../../../src/datapath/endings.ts';
import { acceptStreams, listenStreams } from '../../../src/datapath/linux/accept-loop.ts';
import { rawDialler, rawDiallers } from '../../../src/datapath/linux/raw-dial.ts';
import { RawIo } from '../../../src/datapath/linux/raw-io.ts';
import type { RawSocket } from '../../../src/datapath/linux/raw-socket.ts';
import type { Syscalls } from '../../../src/datapath/linux/syscalls.ts';
import { NodeSocket } from '../../../src/datapath/node-sockets.ts';
import type { StreamSocket } from '../../../src/datapath/socket.ts';
import { type Ears, earsOf } from '../ears.ts';
import { dial, pause, type Recorded, startRecorder, until } from '../harness.ts';
import { turnedLoop } from './raw-kit.ts';

const turned = await turnedLoop();
const { calls, io } = turned;
t.teardown(() => turned.close());

const LOOPBACK = { address: '127.0.0.1', port: 0 };
const MEGABYTE = Buffer.alloc(1024 * 1024, 'abcdefghijklm');

interface Pair {
  readonly subject: StreamSocket;
  readonly peer: Recorded;
  /** What the subject told, in order; data by its bytes in all. */
  readonly story: string[];
  readonly got: Buffer[];
  /** Who else listens to the subject. */
  readonly ears: Ears;
  close(): void;
}

type Kind = 'node' | 'raw';

function told(subject: StreamSocket): { story: string[]; got: Buffer[]; ears: Ears } {
  const story: string[] = [];
  const got: Buffer[] = [];
  const ears = earsOf(subject)
    .on('data', (chunk) => {
      got.push(Buffer.from(chunk));
      if (story.at(-1) !== 'data') story.push('data');
    })
    .on('connect', () => story.push('connect'))
    .on('end', () => confirmFin(subject, () => story.push('end')))
    .on('error', () => story.push('error'))
    .on('close', (hadError) => story.push(`close ${hadError}`));
  return { story, got, ears };
}

/** A subject that was accepted, and its dialler. */
async function accepted(kind: Kind): Promise<Pair> {
  const sockets: StreamSocket[] = [];
  let port: number;
  let close: () => void;
  if (kind === 'raw') {
    const { fd, at } = listenStreams(calls, LOOPBACK);
    port = at.port;
    const onFault = (error: Error) => t.fail(error.message);
    const listener = acceptStreams(io, fd, {
      destinations: false,
      onFault,
      onStream: (socket) => sockets.push(socket),
    });
    close = () => listener.close();
  } else {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
      sockets.push(new NodeSocket(socket)),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
    close = () => server.close();
  }
  const peer = await dial(port);
  await until('a connection', () => sockets.length > 0);
  const subject = sockets[0] as StreamSocket;
  return { subject, peer, ...told(subject), close };
}

/** A subject that dialled, and who accepted it. */
async function dialled(kind: Kind): Promise<Pair> {
  const app = await startRecorder();
  const subject =
    kind === 'raw'
      ? rawDialler(io, { ...LOOPBACK, port: app.port })()
      : new NodeSocket(connect({ port: app.port, host: '127.0.0.1', allowHalfOpen: true }));
  const { story, got, ears } = told(subject);
  await until('a connection', () => app.connections.length > 0 && !subject.connecting);
  story.length = 0;
  return { subject, peer: app.connections[0] as Recorded, story, got, ears, close: () => void app.close() };
}

type Script = (pair: Pair) => Promise<unknown> | unknown;

const closed = (pair: Pair) =>
  until('the close', () => pair.subject.closed && pair.story.at(-1)?.startsWith('close') === true);

const SCRIPTS: Readonly<Record<string, Script>> = {
  async 'the peer ends first'({ subject, ears, peer }) {
    ears.on('end', () => subject.end(Buffer.from('bye')));
    subject.resume();
    peer.socket.end('hello');
    await peer.ended();
  },
  async 'the peer ends first, without a byte'({ subject, ears, peer }) {
    ears.on('end', () => subject.end());
    subject.resume();
    peer.socket.end();
    await peer.ended();
  },
  async 'the subject ends first and reads on'({ subject, peer }) {
    peer.socket.on('end', () => peer.socket.end(MEGABYTE));
    subject.resume().end(Buffer.from('over'));
    await peer.ended();
  },
  async 'both end at once'({ subject, peer }) {
    subject.resume().end(Buffer.from('one'));
    peer.socket.end('two');
    await peer.ended();
  },
  async 'a reset'({ subject, peer }) {
    subject.resume();
    await pause(20);
    peer.socket.resetAndDestroy();
  },
  async 'data, read, then a reset'({ subject, peer, got }) {
    subject.resume();
    peer.socket.write('before');
    await until('the data', () => got.length > 0);
    peer.socket.resetAndDestroy();
  },
  async 'the subject resets'({ subject, peer }) {
    subject.resume().resetAndDestroy();
    await peer.ended();
  },
  async 'the subject is destroyed for a reason'({ subject }) {
    subject.destroy(new Error('on purpose'));
  },
  async 'destroyed with data unread: a reset'({ subject, peer }) {
    peer.socket.write('nobody reads this');
    await pause(30);
    subject.destroy();
    await peer.ended();
  },
  async 'destroyed by who gets data'({ subject, ears, peer }) {
    ears.on('data', () => subject.destroy());
    subject.resume();
    peer.socket.end('hello');
    await peer.ended();
  },
  async 'destroyed by who gets the end'({ subject, ears, peer }) {
    ears.on('end', () => subject.destroy());
    subject.resume();
    peer.socket.end('hello');
    await peer.ended();
  },
  async 'written after the end'({ subject }) {
    subject.end(Buffer.from('last'));
    subject.write(Buffer.from('too late'), () => undefined);
  },
  async 'byte by byte, both ways'({ subject, ears, peer }) {
    peer.socket.setNoDelay(true);
    ears.on('data', (chunk) => void subject.write(Buffer.from(chunk)));
    ears.on('end', () => subject.end());
    subject.resume();
    for (let i = 0; i < 300; i++) {
      peer.socket.write(String.fromCharCode(97 + (i % 26)));
      if (i % 7 === 0) await pause(0);
    }
    peer.socket.end();
    await peer.ended();
  },
  async 'paused in between'({ subject, ears, peer }) {
    ears.on('data', () => {
      subject.pause();
      setTimeout(() => subject.resume(), 2);
    });
    ears.on('end', () => subject.end());
    subject.resume();
    for (let i = 0; i < 20; i++) {
      peer.socket.write(MEGABYTE.subarray(0, 10_000));
      await pause(1);
    }
    peer.socket.end();
    await peer.ended();
  },
  async 'ten megabytes to a slow reader, with its own on the way'({ subject, ears, peer }) {
    subject.resume();
    peer.socket.pause();
    let left = 10;
    let drains = 0;
    const more = () => {
      while (left > 0) {
        left--;
        if (!subject.write(MEGABYTE)) return;
      }
      subject.end();
    };
    ears.on('drain', () => {
      drains++;
      more();
    });
    more();
    for (let i = 0; i < 10; i++) peer.socket.write(MEGABYTE);
    peer.socket.end();
    await pause(50);
    peer.socket.resume();
    await peer.ended();
    if (drains === 0) throw new Error('no drain');
  },
};

for (const [way, open] of Object.entries({ accepted, dialled })) {
  for (const [name, script] of Object.entries(SCRIPTS)) {
    t.test(`${way}: ${name}`, async (t) => {
      const of = async (kind: Kind) => {
        const pair = await open(kind);
        await script(pair);
        await closed(pair);
        await pause(5);
        const digest = (chunks: Buffer[]) => createHash('md5').update(Buffer.concat(chunks)).digest('hex');
        const { destroyed, closed: isClosed, connecting } = pair.subject;
        const result = {
          story: pair.story.filter((word, i, all) => word !== 'data' || all[i - 1] !== 'data'),
          got: digest(pair.got),
          peerGot: digest(pair.peer.chunks),
          peerEnding: pair.peer.ending(),
          flags: { destroyed, isClosed, connecting },
        };
        pair.peer.socket.destroy();
        pair.close();
        return result;
      };
      t.same(await of('raw'), await of('node'));
    });
  }
}

t.test('data and a reset right behind it: the data first, then the error, never an end', async (t) => {
  for (let round = 0; round < 30; round++) {
    const pair = await accepted('raw');
    pair.peer.socket.write('first');
    await pause(round % 3);
    pair.peer.socket.resetAndDestroy();
    await pause(round % 4);
    pair.subject.resume();
    await closed(pair);
    t.notOk(pair.story.includes('end'), pair.story.join());
    t.same(pair.story.slice(-2), ['error', 'close true']);
    pair.close();
  }
});

t.test('writing meets the reset first: what had arrived is still given', async (t) => {
  const pair = await accepted('raw');
  pair.subject.pause();
  pair.peer.socket.write('an answer');
  await pause(20);
  pair.peer.socket.resetAndDestroy();
  await pause(20);
  const errors: unknown[] = [];
  pair.subject.write(Buffer.from('x'), (error) => errors.push(error));
  pair.subject.write(Buffer.from('y'), (error) => errors.push(error));
  t.ok(errors.every((error) => error instanceof Error) && errors.length === 2);
  pair.subject.resume();
  await closed(pair);
  t.same(pair.story, ['data', 'error', 'close true']);
  t.equal(Buffer.concat(pair.got).toString(), 'an answer');
  pair.close();
});

t.test('a paused socket notices a reset, with nothing left to read', async (t) => {
  const pair = await accepted('raw');
  await pause(10);
  pair.peer.socket.resetAndDestroy();
  await closed(pair);
  t.same(pair.story, ['error', 'close true']);
  pair.close();
});

t.test('after its close nobody is told anything, whatever was still in hand', async (t) => {
  for (let round = 0; round < 20; round++) {
    const pair = await accepted('raw');
    const late: string[] = [];
    pair.subject.resume();
    pair.ears.on('data', () => {
      // More is there to read, an end behind it, and a write that the kernel did not take whole.
      pair.subject.write(MEGABYTE);
      pair.subject.write(MEGABYTE);
      pair.subject.destroy();
    });
    pair.peer.socket.write(MEGABYTE.subarray(0, 300_000));
    pair.peer.socket.end(MEGABYTE.subarray(0, 300_000));
    await closed(pair);
    t.equal(pair.subject.owner, undefined);
    const told = pair.story.length;
    for (const event of ['data', 'end', 'drain', 'error', 'close'] as const)
      pair.ears.on(event, () => late.push(event));
    pair.subject.resume().destroy(new Error('again'));
    await pause(5);
    t.same([late, pair.story.length], [[], told]);
    pair.peer.socket.destroy();
    pair.close();
  }
});

t.test('nobody there, no such address, no socket: an error and a close', async (t) => {
  const gone = await startRecorder();
  await gone.close();
  const diallers = rawDiallers(io, () => {
    throw new Error('no socket');
  });
  const cases: [() => RawSocket, RegExp][] = [
    [rawDialler(io, { ...LOOPBACK, port: gone.port }), /^connect: ECONNREFUSED$/],
    [rawDialler(io, { address: 'no address', port: 1 }), /^connect: EADDRNOTAVAIL$/],
    [() => diallers.plain({ ...LOOPBACK, port: gone.port }, '192.0.2.77'), /^bind: EADDRNOTAVAIL$/],
    [() => diallers.asPeer('127.0.0.9', { ...LOOPBACK, port: gone.port }, () => false), /^no socket$/],
  ];
  for (const [open, why] of cases) {
    const socket = open();
    const errors: string[] = [];
    const { story, ears } = told(socket);
    ears.on('error', ({ message }) => errors.push(message));
    socket.write(Buffer.from('hello'));
    await until('the close', () => socket.closed);
    t.same(story, ['error', 'close true']);
    t.match(errors[0], why);
  }
  const early = rawDialler(io, { ...LOOPBACK, port: gone.port })();
  const { story } = told(early);
  early.destroy();
  await until('the close', () => early.closed);
  t.same(story, ['close false']);
  const from = await startRecorder();
  const bound = diallers.plain({ ...LOOPBACK, port: from.port }, '127.0.0.3');
  await until('a connection', () => from.connections.length > 0);
  t.equal(from.connections[0]?.from, '127.0.0.3');
  bound.destroy();
  await from.close();
});

t.test('lent bytes: a slow reader gets what was sent', async (t) => {
  const app = await startRecorder();
  const { fd, at } = listenStreams(calls, LOOPBACK);
  const listener = acceptStreams(io, fd, {
    destinations: false,
    onFault: ({ message }) => t.fail(message),
    onStream(from) {
      const to = rawDialler(io, { ...LOOPBACK, port: app.port })();
      from.lend();
      earsOf(from)
        .on('data', (chunk) => void (to.write(chunk) || from.pause()))
        .on('end', () => to.end());
      earsOf(to).on('drain', () => from.resume());
      from.resume();
    },
  });
  const sent = Buffer.alloc(6_000_000);
  for (let i = 0; i < sent.length; i += 4) sent.writeUInt32LE((i * 2_654_435_761) >>> 0, i);
  const client = await dial(at.port);
  client.socket.end(sent);
  await until('the app', () => app.connections.length > 0);
  const reader = app.connections[0] as Recorded;
  for (let i = 0; i < 40 && reader.ending() === 'open'; i++) {
    reader.socket.pause();
    await pause(3);
    reader.socket.resume();
    await pause(3);
  }
  t.equal(await reader.ended(), 'fin');
  t.ok(reader.received().equals(sent));
  client.socket.destroy();
  listener.close();
  await app.close();
});

t.test('without descriptors the listener rests, and takes who waited once there are some', async (t) => {
  let fails = 2;
  let accepts = 0;
  let failed = false;
  const short: Syscalls = {
    ...calls,
    errnoNumber: () => (failed ? 24 : calls.errnoNumber()),
    streams: {
      ...calls.streams,
      accept(fd, name, bytes) {
        accepts++;
        failed = fails-- > 0;
        return failed ? -1 : calls.streams.accept(fd, name, bytes);
      },
    },
  };
  const faults: string[] = [];
  const sockets: RawSocket[] = [];
  const { fd, at } = listenStreams(short, LOOPBACK);
  const listener = acceptStreams(new RawIo(turned.loop, short), fd, {
    destinations: true,
    onFault: ({ message }) => faults.push(message),
    onStream(socket, _source, destination) {
      t.equal(destination.port, at.port);
      sockets.push(socket);
    },
  });
  const client = await dial(at.port);
  await until('the connection', () => sockets.length > 0);
  t.same(faults, ['accept: EMFILE', 'accept: EMFILE']);
  t.ok(accepts <= 5, `${accepts} calls`);
  for (const socket of sockets) socket.destroy();
  client.socket.destroy();
  listener.close();
  t.throws(
    () => listenStreams(calls, { address: '192.0.2.1', port: 0 }),
    /no interface of this machine has that address/,
  );
  const taken = listenStreams(calls, LOOPBACK);
  t.throws(() => listenStreams(calls, taken.at), /in use/);
  calls.close(taken.fd);
});

/** When a listener that awaits bytes handed out a connection, ms after `during` began with it open. */
async function handedOutMs(t: Tap, during: (dialler: Socket) => void): Promise<number> {
  const { fd, at } = listenStreams(calls, LOOPBACK);
  let taken = 0;
  const onStream = (socket: RawSocket) => {
    taken = performance.now();
    socket.destroy();
  };
  const onFault = (error: Error) => t.fail(error.message);
  const listener = acceptStreams(io, fd, { destinations: false, awaitBytes: true, onStream, onFault });
  const { socket } = await dial(at.port);
  const openedMs = performance.now();
  during(socket);
  await until('the connection', () => taken > 0);
  socket.destroy();
  listener.close();
  return taken - openedMs;
}

t.test('a listener that awaits bytes: at once with a byte or a FIN, a second late without', async (t) => {
  t.ok((await handedOutMs(t, (dialler) => dialler.write('x'))) < 500, 'a byte');
  t.ok((await handedOutMs(t, (dialler) => dialler.end())) < 500, 'a FIN');
  const silentMs = await handedOutMs(t, () => {});
  t.ok(silentMs > 500 && silentMs < 3_000, `a silent one after ${Math.round(silentMs)} ms`);
});

t.test('one that dials and says nothing is accepted all the same; with bytes they are there at once', async (t) => {
  for (const first of ['', 'hello']) {
    const app = await startRecorder();
    const openedMs = performance.now();
    const subject = rawDialler(io, { ...LOOPBACK, port: app.port })();
    if (first !== '') subject.write(Buffer.from(first));
    await until('the connection', () => app.connections[0]?.received().toString() === first);
    t.ok(performance.now() - openedMs < 1_000, first);
    subject.resetAndDestroy();
    await app.close();
  }
});

t.test('two thousand connections leave no descriptor behind', async (t) => {
  const app = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    socket
      .on('data', () => undefined)
      .on('end', () => (Math.random() < 0.2 ? socket.resetAndDestroy() : socket.end('ok')));
  }).listen(0, '127.0.0.1');
  await once(app, 'listening');
  const toApp = rawDialler(io, { ...LOOPBACK, port: (app.address() as AddressInfo).port });
  const { fd, at } = listenStreams(calls, LOOPBACK);
  const open = new Set<RawSocket>();
  const track = (socket: RawSocket) => {
    open.add(socket);
    return earsOf(socket).on('close', () => open.delete(socket));
  };
  const listener = acceptStreams(io, fd, {
    destinations: false,
    onFault: ({ message }) => t.fail(message),
    onStream(from) {
      const to = toApp();
      for (const [socket, other] of [
        [from, to],
        [to, from],
      ] as const) {
        track(socket)
          .on('data', (chunk) => other.write(chunk))
          .on('end', () => other.end())
          .on('close', () => other.destroy());
      }
      from.resume();
    },
  });
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  const one = (kind: number) =>
    new Promise<void>((done) => {
      const socket: Socket = connect({ port: at.port, host: '127.0.0.1', allowHalfOpen: true });
      socket.on('error', () => undefined).on('close', () => done());
      socket.on('data', () => undefined).on('end', () => socket.end());
      socket.on('connect', () => {
        if (kind === 0) socket.resetAndDestroy();
        else if (kind === 1) socket.destroy();
        else socket.end(MEGABYTE.subarray(0, kind * 500));
      });
    });
  for (let i = 0; i < 100; i++) await Promise.all(Array.from({ length: 20 }, (_, k) => one(k % 6)));
  await until('the last close', () => open.size === 0);
  await until('the descriptors', () => descriptors() <= before);
  t.ok(descriptors() <= before, `${descriptors()} descriptors, ${before} before`);
  listener.close();
  app.close();
});
