/** A measure of TCP whose load breaks: it fails by itself, with the reason, and what the run has measured before is kept. */
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { Context } from '../../bench/measure.ts';
import { TCP } from '../../bench/tcp.ts';

/** Loads that come to a good end: one without a proxy, and six that warm it. */
const GOOD_LOADS = 7;

t.test('a load that fails while its proxy is watched fails its measure alone', { timeout: 30_000 }, async (t) => {
  const dir = t.testdir();
  const program = (name: string, lines: string) => {
    writeFileSync(join(dir, name), `#!/bin/sh\n${lines}\n`);
    chmodSync(join(dir, name), 0o755);
  };
  program('tcp-sink', `echo up; while read -r line; do echo '{"good":0,"wrong":0,"broken":0}'; done`);
  program('tcp-forward', 'exec sleep 60');
  program(
    'tcp-load',
    `echo x >> ${dir}/loads; [ "$(wc -l < ${dir}/loads)" -le ${GOOD_LOADS} ] || { echo no port >&2; exit 1; }; echo '{}'`,
  );
  const proxy = createServer((socket) => socket.on('error', () => undefined).end());
  await new Promise<void>((resolve) => proxy.listen(7946, '127.8.0.5', resolve));
  t.teardown(() => proxy.close());
  const context: Context = {
    programs: (name) => join(dir, name),
    ringfence: { node: process.execPath, entry: '' },
    cores: { proxy: 0, load: 0 },
    engines: ['c'],
    rounds: 1,
    sampleMs: 600,
    short: true,
    dir,
    say: () => undefined,
  };
  const measure = TCP.find(({ name }) => name === 'tcp_connections');
  if (measure === undefined) throw new Error('no such measure');
  const stand = await measure.open(context);
  await t.rejects(stand.round(), /tcp-load ended with 1: no port/);
  await stand.close();
});
