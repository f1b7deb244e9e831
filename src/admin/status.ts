/** `/api/v1/status`, `/api/v1/peers` and `/api/v1/rejections` as values. */
import { LABEL_STATES, type LabelState } from '../policy/facts.ts';
import { REASON_SENTENCES, REJECT_REASONS, type RejectReason } from '../policy/reason.ts';
import type { Stage } from '../policy/stage.ts';
import { type AdoptionStatus, adoptionNotes, adoptionStatus } from './adoption-status.ts';
import { dnsNotes } from './dns-notes.ts';
import { type QuarantineStatus, quarantineStatus, type RingStatus, ringNotes, ringStatus } from './ring-status.ts';
import { type EncryptionStatus, encryptionNotes, encryptionStatus, sealedOf } from './seal-status.ts';
import type { AdminView, FenceView } from './view.ts';

/** Foreign labels of the status; the rest is in the metrics and the log. */
const STATUS_LABELS_MAX = 20;

/** Peers that one answer holds, the ones heard or sent to last. */
export const PEERS_SHOWN_MAX = 1_000;

/** Where admission alone cannot be told from trust (design, outbound): said when nothing else protects the answers. */
export const ANSWERS_NOTE =
  'Answers carry no label, and a foreigner that skips verification answers anyone: on streams that the app dials only admission protects.';

const NO_RULES_NOTES = {
  accept: 'No admission rules: every unlabelled peer counts as a member, and outbound frames go to anyone.',
  label: 'No admission rules: every unlabelled peer counts as a member, and outbound frames go to anyone.',
  enforce: 'No admission rules: outbound frames go to anyone.',
} as const;

/** Passing and rejected frames of one label state, both directions. */
interface StateTotals {
  readonly pass: number;
  readonly reject: number;
}

/** The status of one fence; the shape is part of the API. */
export interface FenceStatus {
  readonly name: string;
  readonly cluster: string;
  readonly stage: Stage;
  readonly ceiling: Stage | null;
  readonly mode: string;
  readonly engine: string;
  /** Why that one. */
  readonly engineReason: string;
  readonly app: { readonly sends: string; readonly takes: string; readonly up: boolean | null };
  readonly wire: string;
  readonly admissionRules: boolean;
  readonly ready: boolean;
  readonly notReady: readonly string[];
  readonly frames: Readonly<Record<LabelState, StateTotals>>;
  readonly rejected: Readonly<Partial<Record<RejectReason, number>>>;
  readonly wouldReject: Readonly<Partial<Record<Stage, number>>>;
  readonly wouldStrand: Readonly<Partial<Record<Stage, number>>>;
  readonly fallbacks: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly sessions: number;
  readonly streams: { readonly inbound: number; readonly outbound: number };
  readonly foreignPeers: number;
  readonly foreignLabels: readonly { readonly label: string; readonly count: number; readonly lastSeen: string }[];
  /** Null while inspection is off. */
  readonly ring: RingStatus | null;
  /** Frames that were not looked into, by reason. */
  readonly inspectionSkipped: Readonly<Record<string, number>>;
  readonly quarantine: QuarantineStatus;
  readonly encryption: EncryptionStatus;
  /** The fence's own certificate; null where it opens no TLS. */
  readonly tls: { readonly notAfter: string; readonly problem: string | null } | null;
  readonly adoption: AdoptionStatus;
  readonly notes: readonly string[];
}

export interface Status {
  readonly version: string;
  readonly fences: readonly FenceStatus[];
}

export function statusOf({ version, fences }: AdminView): Status {
  return { version, fences: fences.map(fenceStatus) };
}

const time = (ms: number): string => new Date(ms).toISOString();

/** Sums of the counts above zero by a key. */
function sumBy<Row extends { readonly value: number }, Key extends string>(
  rows: readonly Row[],
  keyOf: (row: Row) => Key,
): Partial<Record<Key, number>> {
  const sums: Partial<Record<Key, number>> = {};
  for (const row of rows) if (row.value > 0) sums[keyOf(row)] = (sums[keyOf(row)] ?? 0) + row.value;
  return sums;
}

