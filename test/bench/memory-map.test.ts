/** What the benchmark says that memory is for: by name, and by place and size where a mapping has none. */
import t from 'tap';
import { describeMemory, USES, usesOf } from '../../bench/memory-map.ts';

const mapping = (span: string, flags: string, name: string, rssMb: number) =>
  `${span} ${flags} 00000000 08:01 1234                       ${name}\nSize:  9999 kB\nRss:  ${rssMb * 1024} kB\nPss:  1 kB\nVmFlags: rd mr\n`;

t.test('each mapping counts once, for what it holds', async (t) => {
  const uses = usesOf(
    [
      mapping('00400000-00800000', 'r-xp', '/usr/bin/node', 1),
      mapping('00800000-00900000', 'rw-p', '/usr/bin/node', 2),
      mapping('01000000-02000000', 'rw-p', '[heap]', 4),
      mapping('7f0000000000-7f0000100000', 'rw-p', '', 8),
      mapping('7f0010000000-7f0010100000', 'r-xp', '', 16),
      mapping('7f0010140000-7f0010240000', 'rw-p', '', 32),
      mapping('7f0010241000-7f0010341000', 'rw-p', '', 64),
      mapping('7f0011001000-7f0011801000', 'rw-p', '', 128),
      mapping('7f0012000000-7f0012100000', 'r--p', '/x/koffi.node', 256),
      mapping('7f0013000000-7f0013100000', 'r--p', '/lib/libc.so.6', 512),
      mapping('7ffd00000000-7ffd00021000', 'rw-p', '[stack]', 1024),
    ].join(''),
  );
  t.same(
    USES.map((use) => uses.get(use)),
    [3, 256, 512, 32, 16, 12, 1152, 64],
  );
});

t.test('of this process: what adds up to what it has', async (t) => {
  const line = describeMemory(process.pid);
  t.match(line, /^node's program \d+\.\d, .*V8 heaps \d/);
  const sum = [...line.matchAll(/ (\d+\.\d)/g)].reduce((total, [, mb]) => total + Number(mb), 0);
  const haveMb = process.memoryUsage.rss() / 1_048_576;
  t.ok(Math.abs(sum - haveMb) < haveMb * 0.2, `${sum} of ${haveMb}`);
});
