// Runs before `npm start` and `npm test`: installs packages when the lock file is newer than what is installed, and builds
// dist/ when a source file is newer than it. Fast (a few stats) when there is nothing to do.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const at = (path) => (existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : 0);
const run = (command, args) => execFileSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });

// --include=dev: under NODE_ENV=production npm would leave out the bundler.
if (at('node_modules/.package-lock.json') < at('package-lock.json')) {
  run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']);
}
const newest = Math.max(
  at('package-lock.json'),
  ...['build.mjs', 'code-cache.mjs', 'lean.mjs', 'load-bundle.cjs'].map((name) => at(`scripts/${name}`)),
  ...readdirSync(join(root, 'src'), { recursive: true }).map((name) => at(join('src', name))),
);
if (at('dist/ringfence.js') < newest) run(process.execPath, ['scripts/build.mjs']);
