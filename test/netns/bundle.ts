/** A driver of the engine's thread as one program for a namespace: bundled like the real thing, the thread's code beside it, chunks below. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

/** Bundles `entry` (a path from the root) into `outdir`, which must lie inside the checkout, so that koffi is found. Gives the program's path. */
export async function bundleDriver(entry: string, outdir: string): Promise<string> {
  await build({
    absWorkingDir: join(import.meta.dirname, '..', '..'),
    entryPoints: { driver: entry, 'engine-worker': 'src/datapath/linux/engine-worker.ts' },
    outdir,
    ...{ bundle: true, splitting: true, format: 'esm', platform: 'node', external: ['koffi'] },
    outExtension: { '.js': '.js' },
    chunkNames: 'chunks/[name]-[hash]',
  });
  writeFileSync(join(outdir, 'package.json'), '{"type":"module"}');
  return join(outdir, 'driver.js');
}
