/** Which thread gets the core first, as the kernel tells it: /proc and sched_getattr. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { release } from 'node:os';
import { basename } from 'node:path';
import t from 'tap';
import { startThread } from '../../../src/datapath/linux/engine-thread.ts';
import { loadSyscalls } from '../../../src/datapath/linux/syscalls.ts';
import { preferThisThread } from '../../../src/datapath/linux/thread-priority.ts';

const NICE_MAX = 19;
const SLICE_NS = 100_000n;

/** The nice value of each thread of this process, by its number. */
function nices(): Map<string, number> {
  return new Map(
    readdirSync('/proc/self/task').map((thread) => {
      const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8');
      // After the name, which may hold anything but ends with the last parenthesis: state is field 3, nice field 19.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [thread, Number(fields[16])];
    }),
  );
}

t.test('the engine thread keeps its nice value, all others are nicer, and what they start is too', async (t) => {
  const before = nices();
  const base = before.get(String(process.pid)) ?? Number.NaN;
  const thread = startThread({ onMessage: () => undefined, onDeath: (why) => t.fail(why) });
  t.equal(await thread.up, undefined);
  t.equal(thread.unpreferred(), undefined, 'needs no privilege');
  const after = nices();
  const first = [...after].filter(([, nice]) => nice === base);
  t.equal(first.length, 1, 'one thread');
  t.notOk(before.has(first[0]?.[0] ?? ''), 'which is new');
  t.same(new Set(after.values()), new Set([base, Math.min(NICE_MAX, base + 10)]));
  await thread.stop();
  const next = startThread({ onMessage: () => undefined, onDeath: (why) => t.fail(why) });
  t.equal(await next.up, undefined);
  t.equal(Math.max(...nices().values()), Math.min(NICE_MAX, base + 10), 'another one later makes nothing nicer again');
  await next.stop();
});

t.test('the thread that calls gets a short slice and nothing else of it changes', async (t) => {
  const calls = await loadSyscalls();
  const attr = () => {
    const bytes = Buffer.alloc(48);
    t.ok(calls.schedGet(bytes));
    return { policy: bytes.readUInt32LE(4), nice: bytes.readInt32LE(16), sliceNs: bytes.readBigUInt64LE(24) };
  };
  const before = attr();
  t.equal(preferThisThread(calls, before.nice), undefined);
  const { sliceNs, ...rest } = attr();
  t.same(rest, { policy: before.policy, nice: before.nice });
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (major > 6 || (major === 6 && minor >= 12)) t.equal(sliceNs, SLICE_NS);
  const own = basename(readlinkSync('/proc/thread-self'));
  for (const [thread, nice] of nices()) if (thread !== own) t.ok(nice > before.nice || nice === NICE_MAX, thread);
});

t.test('a kernel, or a filter of system calls, that refuses: it is said by name, and that is all', async (t) => {
  const refusing = (schedGet: boolean) => ({ schedGet: () => schedGet, schedSet: () => false, errno: () => 'EPERM' });
  t.equal(preferThisThread(refusing(true), 0), 'sched_setattr: EPERM');
  t.equal(preferThisThread(refusing(false), 0), 'sched_getattr: EPERM');
});
