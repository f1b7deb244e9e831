/** When a UDP socket's queue is read: by itself with a clock of the test's, and on a real socket under load. */
import t from 'tap';
import { createDatagramBatches } from '../../../src/datapath/linux/datagram-batch.ts';
import { Loop } from '../../../src/datapath/linux/loop.ts';
import {
  CALM_FOUND,
  CALM_LOOKS,
  CLOCK_MS,
  CROWDED_MS,
  FILL_MAX,
  LOOKS_MAX,
  LOOKS_WITHIN_MS,
  QueueWatch,
  TURN_MAX,
} from '../../../src/datapath/linux/queue-watch.ts';
import { ReceiveQueue } from '../../../src/datapath/linux/receive-queue.ts';
import { SOCKADDR_IN_BYTES, sockaddr } from '../../../src/datapath/linux/sockaddr.ts';
import {
  AF_INET,
  loadSyscalls,
  SOCK_DGRAM,
  SOL_SOCKET,
  type Syscalls,
  SystemError,
} from '../../../src/datapath/linux/syscalls.ts';
import { createTimerQueue } from '../../../src/datapath/timers.ts';
import { parseAddress } from '../../../src/wire/address.ts';

const MIB = 1024 * 1024;
const SO_RCVBUFFORCE = 33;

function stand() {
  const state = {
    nowMs: 1_000,
    fill: 0,
    room: true,
    asked: 0,
    found: CALM_FOUND,
    looks: 0,
    watched: false,
    refuses: false,
  };
  const timers = createTimerQueue(() => state.nowMs);
  const loop = {
    timers,
    now: () => state.nowMs,
    unwatch() {
      state.watched = false;
    },
    watch() {
      if (state.refuses) throw new SystemError('epoll_ctl', 'ENOMEM');
      state.watched = true;
    },
  } as unknown as Loop;
  const fill = () => {
    state.asked++;
    return state.room ? state.fill : 1;
  };
  const watch = new QueueWatch(loop, { fd: 7, fill }, () => {
    state.looks++;
    state.fill = 0;
    return state.found;
  });
  const told = (times: number) => {
    for (let i = 0; i < times; i++) watch.ready();
  };
  const pass = (ms: number) => {
    for (let i = 0; i < ms; i++) timers.run(++state.nowMs);
  };
  const looks = () => {
    const { looks: made } = state;
    state.looks = 0;
    return made;
  };
  return { state, watch, told, pass, looks, nextMs: () => timers.nextMs() };
}

t.test('many looks at once are made by the clock, until they find little', async (t) => {
  const { state, told, pass, looks, nextMs } = stand();
  t.equal(state.watched, true);
  told(LOOKS_MAX - 1);
  state.nowMs += LOOKS_WITHIN_MS;
  told(LOOKS_MAX - 1);
  t.strictSame([state.watched, nextMs()], [true, undefined], 'as many, but in a longer time');
  looks();
  told(1);
  t.strictSame([state.watched, looks()], [false, 1]);
  pass(20 * CLOCK_MS);
  t.equal(looks(), 20, 'one each time');
  for (let i = 0; i < 3; i++) {
    state.found = CALM_FOUND - 1;
    pass((CALM_LOOKS - 1) * CLOCK_MS);
    state.found = CALM_FOUND;
    pass(CLOCK_MS);
  }
  t.equal(state.watched, false, 'not so many that found little in a row');
  state.found = -1;
  pass(CALM_LOOKS * CLOCK_MS);
  t.strictSame([state.watched, nextMs()], [true, undefined], 'the clock rests');
  told(LOOKS_MAX);
  t.equal(state.watched, false, 'and again');
  pass(CALM_LOOKS * CLOCK_MS - 1);
  t.equal(state.watched, false, 'what was found before counts no more');
});

t.test('what is more than one look takes does not wait for the next', async (t) => {
  const { state, told, pass } = stand();
  told(LOOKS_MAX);
  state.found = TURN_MAX - 1;
  pass(3 * CLOCK_MS);
  t.equal(state.watched, false);
  state.found = TURN_MAX;
  pass(CLOCK_MS);
  t.equal(state.watched, true);
  told(LOOKS_MAX);
  t.equal(state.watched, false, 'and may be by the clock again');
});

