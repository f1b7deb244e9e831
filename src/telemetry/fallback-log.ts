/** Peers that fell back from the own label to none, in the log: a line each, at most one a minute for a peer, and a bounded number at one look. */
import type { Fallback } from '../ring/fallbacks.ts';
import { whoText } from '../ring/readiness-text.ts';
import type { Log } from './log.ts';

/** Lines at one look. When a whole cluster is rolled back its first members say so. */
export const FALLBACK_LINES_MAX = 5;
/** Between two lines about one peer, ms. */
export const FALLBACK_LINE_EVERY_MS = 60_000;
/** Peers whose last line is remembered: more than fall back at once in any known ring. */
const REMEMBERED_MAX = 10_000;

export interface FallbackLog {
  /** Logs who fell back, or still sends without the label, since the last look. */
  look(fallbacks: readonly Fallback[], nowMs: number): void;
}

/** When a peer was last told of, and which of its frames was the last then. */
interface Told {
  readonly atMs: number;
  readonly lastMs: number;
}

export function createFallbackLog(fence: string, log: Pick<Log, 'warn'>): FallbackLog {
  const told = new Map<string, Told>();
  return {
    look(fallbacks, nowMs) {
      const due = fallbacks.filter(({ address, lastMs }) => {
        const known = told.get(address);
        return known === undefined || (lastMs > known.lastMs && nowMs - known.atMs >= FALLBACK_LINE_EVERY_MS);
      });
      for (const { address, lastMs } of due) {
        told.delete(address);
        told.set(address, { atMs: nowMs, lastMs });
      }
      for (const peer of due.slice(0, FALLBACK_LINES_MAX)) {
        const { address } = peer;
        log.warn(
          { fence, peer: address },
          `FALL-BACK: ${whoText(peer)} sent the label and now sends frames without it`,
        );
      }
      const more = due.length - FALLBACK_LINES_MAX;
      if (more > 0)
        log.warn({ fence, more }, `FALL-BACK: ${more} more peers sent the label and now send frames without it`);
      forget(told, new Set(fallbacks.map(({ address }) => address)), nowMs);
    },
  };
}

/** Who is no fall-back any more is forgotten after a minute, and whoever was told of longest ago when there are too many. */
function forget(told: Map<string, Told>, current: ReadonlySet<string>, nowMs: number): void {
  for (const [address, { atMs }] of told) {
    const over = !current.has(address) && nowMs - atMs >= FALLBACK_LINE_EVERY_MS;
    if (over || told.size > REMEMBERED_MAX) told.delete(address);
  }
}
