// What `npm run ci:long` runs: the benchmarks with their figures, then test/long/*.test.ts, one file at a time. Too long for every
// change; arguments are parts of the names to run. The last line is `N of M passed`.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const MINUTE_MS = 60_000;
/** What one of them may take. */
const TIMEOUT_MS = 60 * MINUTE_MS;
const loader = ['--import', '@isaacs/ts-node-temp-fork-for-pr-2009/import'];
const tap = join(root, 'node_modules/.bin/tap');

const files = (folder, pattern) => {
  const at = join(root, folder);
  return existsSync(at)
    ? readdirSync(at)
        .filter((name) => pattern.test(name))
        .sort()
        .map((name) => `${folder}/${name}`)
    : [];
};
const benches = files('test/bench', /^[a-z-]+$/).map((folder) => ({
  name: folder,
  args: [...loader, `${folder}/main.ts`],
}));
const tests = files('test/long', /\.test\.ts$/).map((file) => ({
  name: file,
  args: [tap, '--disable-coverage', `--timeout=${TIMEOUT_MS / 1_000}`, file],
}));
const wanted = process.argv.slice(2);
const steps = [...benches, ...tests].filter(
  ({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)),
);

const failed = [];
for (const { name, args } of steps) {
  const startMs = Date.now();
  console.log(`\n== ${name}`);
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', timeout: TIMEOUT_MS });
  console.log(`== ${name}: ${status === 0 ? 'ok' : 'FAILED'}, ${((Date.now() - startMs) / 1_000).toFixed(0)} s`);
  if (status !== 0) failed.push(name);
}
console.log(`\n${steps.length - failed.length} of ${steps.length} passed`);
process.exitCode = failed.length > 0 || steps.length === 0 ? 1 : 0;
