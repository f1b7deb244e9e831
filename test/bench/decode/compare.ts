/** Our decoder against memberlist's decoding of the same frames on the same core, interleaved. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { buildDecodeBench } from '../../interop/build.ts';
import { readCorpus } from './corpus.ts';

const RUN_TIMEOUT_MS = 60_000;
const run = promisify(execFile);

export interface Sample {
  readonly frames: number;
  readonly messages: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

export interface Comparison {
  readonly corpusFrames: number;
  /** Medians, frames a second of processor time. */
  readonly ours: number;
  readonly go: number;
  /** Median of the ratios of neighbouring runs: over 1, ours is faster. */
  readonly ratio: number;
  readonly bytesPerFrame: number;
  readonly runs: readonly { readonly ours: Sample; readonly go: Sample }[];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Runs both `times` times, `rounds` times over the corpus each, pinned to one core. */
export async function compareDecoders(times: number, rounds: number): Promise<Comparison> {
  const dir = mkdtempSync(join(tmpdir(), 'decode-bench-'));
  try {
    const corpus = readCorpus();
    const frames = join(dir, 'frames.json');
    writeFileSync(frames, JSON.stringify(corpus));
    const ours = join(dir, 'ours.mjs');
    const entry = join(import.meta.dirname, 'ours.ts');
    await build({ entryPoints: [entry], outfile: ours, bundle: true, platform: 'node', format: 'esm' });
    const go = await buildDecodeBench();
    const once = async (command: string, ...args: readonly string[]) => {
      const pinned = ['-c', '0', command, ...args, frames, String(rounds)];
      const { stdout } = await run('taskset', pinned, { timeout: RUN_TIMEOUT_MS });
      return JSON.parse(stdout) as Sample & { bytesPerFrame?: number };
    };
    const runs: { ours: Sample & { bytesPerFrame?: number }; go: Sample }[] = [];
    for (let i = 0; i < times; i++) {
      runs.push({ go: await once(go), ours: await once(process.execPath, '--expose-gc', ours) });
    }
    const rate = ({ frames: count, cpuSeconds }: Sample) => count / cpuSeconds;
    return {
      corpusFrames: corpus.length,
      ours: median(runs.map((pair) => rate(pair.ours))),
      go: median(runs.map((pair) => rate(pair.go))),
      ratio: median(runs.map((pair) => rate(pair.ours) / rate(pair.go))),
      bytesPerFrame: median(runs.map((pair) => pair.ours.bytesPerFrame ?? Number.NaN)),
      runs,
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
