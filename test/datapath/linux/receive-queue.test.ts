import t from 'tap';
import { RECEIVE_BUFFER_BYTES } from '../../../src/datapath/bind.ts';
import { createReceiveBatch, type ReceiveBatch } from '../../../src/datapath/linux/datagram-batch.ts';
import {
  CALM_MS,
  ReceiveQueue,
  STANDING_BATCHES,
  STANDING_BUFFER_BYTES,
  STILL_BATCHES,
} from '../../../src/datapath/linux/receive-queue.ts';
import { sockaddr } from '../../../src/datapath/linux/sockaddr.ts';
import {
  AF_INET,
  loadSyscalls,
  SO_RCVBUF,
  SOCK_DGRAM,
  SOL_SOCKET,
  type Syscalls,
  SystemError,
} from '../../../src/datapath/linux/syscalls.ts';
import { parseAddress } from '../../../src/wire/address.ts';

const SIZE = 4;

/** A queue whose batches have as many datagrams as the test says. */
function stand(refuse: { yes: boolean } = { yes: false }) {
  const lengths: number[] = [];
  const calls = {
    setInt(_fd: number, _level: number, _option: number, value: number) {
      if (refuse.yes) throw new SystemError('setsockopt', 'EPERM');
      lengths.push(value);
    },
  } as unknown as Syscalls;
  let next = 0;
  const batch = { size: SIZE, receive: () => next } as unknown as ReceiveBatch;
  const queue = new ReceiveQueue(calls, 7);
  const took = (count: number, nowMs: number, times = 1) => {
    next = count;
    for (let i = 0; i < times; i++) t.equal(queue.receive(batch, false, nowMs), count);
  };
  return { lengths, took };
}

t.test('a queue that stands is short until it was calm for a while', async (t) => {
  const { lengths, took } = stand();
  t.strictSame(lengths.splice(0), [RECEIVE_BUFFER_BYTES], 'long at first');
  took(SIZE, 10, STANDING_BATCHES - 1);
  took(SIZE - 1, 10);
  took(SIZE, 10, STANDING_BATCHES - 1);
  took(-1, 10);
  t.strictSame(lengths.splice(0), [], 'a burst, however often, does not stand');
  took(SIZE, 20, 3 * STANDING_BATCHES);
  t.strictSame(lengths.splice(0), [STANDING_BUFFER_BYTES], 'told once');
  took(0, 20 + CALM_MS - 1);
  took(SIZE, 20 + CALM_MS - 1, STILL_BATCHES);
  took(0, 20 + 2 * CALM_MS - 2);
  t.strictSame(lengths.splice(0), [], 'more than it holds of late: still under load');
  took(0, 20 + 2 * CALM_MS - 1);
  took(0, 20 + 9 * CALM_MS);
  t.strictSame(lengths.splice(0), [RECEIVE_BUFFER_BYTES]);
  took(SIZE, 20 + 9 * CALM_MS, STANDING_BATCHES);
  t.strictSame(lengths, [STANDING_BUFFER_BYTES], 'and again');
});

t.test('it is long again though pauses of the thread fill a batch now and then', async (t) => {
  const { lengths, took } = stand();
  took(SIZE, 10, STANDING_BATCHES);
  took(0, 10);
  t.strictSame(lengths.splice(0), [RECEIVE_BUFFER_BYTES, STANDING_BUFFER_BYTES]);
  for (let ms = 20; ms < 10 + CALM_MS; ms += 90) {
    took(SIZE, ms, STILL_BATCHES - 1);
    took(1, ms);
  }
  t.strictSame(lengths.splice(0), []);
  took(SIZE, 10 + CALM_MS);
  t.strictSame(lengths, [RECEIVE_BUFFER_BYTES], 'with the first of a burst');
});

t.test('a kernel that refuses changes nothing', async (t) => {
  const refuse = { yes: false };
  const { lengths, took } = stand(refuse);
  refuse.yes = true;
  took(SIZE, 1, STANDING_BATCHES);
  t.strictSame(lengths, [RECEIVE_BUFFER_BYTES]);
});

t.test('a real socket: what was queued before it became short is all there', async (t) => {
  const calls = await loadSyscalls();
  const batch = createReceiveBatch(calls, SIZE);
  const [fd, from] = [calls.socket(AF_INET, SOCK_DGRAM, 0), calls.socket(AF_INET, SOCK_DGRAM, 0)];
  const queue = new ReceiveQueue(calls, fd);
  const place = sockaddr(parseAddress('127.0.0.1') as Uint8Array, 0);
  calls.bind(fd, place);
  const name = Buffer.from(new ArrayBuffer(32));
  name.writeUInt32LE(16, 28);
  const at = Number(calls.address(name));
  calls.streams.getsockname(fd, at, at + 28);
  t.equal(calls.connect(from, name.subarray(0, 16)), 0);
  const send = (count: number) => {
    for (let i = 0; i < count; i++) t.equal(calls.sendto(from, Buffer.alloc(100), 100, name.subarray(0, 16)), 100);
  };
  const long = calls.getInt(fd, SOL_SOCKET, SO_RCVBUF) as number;
  // The queue never empties. Where the kernel allows it (net.core.rmem_max), it holds more than a short one may.
  const surplus = Math.min(800, Math.floor(long / 2_000));
  send(surplus);
  for (let i = 0; i < STANDING_BATCHES; i++) {
    send(SIZE);
    t.equal(queue.receive(batch, false, 0), SIZE);
  }
  t.equal(calls.getInt(fd, SOL_SOCKET, SO_RCVBUF), Math.min(long, 2 * STANDING_BUFFER_BYTES), 'short');
  let left = 0;
  for (let count = queue.receive(batch, false, 1); count > 0; count = queue.receive(batch, false, 1)) left += count;
  t.equal(left, surplus);
  t.equal(queue.receive(batch, false, CALM_MS + 1), -1);
  t.equal(calls.getInt(fd, SOL_SOCKET, SO_RCVBUF), long, 'long again');
  calls.close(fd);
  calls.close(from);
});
