/**
 * Merge findings in the log: a line when one appears and one when it has gone, a bounded number of each; what is beyond is counted in
 * one line. The whole list is at /api/v1/members.
 */
import type { MergeAlarm } from '../ring/merge.ts';
import { alarmText, warningText } from '../ring/merge-text.ts';
import type { MergeWarning } from '../ring/warnings.ts';
import type { Log } from './log.ts';

/** Lines of one kind at one look. A whole cluster that merged at once is one event: its first members say who brought it. */
export const FINDING_LINES_MAX = 5;

/** What is looked at: the current findings of a fence. */
export interface Findings {
  alarms(nowMs: number): readonly MergeAlarm[];
  warnings(nowMs: number): readonly MergeWarning[];
}

export interface MergeLog {
  /** Logs what changed since the last look. */
  look(findings: Findings, nowMs: number): void;
}

/** The log of one fence's findings. */
export function createMergeLog(fence: string, log: Pick<Log, 'info' | 'warn' | 'error'>): MergeLog {
  const alarms = createChanges<MergeAlarm>(
    ({ name, address, port }) => JSON.stringify([name, address, port]),
    (alarm) => log.error({ fence, finding: 'merge_alarm' }, alarmText(alarm)),
    (more) => log.error({ fence, finding: 'merge_alarm', more }, `RINGS MERGE: ${more} more members of other clusters`),
    (gone) => log.info({ fence, gone }, `${gone} merge alarms ended: nothing names those members any more`),
  );
  const warnings = createChanges<MergeWarning>(
    ({ kind, name, address, key }) => JSON.stringify([kind, name, address, key]),
    (warning) => log.warn({ fence, finding: 'merge_warning', kind: warning.kind }, warningText(warning)),
    (more) =>
      log.warn({ fence, finding: 'merge_warning', more }, `${more} more members or instances outside the rules`),
    (gone) => log.info({ fence, gone }, `${gone} merge warnings ended`),
  );
  return {
    look(findings, nowMs) {
      alarms(findings.alarms(nowMs));
      warnings(findings.warnings(nowMs));
    },
  };
}

/** Compares each list with the one before; the lists are bounded by the ring, and so is what is kept here. */
function createChanges<Finding>(
  keyOf: (finding: Finding) => string,
  sayNew: (finding: Finding) => void,
  sayMore: (count: number) => void,
  sayGone: (count: number) => void,
): (current: readonly Finding[]) => void {
  let known = new Set<string>();
  return (current) => {
    const keys = current.map(keyOf);
    const fresh = current.filter((_, i) => !known.has(keys[i] ?? ''));
    for (const finding of fresh.slice(0, FINDING_LINES_MAX)) sayNew(finding);
    if (fresh.length > FINDING_LINES_MAX) sayMore(fresh.length - FINDING_LINES_MAX);
    const now = new Set(keys);
    const gone = [...known].filter((key) => !now.has(key)).length;
    if (gone > 0) sayGone(gone);
    known = now;
  };
}
