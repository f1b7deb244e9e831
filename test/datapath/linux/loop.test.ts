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
