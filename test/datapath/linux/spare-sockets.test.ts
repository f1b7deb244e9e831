// What was dialled and ended in order is dialled anew: the same descriptor, another connection. All others are closed.
import { readdirSync } from 'node:fs';
import t from 'tap';
import { listenStreams } from '../../../src/datapath/linux/accept-loop.ts';
import { Loop } from '../../../src/datapath/linux/loop.ts';
import { rawDialler } from '../../../src/datapath/linux/raw-dial.ts';
import { RawIo } from '../../../src/datapath/linux/raw-io.ts';
import type { RawSocket } from '../../../src/datapath/linux/raw-socket.ts';
import { SPARES_MAX, SpareSockets } from '../../../src/datapath/linux/spare-sockets.ts';
import { AF_INET, loadSyscalls } from '../../../src/datapath/linux/syscalls.ts';
import { earsOf } from '../ears.ts';
import { storyOf } from './raw-kit.ts';

const calls = await loadSyscalls();
const { streams } = calls;
const WAIT_MS = 1_000;

const memory = Buffer.from(new ArrayBuffer(128));
const at = Number(calls.address(memory));

/** Who is dialled, and turns of the loop by hand. */
function app() {
  const loop = new Loop(calls, () => performance.now());
  const io = new RawIo(loop, calls);
  const listener = listenStreams(calls, { address: '127.0.0.1', port: 0 });
  const dial = rawDialler(io, listener.at);
  /** Writes, and ends where `ends`; gives the side of the app too. */
  const ask = (question: string, ends = true) => {
    const socket: RawSocket = dial();
    const story = storyOf(socket);
    socket.write(Buffer.from(question));
    if (ends) socket.end();
    loop.turn(0);
    memory.writeUInt32LE(28, 32);
    const peer = streams.accept(listener.fd, at, at + 32);
    t.ok(peer >= 0, 'accepted');
    return { socket, story, peer, from: memory.readUInt16BE(2) };
  };
  const received = (peer: number) => {
    let all = '';
    for (let got = streams.recv(peer, at + 64, 64); got > 0; got = streams.recv(peer, at + 64, 64))
      all += memory.toString('latin1', 64, 64 + got);
    return all;
  };
  const settle = () => {
    for (let turns = 0; turns < 3; turns++) loop.turn(0);
  };
  const close = () => {
    io.spares.close();
    calls.close(listener.fd);
    loop.close();
  };
  return { io, loop, ask, received, settle, close };
}

const descriptors = () => readdirSync('/proc/self/fd').length;

t.test('one connection after the other, over one descriptor', async (t) => {
  const before = descriptors();
  const { loop, ask, received, settle, close } = app();
  const first = ask('first');
  streams.sendBytes(first.peer, Buffer.from('answer'), false);
  calls.close(first.peer);
  loop.turn(WAIT_MS);
  settle();
  // Its bytes were not read before the close: a reset, after an answer that is lost with it.
  t.same(first.story.at(-1), 'close');
  for (let round = 0; round < 3; round++) {
    const one = ask(`question ${round}`);
    t.equal(received(one.peer), `question ${round}`);
    streams.sendBytes(one.peer, Buffer.from(`answer ${round}`), false);
    streams.shutdown(one.peer);
    settle();
    t.same(one.story, [`answer ${round}`, 'end', 'close']);
    const other = ask('another');
    t.equal(other.socket.fd, one.socket.fd, 'dialled anew');
    t.not(other.from, one.from, 'from another port');
    t.equal(received(one.peer), '', 'the first hears nothing more');
    t.equal(received(other.peer), 'another');
    streams.shutdown(other.peer);
    settle();
    t.same(other.story, ['end', 'close']);
    t.same(one.story, [`answer ${round}`, 'end', 'close'], 'and is told nothing more');
    calls.close(one.peer);
    calls.close(other.peer);
  }
  close();
  t.equal(descriptors(), before);
});

/** Each ends a connection so that its socket must not be dialled anew. */
const ENDINGS: Readonly<Record<string, (side: ReturnType<typeof app>) => void>> = {
  'reset by the peer'({ ask, settle }) {
    const { peer } = ask('question');
    streams.lingerZero(peer);
    calls.close(peer);
    settle();
  },
  'reset by us as the end comes': ({ ask, received, settle }) => {
    const { socket, peer } = ask('question');
    earsOf(socket).on('end', () => void socket.resetAndDestroy());
    received(peer);
    streams.shutdown(peer);
    settle();
    calls.close(peer);
  },
  'ended by the peer first, our end not acknowledged'({ ask, received, settle }) {
    const { socket, peer } = ask('question', false);
    received(peer);
    streams.shutdown(peer);
    settle();
    socket.end();
    settle();
    calls.close(peer);
  },
  watched({ ask, received, settle }) {
    const { peer } = ask('question');
    settle();
    received(peer);
    streams.shutdown(peer);
    settle();
    calls.close(peer);
  },
  'written to more than once'({ ask, received, settle }) {
    const { socket, peer } = ask('question', false);
    socket.write(Buffer.from('more'));
    socket.end();
    received(peer);
    streams.shutdown(peer);
    settle();
    calls.close(peer);
  },
};

for (const [name, ending] of Object.entries(ENDINGS)) {
  t.test(`${name}: closed`, async (t) => {
    const before = descriptors();
    const side = app();
    const own = descriptors();
    ending(side);
    t.equal(descriptors(), own, 'none is kept');
    side.close();
    t.equal(descriptors(), before);
  });
}

t.test('as many as there is room for are kept, of those that have come to their end', (t) => {
  const before = descriptors();
  const listener = listenStreams(calls, { address: '127.0.0.1', port: 0 });
  const name = Buffer.alloc(16);
  name.writeUInt16LE(AF_INET, 0);
  name.writeUInt16BE(listener.at.port, 2);
  name.set([127, 0, 0, 1], 4);
  const spares = new SpareSockets(calls, AF_INET);
  const ended = Array.from({ length: SPARES_MAX + 1 }, () => {
    const fd = spares.take();
    calls.connect(fd, name);
    streams.sendBytes(fd, Buffer.from('x'), true);
    streams.shutdown(fd);
    memory.writeUInt32LE(28, 32);
    const peer = streams.accept(listener.fd, at, at + 32);
    t.equal(streams.disconnect(fd), false, 'not while the other side may write');
    calls.close(peer);
    return fd;
  });
  const failed = ended.filter((fd) => streams.pendingError(fd) !== 0);
  t.equal(failed.length, ended.length, 'each was reset: the app had not read');
  for (const fd of ended) spares.give(fd);
  t.equal(descriptors(), before + 1 + SPARES_MAX, 'one beyond the bound is closed');
  spares.close();
  calls.close(listener.fd);
  t.equal(descriptors(), before);
  t.end();
});
