import t from 'tap';
import { createBroadcasts } from '../../src/demo/broadcasts.ts';

const message = (byte: number, size = 10) => new Uint8Array(size).fill(byte);
const kinds = (taken: Uint8Array[]) => taken.map((bytes) => bytes[0]);

t.test('news is sent four times for each power of ten of members, then dropped', async (t) => {
  for (const [members, times] of [
    [1, 4],
    [9, 4],
    [10, 8],
    [100, 12],
  ] as const) {
    let done = 0;
    const queue = createBroadcasts(() => members);
    queue.queue('a', message(1), () => done++);
    let sent = 0;
    while (queue.take(1_400).length > 0 && sent < 100) sent++;
    t.strictSame([sent, done], [times, 1], `${members} members`);
  }
});

t.test('newer news about a member replaces older, and says so', async (t) => {
  let dropped = 0;
  const queue = createBroadcasts(() => 3);
  queue.queue('a', message(1), () => dropped++);
  queue.queue('a', message(2));
  t.equal(dropped, 1);
  t.strictSame(kinds(queue.take(1_400)), [2]);
});

t.test('the least often sent goes first, and only what fits', async (t) => {
  const queue = createBroadcasts(() => 3);
  queue.queue('a', message(1));
  queue.take(1_400);
  queue.queue('b', message(2));
  t.strictSame(kinds(queue.take(12)), [2], 'twelve bytes hold one message and its two length bytes');
  t.strictSame(kinds(queue.take(11)), []);
  t.equal(queue.take(24).length, 2);
});

t.test('a compound has room for 254 beside the message that carries it', async (t) => {
  const queue = createBroadcasts(() => 3);
  for (let i = 0; i < 300; i++) queue.queue(`m${i}`, message(1, 1));
  t.equal(queue.take(100_000).length, 254);
});
