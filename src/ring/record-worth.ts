/** What a record of the peer table is worth keeping when another needs its slot. */
import { ANSWER_WINDOW_MS, type ReadTime, T } from './record-layout.ts';

/** How long evidence counts, ms; until then it protects its record from being displaced by what is worth less. */
export interface RecordLife {
  readonly windowMs: number;
  /** Of foreign evidence. */
  readonly foreignMs: number;
}

/** Added to a record's newest time (ms, far below): what it is worth. */
export const UNLABELLED = 2 ** 46;
const FOREIGN = 2 ** 48;
const AWAITED = 2 ** 50;
export const PROVEN = 2 ** 52;

/** The least goes first: expired (0), strangers, unlabelled members, foreigners, awaited, proven; of equals the oldest. */
export function worthOf(time: ReadTime, nowMs: number, { windowMs, foreignMs }: RecordLife): number {
  const own = time(T.own);
  const sent = time(T.sent);
  const foreign = time(T.foreign);
  const unlabelled = time(T.unlabelled);
  const newest = Math.max(own, sent, foreign, unlabelled, time(T.none));
  if (nowMs - newest > Math.max(windowMs, foreignMs, ANSWER_WINDOW_MS)) return 0;
  // Proven ones outlive whatever a stranger can make us write.
  if (own > 0 && nowMs - own <= windowMs) return PROVEN + newest;
  // What we wait for an answer from outlives strangers that dialled us: a flood of those must not stop us from learning.
  if (sent > 0 && nowMs - sent <= ANSWER_WINDOW_MS) return AWAITED + newest;
  // No datagram makes this up, unlike what comes next: a flood of those must not clear a foreigner.
  if (foreign > 0 && nowMs - foreign <= foreignMs) return FOREIGN + newest;
  return unlabelled > 0 && nowMs - unlabelled <= windowMs ? UNLABELLED + newest : newest;
}
