/** What is let go after the start: only unchanged pages of the program itself; and the process lives on. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { letGoOfStartPages, unchangedPages } from '../../../src/datapath/linux/start-pages.ts';
import { loadSyscalls } from '../../../src/datapath/linux/syscalls.ts';

const range = (span: string, flags: string, path: string, anonymousKb: number) =>
  `${span} ${flags} 00000000 08:01 1234                       ${path}\nSize:  8 kB\nRss:  8 kB\nAnonymous:        ${anonymousKb} kB\nVmFlags: rd mr\n`;

t.test('read-only parts of the program without a page of the own', async (t) => {
  const smaps = [
    range('00400000-00402000', 'r--p', '/usr/bin/node', 0),
    range('00402000-00403000', 'r-xp', '/usr/bin/node', 0),
    range('00403000-00404000', 'r-xp', '/usr/bin/node', 4),
    range('00404000-00405000', 'rw-p', '/usr/bin/node', 0),
    range('00405000-00406000', 'r--p', '/usr/bin/node-other', 0),
    range('7fdc64000000-7fdc64001000', 'r-xp', '/usr/lib/libc.so.6', 0),
    range('7ffd00000000-7ffd00001000', 'r--p', '', 0),
  ].join('');
  t.same(unchangedPages(smaps, '/usr/bin/node'), [
    { from: 0x400000, bytes: 0x2000 },
    { from: 0x402000, bytes: 0x1000 },
  ]);
});

t.test('a kernel that says nothing of own pages: nothing', async (t) => {
  const smaps = range('00400000-00402000', 'r--p', '/usr/bin/node', 0).replace(/Anonymous.*\n/, '');
  t.same(unchangedPages(smaps, '/usr/bin/node'), []);
});

t.test('in this process: megabytes less, and everything still runs', async (t) => {
  const calls = await loadSyscalls();
  t.ok(letGoOfStartPages(calls) > 4 * 1024 * 1024);
  t.equal(JSON.parse(JSON.stringify({ text: 'still here' })).text, 'still here');
  t.match(readFileSync('/proc/self/status', 'utf8'), /VmRSS/);
  t.equal(new Function('return 6 * 7')(), 42);
});

t.test('where the kernel refuses nothing is gained and nothing thrown', async (t) => {
  t.ok(letGoOfStartPages({ letGo: () => false }) < 4 * 1024 * 1024);
});
