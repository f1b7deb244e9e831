/** Interleaved rounds of the stand, and their medians. */
import { buildStand, type PathKind, type Sample, VARIANT_NAMES, type Variant } from './stand.ts';

export interface Comparison {
  readonly path: PathKind;
  readonly samples: Readonly<Record<Variant, readonly Sample[]>>;
  /** Medians of `perCpuSecond`. */
  readonly rate: Readonly<Record<Variant, number>>;
  /** Medians of `perSecond`. */
  readonly wallRate: Readonly<Record<Variant, number>>;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Floods each of `variants` of each path `rounds` times in turn, after one round that warms up and is not counted. */
export async function compareForwarding(
  paths: readonly PathKind[],
  variants: readonly Variant[],
  rounds: number,
  floodMs: number,
  onSample: (path: PathKind, variant: Variant, sample: Sample) => void = () => undefined,
): Promise<Comparison[]> {
  const stand = await buildStand(paths, variants);
  try {
    const results: Comparison[] = [];
    for (const path of paths) {
      const samples: Record<Variant, Sample[]> = { plain: [], inspected: [], shielded: [] };
      for (let round = 0; round <= rounds; round++) {
        for (const variant of variants) {
          const sample = await stand.measure(path, variant, floodMs);
          if (round === 0) continue;
          samples[variant].push(sample);
          onSample(path, variant, sample);
        }
      }
      const medians = (of: (sample: Sample) => number) =>
        Object.fromEntries(VARIANT_NAMES.map((variant) => [variant, median(samples[variant].map(of))])) as Record<
          Variant,
          number
        >;
      results.push({ path, samples, rate: medians((s) => s.perCpuSecond), wallRate: medians((s) => s.perSecond) });
    }
    return results;
  } finally {
    await stand.close();
  }
}
