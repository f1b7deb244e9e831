/** What the status says of the ring and of quarantine. Whatever others chose is escaped. */
import type { MemberState } from '../ring/members.ts';
import { alarmText, warningText } from '../ring/merge-text.ts';
import type { FenceView } from './view.ts';

/** Findings that the status spells out; all are at /api/v1/members. */
const STATUS_FINDINGS_MAX = 20;

export interface Finding {
  readonly since: string;
  readonly text: string;
}

export interface Findings {
  readonly total: number;
  /** The newest alarms, the warnings that last longest. */
  readonly shown: readonly Finding[];
}

export interface RingStatus {
  readonly members: Readonly<Record<MemberState, number>>;
  readonly foreignSightings: number;
  readonly kvKeys: number;
  readonly instances: number;
  readonly mergeAlarms: Findings;
  readonly mergeWarnings: Findings;
  readonly canTellMerges: boolean;
  readonly warmingUp: boolean;
}

export interface QuarantineStatus {
  readonly on: boolean;
  /** Members that are stripped by tuple; those outside of the rules are stripped besides. */
  readonly foreigners: number;
  readonly stripped: number;
  readonly dropped: number;
}

const UNTOLD_NOTE =
  'Merges cannot be told here: gossip carries no cluster identity, there are no identity rules (admit.cidrs, admit.dns, admit.names), and no frame with a foreign label was seen yet.';
const WARMING_UP_NOTE =
  'Warming up: what gossip lists now counts as own, so a merge that was there before this fence started is not alarmed.';
const BLIND_NOTE = 'Inspection is off (limits.inspectBytesPerSecond: 0): members and merges are unknown.';

const time = (ms: number): string => new Date(ms).toISOString();

/** Undefined while inspection is off. */
export function ringStatus({ ring, now }: FenceView): RingStatus | undefined {
  if (ring === undefined) return undefined;
  const nowMs = now();
  const { keys, instances } = ring.instances(nowMs);
  const alarms = ring.alarms(nowMs);
  const warnings = ring.warnings(nowMs);
  return {
    members: ring.memberCounts(nowMs),
    foreignSightings: ring.foreignTuples(nowMs).length,
    kvKeys: keys.length,
    instances: instances.length,
    mergeAlarms: findings(alarms, (alarm) => ({ since: time(alarm.atMs), text: alarmText(alarm) })),
    mergeWarnings: findings(warnings, (warning) => ({ since: time(warning.sinceMs), text: warningText(warning) })),
    canTellMerges: ring.canTellMerges(),
    warmingUp: ring.warmingUp(nowMs),
  };
}

function findings<Row>(rows: readonly Row[], show: (row: Row) => Finding): Findings {
  return { total: rows.length, shown: rows.slice(0, STATUS_FINDINGS_MAX).map(show) };
}

export function quarantineStatus({ quarantine, ring, now, tally }: FenceView): QuarantineStatus {
  const tuples = quarantine && ring !== undefined ? ring.quarantineRules(now()).foreign : [];
  // A foreign sighting that is outside of the rules as well stands there twice.
  const foreigners = new Set(tuples.map(({ name, address, port }) => JSON.stringify([name, address, port]))).size;
  return { on: quarantine, foreigners, ...tally().quarantined };
}

/** What inspection cannot do as it is. */
export function ringNotes({ ring, now }: FenceView): string[] {
  if (ring === undefined) return [BLIND_NOTE];
  return [...(ring.canTellMerges() ? [] : [UNTOLD_NOTE]), ...(ring.warmingUp(now()) ? [WARMING_UP_NOTE] : [])];
}
