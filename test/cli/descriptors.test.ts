/** Files that the bounds may open, against what the process may. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { descriptorsNeeded, openFilesLimit } from '../../src/cli/descriptors.ts';
import { resolveFence } from '../../src/config/resolve.ts';
import { configSchema } from '../../src/config/schema.ts';
import { SPARES_MAX } from '../../src/datapath/linux/spare-sockets.ts';
import { PIPES_MAX } from '../../src/datapath/linux/splice-pipes.ts';
import { DIST } from './fence-process.ts';

const needed = (...fences: object[]) => {
  const file = configSchema.parse({ fences: fences.map((fence, i) => ({ name: `f${i}`, cluster: 'c', ...fence })) });
  return descriptorsNeeded(file.fences.map(resolveFence));
};
const listen = { listen: '127.0.0.1:1', app: { address: '127.0.0.1:2' } };

t.test('two a stream, in each direction that is fenced; one a session in listen mode', async (t) => {
  const limits = { streams: 10, sessions: 1_000 };
  const bare = needed({ transparent: {}, limits: { ...limits, streams: 1 } }) - 4;
  t.ok(
    bare > 128 + 2 * PIPES_MAX + 2 * SPARES_MAX,
    'the admin API, the pipes of bulk streams and sockets to dial anew have their share',
  );
  t.equal(needed({ transparent: {}, limits }), bare + 40);
  t.equal(needed({ ...listen, limits }), bare + 1_020);
  t.equal(needed({ ...listen, limits }, { transparent: {}, limits }), bare + 1_060);
});

t.test('the limit is read from the kernel', async (t) => {
  const line = (soft: string) =>
    `Limit\nMax open files            ${soft}                 4096                 files     \n`;
  t.equal(openFilesLimit(line('1024')), 1024);
  t.equal(openFilesLimit(line('unlimited')), undefined);
  t.equal(openFilesLimit(''), undefined);
});

t.test(
  'run warns when there are too few',
  { skip: process.platform !== 'linux' && 'LEFT OUT: needs Linux' },
  async (t) => {
    // The admin port is taken, so that it ends by itself after its first lines.
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    t.teardown(() => taken.close());
    const { port } = taken.address() as { port: number };
    const file = join(t.testdir({}), 'f.yaml');
    const run = (limits: string) => {
      const fence = `{ name: a, cluster: b, stage: observe, listen: "127.0.0.1:1", app: { address: "127.0.0.1:2" }, limits: { ${limits} } }`;
      writeFileSync(file, `fences: [${fence}]\nadmin: { address: "127.0.0.1:${port}" }\n`);
      const script = 'ulimit -n 1000 && exec "$0" "$@"';
      return spawnSync('sh', ['-c', script, process.execPath, DIST, 'run', '-c', file], {
        encoding: 'utf8',
        timeout: 15_000,
      });
    };
    const many = run('streams: 100, sessions: 1000');
    t.equal(many.status, 1, many.stderr);
    t.match(
      many.stdout,
      /"level":"warn".*this process may open 1000 files, and the limits of its fences add up to 1584: raise/,
    );
    const few = run('streams: 100, sessions: 100');
    t.match([few.status, few.stdout], [1, /ringfence starts/]);
    t.notMatch(few.stdout, /may open/);
  },
);
