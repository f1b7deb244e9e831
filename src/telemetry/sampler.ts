/**
 * Samples rejections for the log: the first of a (fence, peer, reason) at once, then a summary with the count at the end of each
 * interval in which there were more. Bounded in memory and in lines, because the sender chooses how many addresses it has.
 */
import type { Rejection } from '../datapath/engine.ts';

/** Keys that are told apart; rejections of further ones are counted together, one count a fence and reason. */
export const SAMPLED_KEYS_MAX = 4_096;

/** First lines per interval, and summary lines per flush, per process; what is beyond is counted together. */
export const SAMPLED_LINES_MAX = 100;

/** One line for the log. */
export interface SampleLine {
  readonly fence: string;
  /** What was seen last; undefined when many peers are counted together. */
  readonly rejection: Rejection | undefined;
  readonly reason: Rejection['reason'];
  readonly wouldRejectAt: Rejection['wouldRejectAt'] | undefined;
  /** Rejections since the line before. */
  readonly count: number;
  readonly first: boolean;
}

interface Entry {
  readonly fence: string;
  last: Rejection;
  /** Not logged yet. */
  pending: number;
}

export interface Sampler {
  /** The line to log now, if it is the first of its kind. */
  note(fence: string, rejection: Rejection): SampleLine | undefined;
  /** Ends an interval: the summaries; what stayed silent is forgotten, so that its next rejection is a first one again. */
  flush(): SampleLine[];
}

export function createSampler(): Sampler {
  const entries = new Map<string, Entry>();
  let rest = new Map<string, SampleLine>();
  let firstLines = 0;
  const addToRest = (fence: string, { reason, wouldRejectAt }: Rejection, count: number) => {
    const key = `${fence} ${reason} ${wouldRejectAt ?? ''}`;
    const total = (rest.get(key)?.count ?? 0) + count;
    rest.set(key, { fence, rejection: undefined, reason, wouldRejectAt, count: total, first: false });
  };
  return {
    note(fence, rejection) {
      const { reason, wouldRejectAt } = rejection;
      const key = `${fence} ${reason} ${wouldRejectAt ?? ''} ${rejection.peer.address}`;
      const entry = entries.get(key);
      if (entry !== undefined) {
        entry.last = rejection;
        entry.pending++;
        return undefined;
      }
      if (entries.size >= SAMPLED_KEYS_MAX || firstLines >= SAMPLED_LINES_MAX) {
        addToRest(fence, rejection, 1);
        return undefined;
      }
      firstLines++;
      entries.set(key, { fence, last: rejection, pending: 0 });
      return { fence, rejection, reason, wouldRejectAt, count: 1, first: true };
    },
    flush() {
      firstLines = 0;
      const active = [...entries].filter(([key, { pending }]) => pending > 0 || !entries.delete(key));
      active.sort(([, a], [, b]) => b.pending - a.pending);
      const lines: SampleLine[] = [];
      for (const [, entry] of active) {
        const { fence, last, pending } = entry;
        entry.pending = 0;
        if (lines.length < SAMPLED_LINES_MAX) {
          const { reason, wouldRejectAt } = last;
          lines.push({ fence, rejection: last, reason, wouldRejectAt, count: pending, first: false });
        } else addToRest(fence, last, pending);
      }
      const together = [...rest.values()];
      rest = new Map();
      return [...lines, ...together];
    },
  };
}
