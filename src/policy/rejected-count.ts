/** One number out of a tally while it is written: what a loop may ask many times a second, without allocation. */
import type { RejectReason } from './reason.ts';
import { rejectedCell, TALLY_BYTES, type Where } from './tally.ts';

/** Gives how many frames one thread's tally (its buffer) has counted as rejected at a place, for any of `reasons`. */
export function createRejectedCount(
  buffer: ArrayBufferLike,
  where: Where,
  reasons: readonly RejectReason[],
): () => number {
  const cells = new Float64Array(buffer, 0, TALLY_BYTES / Float64Array.BYTES_PER_ELEMENT);
  const places = reasons.map((reason) => rejectedCell(where, reason));
  return () => {
    let sum = 0;
    for (const place of places) sum += cells[place] as number;
    return sum;
  };
}
