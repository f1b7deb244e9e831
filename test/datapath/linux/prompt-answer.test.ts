// Whoever is dialled and answers before the engine's next turn is over is read without being watched; others are watched from then on.
import t from 'tap';
import { listenStreams } from '../../../src/datapath/linux/accept-loop.ts';
import { Loop } from '../../../src/datapath/linux/loop.ts';
import { rawDialler } from '../../../src/datapath/linux/raw-dial.ts';
import { RawIo } from '../../../src/datapath/linux/raw-io.ts';
import type { RawSocket } from '../../../src/datapath/linux/raw-socket.ts';
import { loadSyscalls, type Syscalls } from '../../../src/datapath/linux/syscalls.ts';
import { storyOf } from './raw-kit.ts';

const calls = await loadSyscalls();
const WAIT_MS = 1_000;

/** A connection to somebody who does what the test says, over a loop that the test turns. */
function dialled() {
  const watched: number[] = [];
  const { streams } = calls;
  const counting: Syscalls = {
    ...calls,
    streams: {
      ...streams,
      epollAdd(epoll, fd, events, low, high) {
        watched.push(fd);
        streams.epollAdd(epoll, fd, events, low, high);
      },
    },
  };
  const loop = new Loop(counting, () => performance.now());
  const listener = listenStreams(calls, { address: '127.0.0.1', port: 0 });
  const socket: RawSocket = rawDialler(new RawIo(loop, counting), listener.at)();
  const story = storyOf(socket);
  const memory = Buffer.from(new ArrayBuffer(64));
  const at = Number(calls.address(memory));
  memory.writeUInt32LE(28, 32);
  const accept = () => streams.accept(listener.fd, at, at + 32);
  const close = () => {
    socket.destroy();
    loop.turn(0);
    calls.close(listener.fd);
    loop.close();
  };
  return { loop, socket, story, watched, accept, close };
}

t.test('an answer and its end, before the next turn: never watched', async (t) => {
  const { loop, socket, story, watched, accept, close } = dialled();
  socket.write(Buffer.from('question'));
  loop.turn(0);
  t.notOk(socket.connecting, 'sent in one turn');
  const peer = accept();
  calls.streams.sendBytes(peer, Buffer.from('answer'), false);
  calls.streams.shutdown(peer);
  const startMs = performance.now();
  loop.turn(WAIT_MS);
  t.ok(performance.now() - startMs < WAIT_MS, 'the next one does not wait');
  t.same(story, ['answer', 'end']);
  t.same(watched, []);
  calls.close(peer);
  close();
});

t.test('a reset before the next turn is told', async (t) => {
  const { loop, socket, story, watched, accept, close } = dialled();
  socket.write(Buffer.from('question'));
  loop.turn(0);
  const peer = accept();
  calls.streams.lingerZero(peer);
  calls.close(peer);
  loop.turn(WAIT_MS);
  loop.turn(0);
  t.same(story, ['error', 'close']);
  t.same(watched, []);
  close();
});

t.test('an answer that takes longer: watched from the next turn on, once', async (t) => {
  const { loop, socket, story, watched, accept, close } = dialled();
  socket.write(Buffer.from('question'));
  loop.turn(0);
  const peer = accept();
  loop.turn(WAIT_MS);
  t.same(story, []);
  t.same(watched, [socket.fd]);
  calls.streams.sendBytes(peer, Buffer.from('answer'), false);
  loop.turn(WAIT_MS);
  calls.streams.shutdown(peer);
  loop.turn(WAIT_MS);
  t.same(story, ['answer', 'end']);
  t.same(watched, [socket.fd]);
  calls.close(peer);
  close();
});

t.test('one that is paused meanwhile is not read, and waits', async (t) => {
  const { loop, socket, story, accept, close } = dialled();
  socket.write(Buffer.from('question'));
  loop.turn(0);
  socket.pause();
  const peer = accept();
  calls.streams.sendBytes(peer, Buffer.from('answer'), false);
  loop.turn(WAIT_MS);
  t.same(story, []);
  socket.resume();
  loop.turn(WAIT_MS);
  t.same(story, ['answer']);
  calls.close(peer);
  close();
});
