import t from 'tap';
import { Loop } from '../../../src/datapath/linux/loop.ts';
import { EPOLLIN } from '../../../src/datapath/linux/stream-calls.ts';
import { loadSyscalls } from '../../../src/datapath/linux/syscalls.ts';

const calls = await loadSyscalls();

t.test('an event in hand for a descriptor that was closed is not told to the next one of its number', async (t) => {
  const loop = new Loop(calls, () => performance.now());
  const fds = [calls.eventfd(), calls.eventfd()] as const;
  const told: string[] = [];
  for (const [i, fd] of fds.entries()) {
    const other = fds[1 - i] as number;
    const ready = () => {
      told.push('one of both');
      loop.unwatch(other, true);
      calls.close(other);
      t.equal(calls.eventfd(), other, 'the number again');
      loop.watch(other, EPOLLIN, { ready: () => void told.push('the next one') });
    };
    loop.watch(fd, EPOLLIN, { ready });
    calls.wake(fd);
  }
  loop.turn(100);
  t.same(told, ['one of both']);
  for (const fd of fds) calls.close(fd);
  loop.close();
});

t.test('after bulk the thread rests once before it waits again, and only then', async (t) => {
  const rests: number[] = [];
  const streams = { ...calls.streams, rest: (us: number) => void rests.push(us) };
  const loop = new Loop(Object.assign(Object.create(calls), { streams }), () => performance.now());
  const bulk = { later: () => {} };
  loop.turn(1);
  t.same(rests, [], 'no bulk');
  loop.deferBulk(bulk);
  loop.turn(1);
  t.same(rests, [], 'it is served at once');
  loop.defer(bulk);
  loop.turn(1);
  t.same(rests, [], 'what was put off does not wait for it');
  loop.deferBulk(bulk);
  loop.deferBulk({ later: () => loop.deferBulk(bulk) });
  loop.turn(1);
  loop.turn(1);
  t.same(rests, [], 'nor does the rest of the bulk');
  loop.turn(1);
  t.equal(rests.length, 1);
  loop.turn(1);
  t.equal(rests.length, 1);
  t.ok((rests[0] ?? 0) > 0 && (rests[0] ?? 0) < 1_000, 'µs');
  loop.close();
  const fromMs = performance.now();
  calls.streams.rest(2_000);
  t.ok(performance.now() - fromMs >= 2);
});
