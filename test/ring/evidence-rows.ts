/** Rows of evidence and situations for the tests of readiness and of what shows it. Times in ms; "now" is NOW_MS. */

import type { Stage } from '../../src/policy/stage.ts';
import type { Evidence, FenceReport, ProbeLeg, ProbeReport } from '../../src/ring/evidence.ts';
import type { Situation } from '../../src/ring/readiness.ts';

export const NOW_MS = 10_000_000;
export const WINDOW_MS = 600_000;
export const SECOND_MS = 1_000;

const answered: ProbeLeg = {
  askedMs: NOW_MS - SECOND_MS,
  answeredMs: NOW_MS - SECOND_MS,
  answer: undefined,
  silentSinceMs: 0,
};
const silent: ProbeLeg = { ...answered, answeredMs: 0, silentSinceMs: NOW_MS - 5 * SECOND_MS };

export const LEG = {
  answered,
  silent,
  never: { askedMs: 0, answeredMs: 0, answer: undefined, silentSinceMs: 0 },
} as const;

/** Both legs as one. */
export function probe(leg: ProbeLeg): ProbeReport {
  return { packet: leg, stream: leg };
}

export function fenceAt(stage: Stage, change: { atMs?: number; starting?: boolean } = {}): FenceReport {
  return { outcome: 'fence', stage, atMs: change.atMs ?? NOW_MS - SECOND_MS, starting: change.starting ?? false };
}

export const NO_FENCE: FenceReport = { outcome: 'none', atMs: NOW_MS - SECOND_MS };

/** A living, admitted member of which everything is known: it takes and sends the label, and its fence is at label. */
export function row(change: Partial<Evidence> = {}): Evidence {
  return {
    name: 'm-1',
    address: '10.0.0.1',
    port: 7946,
    state: 'alive',
    namedMs: NOW_MS - SECOND_MS,
    inDns: false,
    admitted: true,
    leaving: false,
    ambiguous: false,
    foreignLabel: undefined,
    ownMs: NOW_MS - SECOND_MS,
    unlabelled: undefined,
    probe: probe(LEG.answered),
    fence: fenceAt('label'),
    fenced: false,
    ...change,
  };
}

/** An address that only DNS names. */
export function dnsRow(change: Partial<Evidence> = {}): Evidence {
  const nothing = { name: undefined, state: undefined, namedMs: 0, ownMs: 0, probe: undefined, fence: undefined };
  return row({ ...nothing, inDns: true, ...change });
}

/** A fence at accept that has watched long enough and saw a member table just now. */
export function situation(evidence: readonly Evidence[], change: Partial<Situation> = {}): Situation {
  return {
    nowMs: NOW_MS,
    stage: 'accept',
    dialects: { sends: 'none', takes: 'none', wire: 'none' },
    hasRules: true,
    windowMs: WINDOW_MS,
    answerLifeMs: 30_000,
    evidence,
    watchedSinceMs: NOW_MS - 2 * WINDOW_MS,
    inspects: true,
    tableMs: NOW_MS - SECOND_MS,
    peersEvictedMs: 0,
    membersEvictedMs: 0,
    sealedWithoutKeys: false,
    dnsUnknown: [],
    ...change,
  };
}
