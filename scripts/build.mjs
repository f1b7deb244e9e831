// Bundles the two entries (the command line, the packet worker) into dist/. koffi stays outside: it carries a native binary.
import { chmod } from 'node:fs/promises';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
await build({
  absWorkingDir: root,
  entryPoints: { ringfence: 'src/cli/main.ts', 'packet-worker': 'src/datapath/linux/worker.ts' },
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
});
await chmod(`${root}dist/ringfence.js`, 0o755);
