/** What a start loads, and how: the launcher's flags, V8's code of the bundles, and which parts of node a running fence has asked for. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { DIST, freePort } from './fence-process.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const TIMEOUT_MS = 60_000;
/** Parts of node besides those that node itself starts with; 90 today. Each costs a millisecond and some 100 kB. */
const PARTS_MAX = 130;
/** What only some configurations and commands use. */
const UNUSED = ['tls', 'https', 'zlib', '_tls_wrap', 'readline', 'repl', 'http2'];
const flags = (/^#!\S+ -S node (.+)$/m.exec(readFileSync(DIST, 'utf8'))?.[1] ?? '').split(' ');
/** The launcher's first statement, which changes the flags that V8 compares. */
const firstLine = readFileSync(DIST, 'utf8').split('\n')[1] ?? '';

t.test('the launcher runs by itself, with the flags of the image and of npm start', async (t) => {
  t.same(flags, ['--max-semi-space-size=1', '--single-threaded-gc', '--v8-pool-size=1']);
  t.match(execFileSync(DIST, ['version'], { encoding: 'utf8', timeout: TIMEOUT_MS }), /^ringfence \d/);
  const image = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
  const entry = /^ENTRYPOINT (\[.*\])$/m.exec(image)?.[1] ?? '[]';
  t.same(JSON.parse(entry), ['node', ...flags, '/opt/ringfence/dist/ringfence.js']);
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: { start: string } };
  t.equal(scripts.start, `exec node ${flags.join(' ')} dist/ringfence.js demo`);
});

for (const name of ['ringfence', 'engine-worker']) {
  t.test(`V8 takes the code of ${name} that was made with the build`, async (t) => {
    const file = join(dirname(DIST), `${name}.cjs`);
    const script = `${firstLine}
      const { readFileSync } = require('node:fs');
      const { Script } = require('node:vm');
      const file = ${JSON.stringify(file)};
      const source = '(function(exports,require,module,__filename,__dirname){' + readFileSync(file, 'latin1') + '\\n})';
      const cachedData = readFileSync(file.replace(/cjs$/, 'cache'));
      console.log(new Script(source, { filename: file, cachedData }).cachedDataRejected);`;
    const rejected = (given: readonly string[]) =>
      execFileSync(process.execPath, [...given, '-e', script], { encoding: 'utf8', timeout: TIMEOUT_MS }).trim();
    t.equal(rejected(flags), 'false');
  });
}

t.test('V8 takes code that a node without flags made: its own parts were compiled by one', async (t) => {
  const cache = join(t.testdir({}), 'cache');
  const script = (first: string, work: string) => `${first}
    const { readFileSync, writeFileSync } = require('node:fs');
    const { Script } = require('node:vm');
    const source = '(function () { return 1; })()';
    ${work}`;
  const run = (given: readonly string[], text: string) =>
    execFileSync(process.execPath, [...given, '-e', text], { encoding: 'utf8', timeout: TIMEOUT_MS }).trim();
  run([], script('', `writeFileSync(${JSON.stringify(cache)}, new Script(source).createCachedData());`));
  const take = `console.log(new Script(source, { cachedData: readFileSync(${JSON.stringify(cache)}) }).cachedDataRejected);`;
  t.equal(run(flags, script(firstLine, take)), 'false');
  t.equal(run(['--no-opt'], script('', take)), 'true', 'other flags are refused');
});

t.test('a node with other flags runs the bundle all the same', async (t) => {
  const output = execFileSync(process.execPath, ['--no-opt', DIST, 'version'], {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
  });
  t.match(output, /^ringfence \d/);
});

t.test('a running fence has loaded few parts of node, and none that it does not use', async (t) => {
  const dir = t.testdir({});
  const [listen, app, admin] = [await freePort(), await freePort(), await freePort()];
  const at = (port: number) => `127.0.0.1:${port}`;
  const fence = { name: 'f', cluster: 'c', stage: 'accept', listen: at(listen), app: { address: at(app) } };
  const config = join(dir, 'fence.json');
  writeFileSync(
    config,
    JSON.stringify({ admin: { address: at(admin) }, fences: [{ ...fence, admit: { cidrs: ['127.0.0.0/8'] } }] }),
  );
  const look = join(dir, 'look.cjs');
  writeFileSync(
    look,
    `const { isMainThread } = require('node:worker_threads');
    const before = new Set(process.moduleLoadList);
    const tick = isMainThread && setInterval(() => require('node:http').get('http://${at(admin)}/healthz', (answer) => {
      answer.resume();
      if (answer.statusCode !== 200) return;
      clearInterval(tick);
      console.error('LOADED ' + JSON.stringify(process.moduleLoadList.filter((name) => !before.has(name))));
    }).on('error', () => {}), 50);`,
  );
  const child = spawn(process.execPath, [...flags, '-r', look, DIST, 'run', '-c', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // Without what the test runner loads into every node.
    env: { ...process.env, NODE_OPTIONS: '' },
    timeout: TIMEOUT_MS,
  });
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  while (!/LOADED .*\n/.test(said)) {
    const [chunk] = await once(child.stderr, 'data', { signal: AbortSignal.timeout(TIMEOUT_MS) });
    said += String(chunk);
  }
  const loaded = JSON.parse(/LOADED (.*)/.exec(said)?.[1] ?? '[]') as string[];
  const parts = loaded.filter((name) => name.startsWith('NativeModule ')).map((name) => name.slice(13));
  t.ok(parts.includes('net'), 'the list is that of a fence');
  t.same(
    parts.filter((name) => UNUSED.includes(name)),
    [],
  );
  t.ok(parts.length <= PARTS_MAX, `${parts.length} parts`);
});