function fenceStatus(fence: FenceView): FenceStatus {
  const tally = fence.tally();
  const open = fence.open();
  const notReady = fence.notReady();
  const total = (state: LabelState, verdict: 'pass' | 'reject') =>
    tally.frames
      .filter((row) => row.labelState === state && row.verdict === verdict)
      .reduce((sum, { value }) => sum + value, 0);
  const frames = Object.fromEntries(
    LABEL_STATES.map((state) => [state, { pass: total(state, 'pass'), reject: total(state, 'reject') }]),
  ) as Record<LabelState, StateTotals>;
  return {
    name: fence.name,
    cluster: fence.cluster,
    stage: fence.stage(),
    ceiling: fence.ceiling?.stage ?? null,
    mode: fence.mode,
    engine: fence.engine,
    engineReason: fence.engineReason,
    app: { sends: fence.dialects.sends, takes: fence.dialects.takes, up: fence.appUp() ?? null },
    wire: fence.dialects.wire,
    admissionRules: fence.hasAdmissionRules,
    ready: notReady.length === 0,
    notReady,
    frames,
    rejected: sumBy(tally.rejected, ({ reason }) => reason),
    wouldReject: sumBy(tally.wouldReject, ({ stage }) => stage),
    wouldStrand: sumBy(tally.wouldStrand, ({ stage }) => stage),
    fallbacks: tally.fallbacks,
    dropped: sumBy(tally.dropped, ({ reason }) => reason),
    sessions: open.sessions,
    streams: { inbound: open.streamsInbound, outbound: open.streamsOutbound },
    foreignPeers: fence.foreignPeers(),
    foreignLabels: fence
      .foreignLabels(STATUS_LABELS_MAX)
      .map(({ label, count, lastMs }) => ({ label, count, lastSeen: time(lastMs) })),
    ring: ringStatus(fence) ?? null,
    inspectionSkipped: Object.fromEntries(
      Object.entries(fence.inspectionSkipped() ?? {}).filter(([, count]) => count > 0),
    ),
    quarantine: quarantineStatus(fence),
    encryption: encryptionStatus(fence),
    tls: tlsStatus(fence),
    adoption: adoptionStatus(fence),
    notes: notesOf(fence),
  };
}

function tlsStatus({ tls }: FenceView): FenceStatus['tls'] {
  const notAfterMs = tls.notAfterMs();
  return notAfterMs === undefined ? null : { notAfter: time(notAfterMs), problem: tls.problem() ?? null };
}

function notesOf(fence: FenceView): string[] {
  const notes = adoptionNotes(fence);
  const stage = fence.stage();
  if (!fence.hasAdmissionRules && stage !== 'observe') notes.push(NO_RULES_NOTES[stage]);
  if (!fence.guardsOutbound) {
    notes.push('A listen fence guards inbound gossip only: what the app itself dials does not pass it.');
  } else if (stage !== 'observe') notes.push(ANSWERS_NOTE);
  if (fence.ceiling !== undefined) notes.push(fence.ceiling.why);
  notes.push(...dnsNotes(fence), ...ringNotes(fence), ...encryptionNotes(fence));
  notes.push(...fence.fileProblems().map((problem) => `${problem}.`));
  const tlsProblem = fence.tls.problem();
  if (tlsProblem !== undefined) notes.push(`TLS: ${tlsProblem}.`);
  return notes;
}

/** The peers that `fences` remember, the latest first. */
export function peersOf(fences: readonly FenceView[]): unknown {
  const shown = (ms: number) => (ms > 0 ? time(ms) : null);
  const latest = (r: ReturnType<FenceView['peers']>[number]) =>
    Math.max(r.lastOwnMs, r.lastNoneMs, r.lastForeignMs, r.lastSentMs, r.unlabelled?.lastMs ?? 0);
  const unlabelledOf = ({ unlabelled: seen }: ReturnType<FenceView['peers']>[number]) =>
    seen === undefined ? null : { count: seen.count, since: time(seen.sinceMs), last: time(seen.lastMs) };
  return {
    fences: fences.map((fence) => {
      const sealed = sealedOf(fence);
      const records = [...fence.peers()].sort((a, b) => latest(b) - latest(a));
      return {
        name: fence.name,
        total: records.length,
        peers: records.slice(0, PEERS_SHOWN_MAX).map((record) => ({
          address: record.address,
          port: record.port === 0 ? null : record.port,
          proven: record.proven,
          foreign: record.foreign,
          ambiguous: record.ambiguous,
          lastOwn: shown(record.lastOwnMs),
          lastUnlabelled: shown(record.lastNoneMs),
          lastForeign: shown(record.lastForeignMs),
          lastSent: shown(record.lastSentMs),
          unlabelled: unlabelledOf(record),
          sealed: sealed(record.address),
        })),
      };
    }),
  };
}

/** What `fences` rejected lately, the newest first, and what each reason means. */
export function rejectionsOf(fences: readonly FenceView[], limit: number): unknown {
  const rows = fences.map((fence) => ({
    name: fence.name,
    leftOut: fence.rejectionsLeftOut(),
    rejections: fence
      .rejections(limit)
      .map(({ firstMs, lastMs, ...row }) => ({ ...row, firstSeen: time(firstMs), lastSeen: time(lastMs) })),
  }));
  const used = new Set(rows.flatMap(({ rejections }) => rejections.map(({ reason }) => reason)));
  const reasons = REJECT_REASONS.filter((reason) => used.has(reason)).map((reason) => [
    reason,
    REASON_SENTENCES[reason],
  ]);
  return { fences: rows, reasons: Object.fromEntries(reasons) };
}
