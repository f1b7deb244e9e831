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
} from '../../../src/datapath/linux/queue-watch.ts';
import { ReceiveQueue } from '../../../src/datapath/linux/receive-queue.ts';
import { SOCKADDR_IN_BYTES, sockaddr } from '../../../src/datapath/linux/sockaddr.ts';
import { AF_INET, loadSyscalls, SOCK_DGRAM, type Syscalls, SystemError } from '../../../src/datapath/linux/syscalls.ts';
import { createTimerQueue } from '../../../src/datapath/timers.ts';
import { parseAddress } from '../../../src/wire/address.ts';

function stand() {
  const state = { nowMs: 1_000, fill: 0, found: CALM_FOUND, looks: 0, watched: false, refuses: false };
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
  const watch = new QueueWatch(loop, { fd: 7, fill: () => state.fill }, () => {
    state.looks++;
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
});

t.test('a queue that fills too far is read as it comes, for a while', async (t) => {
  const { state, told, pass } = stand();
  told(LOOKS_MAX);
  state.fill = FILL_MAX;
  pass(CLOCK_MS);
  t.equal(state.watched, false);
  state.fill = FILL_MAX + 0.01;
  pass(CLOCK_MS);
  t.equal(state.watched, true);
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

t.test('the fill of a real socket, and one that the kernel does not tell', async (t) => {
  const calls = await loadSyscalls();
  const { received } = createDatagramBatches(calls);
  const [fd, from] = [calls.socket(AF_INET, SOCK_DGRAM, 0), calls.socket(AF_INET, SOCK_DGRAM, 0)];
  const queue = new ReceiveQueue(calls, fd);
  calls.bind(fd, sockaddr(parseAddress('127.0.0.1') as Uint8Array, 0));
  const name = Buffer.from(new ArrayBuffer(32));
  name.writeUInt32LE(SOCKADDR_IN_BYTES, 28);
  const at = Number(calls.address(name));
  calls.streams.getsockname(fd, at, at + 28);
  t.equal(queue.fill(), 0);
  for (let i = 0; i < 50; i++) calls.sendto(from, Buffer.alloc(100), 100, name.subarray(0, SOCKADDR_IN_BYTES));
  const fill = queue.fill();
  t.ok(fill > 0 && fill < 1, `${fill}`);

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
  loop.turn(100);
  t.equal(taken, 50);
  // A datagram each time: by the clock from some time on, and none is left.
  for (let i = 0; i < LOOKS_MAX * 8; i++) {
    calls.sendto(from, Buffer.alloc(100), 100, name.subarray(0, SOCKADDR_IN_BYTES));
    loop.turn(0);
  }
  for (let i = 0; i < 1_000 && taken < 50 + LOOKS_MAX * 8; i++) loop.turn(1);
  t.equal(taken, 50 + LOOKS_MAX * 8);
  t.ok(looks < LOOKS_MAX * 4, `${looks}`);
  watch.stop();
  loop.close();
  calls.close(fd);
  calls.close(from);

  const mute = new ReceiveQueue({ setInt() {}, getBytes: () => undefined } as unknown as Syscalls, 7);
  t.equal(mute.fill(), 1, 'counts as full');
});
