/** What the property tests share. */
const { CI } = process.env;

/** Runs of each property: more in CI. fast-check prints the seed and the path of a failure. */
export const PROPERTY = { numRuns: CI === 'true' ? 2_000 : 200 } as const;

/** Cuts `bytes` at the given places, sorted and made to fit; the chunks together are `bytes`. */
export function chunked(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const starts = [0, ...places];
  return starts.map((start, i) => bytes.subarray(start, starts[i + 1] ?? bytes.length));
}
