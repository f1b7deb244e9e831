/** Bytes of streams that can be read only whole (dskit packets, encrypted streams), under one budget. */
import { COLLECTED_MAX_BYTES, COLLECTED_TOTAL_MAX_BYTES } from './inspect-bounds.ts';

export interface Collector {
  /** Copies `bytes` behind what is there; false when a bound is reached: everything is given back, for good. */
  add(bytes: Uint8Array): boolean;
  size(): number;
  /** Everything so far; good until the next call. */
  bytes(): Uint8Array;
  /** Gives the memory back. */
  drop(): void;
}

export interface CollectBudget {
  open(): Collector;
  /** Collections that the bounds ended. */
  refused(): number;
}

export function createCollectBudget(
  totalMaxBytes = COLLECTED_TOTAL_MAX_BYTES,
  maxBytes = COLLECTED_MAX_BYTES,
): CollectBudget {
  let total = 0;
  let refused = 0;
  const open = (): Collector => {
    let chunks: Uint8Array[] = [];
    let size = 0;
    let full = false;
    const drop = () => {
      total -= size;
      size = 0;
      chunks = [];
    };
    return {
      add(bytes) {
        if (!full && (size + bytes.length > maxBytes || total + bytes.length > totalMaxBytes)) {
          full = true;
          refused++;
          drop();
        }
        if (full) return false;
        chunks.push(Uint8Array.from(bytes));
        size += bytes.length;
        total += bytes.length;
        return true;
      },
      size: () => size,
      bytes() {
        if (chunks.length > 1) chunks = [Buffer.concat(chunks)];
        return chunks[0] ?? new Uint8Array(0);
      },
      drop,
    };
  };
  return { open, refused: () => refused };
}
