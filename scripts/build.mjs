// Bundles the two entries (the command line, the engine's thread) into dist/. koffi stays outside: it carries a native binary.
import { chmod, readdir, rm } from 'node:fs/promises';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: { ringfence: 'src/cli/main.ts', 'engine-worker': 'src/datapath/linux/engine-worker.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: ['koffi'],
  chunkNames: 'chunks/[name]-[hash]',
  // pino and other CommonJS packages call require() at run time.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
  metafile: true,
});
await chmod(`${root}dist/ringfence.js`, 0o755);
// Chunks carry a hash in their name: those of former builds would pile up, and be packed.
for (const name of await readdir(`${root}dist/chunks`)) {
  if (metafile.outputs[`dist/chunks/${name}`] === undefined) await rm(`${root}dist/chunks/${name}`);
}