t.test('a queue that fills too far is read as it comes, for a while', async (t) => {
  const { state, told, pass, looks } = stand();
  told(LOOKS_MAX);
  looks();
  state.fill = FILL_MAX;
  pass(CLOCK_MS);
  t.equal(state.watched, false);
  state.fill = FILL_MAX + 0.01;
  pass(CLOCK_MS);
  t.equal(state.watched, true);
  t.equal(looks(), 2, 'what made it full is read');
  state.nowMs += CROWDED_MS - 1;
  told(3 * LOOKS_MAX);
  t.equal(state.watched, true);
  state.nowMs += 1;
  told(LOOKS_MAX - 1);
  t.equal(state.watched, true);
  told(1);
  t.equal(state.watched, false);
});

t.test('a kernel that refuses to watch it again is asked the next time; a stop ends either', async (t) => {
  const { state, watch, told, pass, looks, nextMs } = stand();
  told(LOOKS_MAX);
  state.refuses = true;
  state.found = 0;
  pass(3 * CALM_LOOKS);
  t.equal(state.watched, false);
  state.refuses = false;
  looks();
  pass(CLOCK_MS);
  t.strictSame([state.watched, looks()], [true, 1]);
  told(LOOKS_MAX);
  watch.stop();
  t.equal(nextMs(), undefined);
  const other = stand();
  other.watch.stop();
  t.equal(other.state.watched, false);
});

t.test('a queue without room is never read by the clock, and not asked again for a while', async (t) => {
  const { state, told } = stand();
  state.room = false;
  told(LOOKS_MAX);
  t.strictSame([state.watched, state.asked], [true, 1]);
  state.room = true;
  state.nowMs += CROWDED_MS - 1;
  told(2 * LOOKS_MAX);
  t.strictSame([state.watched, state.asked], [true, 1]);
  state.nowMs += 1;
  told(LOOKS_MAX);
  t.strictSame([state.watched, state.asked], [false, 2]);
});

/** A UDP socket with room for `roomBytes`, and how to send to it. */
async function realSocket(roomBytes: number) {
  const calls = await loadSyscalls();
  const [fd, from] = [calls.socket(AF_INET, SOCK_DGRAM, 0), calls.socket(AF_INET, SOCK_DGRAM, 0)];
  const queue = new ReceiveQueue(calls, fd);
  calls.setInt(fd, SOL_SOCKET, SO_RCVBUFFORCE, roomBytes / 2);
  calls.bind(fd, sockaddr(parseAddress('127.0.0.1') as Uint8Array, 0));
  const name = Buffer.from(new ArrayBuffer(32));
  name.writeUInt32LE(SOCKADDR_IN_BYTES, 28);
  const at = Number(calls.address(name));
  calls.streams.getsockname(fd, at, at + 28);
  const send = () => void calls.sendto(from, Buffer.alloc(100), 100, name.subarray(0, SOCKADDR_IN_BYTES));
  const close = () => {
    calls.close(fd);
    calls.close(from);
  };
  return { calls, fd, queue, send, close };
}

t.test('the fill of a real socket', async (t) => {
  const { queue, send, close } = await realSocket(4 * MIB);
  t.equal(queue.fill(), 0);
  for (let i = 0; i < 50; i++) send();
  const fill = queue.fill();
  t.ok(fill > 0 && fill < FILL_MAX, `${fill}`);
  close();
  const small = await realSocket(MIB / 2);
  t.equal(small.queue.fill(), 1, 'little room counts as full');
  small.close();
  const mute = new ReceiveQueue({ setInt() {}, getBytes: () => undefined } as unknown as Syscalls, 7);
  t.equal(mute.fill(), 1, 'and so does what the kernel does not tell');
});

t.test('a datagram at a time to a real socket, and none is left', async (t) => {
  const { calls, queue, send, close } = await realSocket(4 * MIB);
  const { received } = createDatagramBatches(calls);
  // A clock so slow that any machine makes many looks within a millisecond.
  const loop = new Loop(calls, () => performance.now() / 10);
  let taken = 0;
  let looks = 0;
  const watch = new QueueWatch(loop, queue, () => {
    looks++;
    const count = queue.receive(received, false, 0);
    taken += Math.max(0, count);
    return count;
  });
  const all = LOOKS_MAX * 8;
  for (let sent = 0; sent < all; ) {
    if (sent - taken < 60) {
      send();
      sent++;
    }
    loop.turn(0);
  }
  for (let i = 0; i < 1_000 && taken < all; i++) loop.turn(1);
  t.equal(taken, all);
  t.ok(looks < LOOKS_MAX * 2, `${looks}`);
  watch.stop();
  loop.close();
  close();
});
