// Bundles the two entries (the command line, the engine's thread) into dist/: NAME.cjs is the bundle, NAME.cache what V8 made of it
// (scripts/code-cache.mjs), NAME.js loads both (scripts/load-bundle.cjs). koffi stays outside: it carries a native binary.
import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { build } from 'esbuild';
import { writeCodeCaches } from './code-cache.mjs';
import { lean } from './lean.mjs';

/**
 * What pays for every command: a small nursery, which is what a process that hardly allocates needs; garbage collected by the thread that
 * made it, because helpers take the core that forwards and save nothing on so little; so one thread in V8's pool, for compiling, is enough.
 * Dockerfile and package.json say the same (test/cli/start.test.ts).
 */
const NODE_FLAGS = '--max-semi-space-size=1 --single-threaded-gc --v8-pool-size=1';
/**
 * The first thing that the main thread does. Its heap has been made by then, so the size is no longer needed as a flag; but V8 refuses compiled code, node's own
 * as much as dist/*.cache, that was made with other flags, and compiling node's parts anew costs 50 ms of a start. The engine's heap gets a size of its own.
 */
const FORGET_FLAGS = "require('node:v8').setFlagsFromString('--max-semi-space-size=0');";
const ENTRIES = { ringfence: 'src/cli/main.ts', 'engine-worker': 'src/datapath/linux/engine-worker.ts' };

const root = new URL('..', import.meta.url).pathname;
const dist = `${root}dist`;
await build({
  absWorkingDir: root,
  entryPoints: ENTRIES,
  outdir: 'dist',
  outExtension: { '.js': '.cjs' },
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  external: ['koffi'],
  // Names stay: they stand in what a crash logs.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  // One byte a character in memory.
  charset: 'ascii',
  // koffi is loaded by require(): a script of node:vm has no import().
  supported: { 'dynamic-import': false },
  define: { 'import.meta.url': '__importMetaUrl' },
  banner: { js: "const __importMetaUrl=require('node:url').pathToFileURL(__filename).href;" },
  plugins: [lean],
  logLevel: 'warning',
});
const loader = await readFile(`${root}scripts/load-bundle.cjs`, 'utf8');
for (const name of Object.keys(ENTRIES))
  await writeFile(
    `${dist}/${name}.js`,
    name === 'ringfence' ? `#!/usr/bin/env -S node ${NODE_FLAGS}\n${FORGET_FLAGS}\n${loader}` : loader,
  );
// The package is ECMAScript modules, these are not.
await writeFile(`${dist}/package.json`, '{ "type": "commonjs" }\n');
await chmod(`${dist}/ringfence.js`, 0o755);
const made = new Set(['package.json', ...Object.keys(ENTRIES).flatMap((name) => [`${name}.js`, `${name}.cjs`])]);
for (const name of await readdir(dist)) if (!made.has(basename(name))) await rm(`${dist}/${name}`, { recursive: true });
await writeCodeCaches(dist, Object.keys(ENTRIES), NODE_FLAGS.split(' '), FORGET_FLAGS);
