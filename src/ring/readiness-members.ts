/** What stands against a step for one member: the design's column "safe to enter when", and what may be cut on the way down. */
import { type Dialects, STAGE_INDEX, type Stage, wireDialect } from '../policy/stage.ts';
import type { Evidence, ProbeLeg } from './evidence.ts';
import { FENCE_PROBLEM_TEXTS, fenceSuffix, spanText } from './readiness-text.ts';
import type { Against, AgainstCode } from './readiness-types.ts';

/** All that is known when readiness is asked for. Times in ms, 0 = never. */
export interface Situation {
  readonly nowMs: number;
  /** Where the fence is. */
  readonly stage: Stage;
  readonly dialects: Dialects;
  /** Whether there are admission rules at all. */
  readonly hasRules: boolean;
  /** The memory window. */
  readonly windowMs: number;
  /** How old the answer to a labelled ping may be. */
  readonly answerLifeMs: number;
  readonly evidence: readonly Evidence[];
  /** Since when the fence has watched. */
  readonly watchedSinceMs: number;
  /** Whether gossip is read at all. */
  readonly inspects: boolean;
  /** When a full member table was last seen. */
  readonly tableMs: number;
  /** When the memory of peers, and the table of members, last forgot something before its time. */
  readonly peersEvictedMs: number;
  readonly membersEvictedMs: number;
  /** Gossip is encrypted, and there are no keys. */
  readonly sealedWithoutKeys: boolean;
  /** DNS names that never answered, escaped. */
  readonly dnsUnknown: readonly string[];
}

/** What can be climbed to. */
export const UPPER_STAGES = ['accept', 'label', 'enforce'] as const satisfies readonly Stage[];
export type UpperStage = (typeof UPPER_STAGES)[number];

/** What stands against entering `to` from the stage below it. */
export function upAgainst(to: UpperStage, rows: readonly Evidence[], situation: Situation): Against[] {
  const find = UP[to];
  return rows.flatMap((row) => find(row, situation) ?? []);
}

/** What stands against going down to `to`. */
export function downAgainst(to: Stage, rows: readonly Evidence[], situation: Situation): Against[] {
  return rows.filter(isMember).flatMap((row) => downRow(to, row, situation) ?? []);
}

type Condition = (row: Evidence, situation: Situation) => Against | undefined;

const UP: Readonly<Record<UpperStage, Condition>> = {
  accept: namedByRules,
  label: (row, situation) => namedByRules(row, situation) ?? takesLabelled(row, situation),
  enforce: sendsLabelled,
};

function against(row: Evidence, code: AgainstCode, cuts: boolean, text: string): Against {
  const { name, address, port } = row;
  return { code, cuts, name, address, port, text };
}

/** Gossip or DNS says that it is one; other rows are addresses that sent unlabelled frames. */
function isMember({ state, inDns }: Evidence): boolean {
  return state !== undefined || inDns;
}

function isLiving({ state }: Evidence): boolean {
  return state === 'alive' || state === 'suspect';
}

function within(atMs: number, { nowMs, windowMs }: Situation): boolean {
  return atMs > 0 && nowMs - atMs <= windowMs;
}

function namedByRules(row: Evidence, situation: Situation): Against | undefined {
  if (row.leaving && isLiving(row) && !within(row.ownMs, situation)) {
    return against(row, 'not_admitted', false, 'left DNS, and is admitted for the grace alone (admit.grace)');
  }
  if (row.admitted || !isMember(row)) return undefined;
  const text = 'not named by the admission rules: its unlabelled frames, and what the app sends it, would be rejected';
  // A member that showed the label passes while that is remembered.
  return against(row, 'not_admitted', !within(row.ownMs, situation), text);
}

function takesLabelled(row: Evidence, situation: Situation): Against | undefined {
  if (!isMember(row)) return undefined;
  const { probe } = row;
  const legs = legsOf(row);
  const answered = (leg: ProbeLeg) =>
    leg.silentSinceMs === 0 && leg.answeredMs > 0 && situation.nowMs - leg.answeredMs <= situation.answerLifeMs;
  if (legs.length > 0 && legs.every(answered)) return farBehind(row);
  if (!isLiving(row)) return notThere(row);
  // One line for the ring says it (readiness.ts).
  if (situation.sealedWithoutKeys) return undefined;
  const silent = legs.filter(({ silentSinceMs }) => silentSinceMs > 0);
  const suffix = fenceSuffix(row);
  if (silent.length === 0 && dropsUnasked(row, situation)) {
    return against(
      row,
      'fence_behind',
      true,
      'its fence is at observe and hands labelled frames to an app that drops them',
    );
  }
  if (silent.length === 0) {
    const lastMs = Math.max(0, ...legs.map(({ answeredMs }) => answeredMs));
    const last = lastMs === 0 ? '' : `, last answered ${spanText(situation.nowMs - lastMs)} ago`;
    return against(row, 'not_asked_yet', false, `not asked by a labelled ping yet${last}${suffix}`);
  }
  const only = silent.length === legs.length ? '' : silent[0] === probe?.packet ? ' on UDP' : ' on TCP';
  return against(row, 'drops_labelled', only === '', `drops labelled pings${only}${suffix}`);
}

function legsOf({ probe }: Evidence): readonly ProbeLeg[] {
  if (probe === undefined) return [];
  return probe.packet === undefined ? [probe.stream] : [probe.packet, probe.stream];
}

/**
 * Whether it is known without a ping that the member drops it: its fence is at observe, in a ring whose apps take no label. Each such ping
 * is an error in the log of a memberlist that predates labels.
 */
export function dropsUnasked({ fence }: Evidence, { dialects }: Pick<Situation, 'dialects'>): boolean {
  return (
    fence?.outcome === 'fence' &&
    fence.stage === 'observe' &&
    !fence.starting &&
    dialects.takes === 'none' &&
    dialects.wire === 'none'
  );
}

/** A fence at observe translates nothing, so what answers there is its app; fences should be one stage apart at most. */
function farBehind(row: Evidence): Against | undefined {
  const { fence } = row;
  if (fence?.outcome !== 'fence' || fence.stage !== 'observe' || fence.starting) return undefined;
  return against(row, 'fence_behind', false, 'answers labelled pings, but its fence is at observe, two stages below');
}

/** Somebody who should be there and is not, as far as gossip knows. */
function notThere(row: Evidence): Against {
  if (row.state === undefined) return against(row, 'never_seen', false, 'in DNS, never seen');
  if (row.state === 'left') return against(row, 'never_seen', false, 'in DNS, though it left the ring');
  return against(row, 'not_asked_yet', false, 'dead by gossip, and cannot be asked: it may come back as it was');
}

function sendsLabelled(row: Evidence, situation: Situation): Against | undefined {
  if (row.unlabelled !== undefined) return sentUnlabelled(row, row.unlabelled, situation);
  if (!isMember(row)) return undefined;
  const { fence } = row;
  const behind = fence?.outcome === 'fence' && !fence.starting && STAGE_INDEX[fence.stage] < STAGE_INDEX.label;
  // In a ring whose wire carries the label already, a fence below sends it too.
  if (behind) return against(row, 'fence_behind', situation.dialects.wire === 'none', `its fence is at ${fence.stage}`);
  if (!within(row.ownMs, situation)) return notHeard(row, situation);
  return changedSince(row) ?? fenceUnknown(row);
}

/** A member that was rolled back, or lost its fence, may be silent for long: what it sent before says nothing of what it sends now. */
function changedSince(row: Evidence): Against | undefined {
  const silent = legsOf(row).map(({ silentSinceMs }) => silentSinceMs);
  if (!isLiving(row) || silent.includes(0) || Math.max(0, ...silent) <= row.ownMs) return undefined;
  return against(row, 'drops_labelled', false, 'sent the label, and has dropped labelled pings since');
}

function sentUnlabelled(
  row: Evidence,
  { count, sinceMs, lastMs }: NonNullable<Evidence['unlabelled']>,
  { nowMs }: Situation,
): Against {
  const { fence } = row;
  const sent = `${count} unlabelled ${count === 1 ? 'packet' : 'packets'} in the last ${spanText(nowMs - sinceMs)}`;
  if (row.ambiguous && row.name !== undefined) {
    return against(row, 'ambiguous', false, `shares its address with others, and there came ${sent}`);
  }
  const labels = fence?.outcome === 'fence' && !fence.starting && STAGE_INDEX[fence.stage] >= STAGE_INDEX.label;
  const changed = row.ownMs > lastMs || (labels && fence.atMs > lastMs);
  const text = `sent ${sent}${changed ? `, none for ${spanText(nowMs - lastMs)}` : ''}${fenceSuffix(row)}`;
  return against(row, 'sends_unlabelled', !changed, text);
}

function notHeard(row: Evidence, { windowMs }: Situation): Against {
  const text = `sent nothing with the label in the last ${spanText(windowMs)}`;
  if (!isLiving(row))
    return row.state === 'dead' ? against(row, 'not_heard', false, `dead by gossip, ${text}`) : notThere(row);
  if (row.ambiguous) {
    return against(
      row,
      'ambiguous',
      false,
      'shares its address with others, so that what is seen there proves nothing',
    );
  }
  return against(row, 'not_heard', false, `${text}${fenceSuffix(row)}`);
}

/** Whether there is a fence that says nothing, or nothing that proves to be its fence. */
function fenceUnknown(row: Evidence): Against | undefined {
  const { fence, admitted } = row;
  if (fence?.outcome === 'none' || (fence?.outcome === 'fence' && !fence.starting)) return undefined;
  if (fence?.outcome === 'fence') return against(row, 'fence_unknown', false, 'its fence is starting');
  const why = fence === undefined ? undefined : FENCE_PROBLEM_TEXTS[fence.problem];
  const asked = admitted ? 'it was not asked yet' : 'it is not admitted, so it is not asked';
  return against(row, 'fence_unknown', false, `its fence is unknown: ${why ?? asked}`);
}

function downRow(to: Stage, row: Evidence, situation: Situation): Against | undefined {
  const { dialects, nowMs } = situation;
  const { fence, unlabelled } = row;
  if (to === 'observe' && dialects.takes === 'own' && unlabelled !== undefined) {
    const text = `sent unlabelled packets, the last ${spanText(nowMs - unlabelled.lastMs)} ago: the app itself takes none`;
    return against(row, 'sends_unlabelled', true, text);
  }
  if (fence?.outcome === 'fence' && !fence.starting) {
    const cuts = wouldCut(to, fence.stage, dialects);
    if (!cuts && STAGE_INDEX[fence.stage] - STAGE_INDEX[to] <= 1) return undefined;
    return against(row, 'fence_ahead', cuts, `its fence is at ${fence.stage}, more than one stage above ${to}`);
  }
  // With the label on the wire from observe on, and at label, nothing that the fence sends or takes is lost on anybody.
  if (to === 'label' || dialects.wire === 'own') return undefined;
  return fence?.outcome === 'none' ? bareRow(row, situation) : fenceUnknown(row);
}

/** Somebody without a fence that answers: bare, or behind one whose admin API cannot be reached. */
function bareRow(row: Evidence, situation: Situation): Against | undefined {
  const { stage, dialects, windowMs } = situation;
  if (row.fenced) return against(row, 'fence_unknown', false, 'its fence is unknown: its admin API cannot be reached');
  // At accept nothing is sent with the label already, and an app that takes both loses nothing at observe.
  if (stage === 'accept' && dialects.takes === 'any') return undefined;
  if (within(row.ownMs, situation)) {
    const text = 'sends the label and has no fence that answers: it may take no unlabelled frames, nor the app its own';
    return against(row, 'bare_labelled', true, text);
  }
  if (row.unlabelled !== undefined) return undefined;
  return against(
    row,
    'not_heard',
    false,
    `not heard in the last ${spanText(windowMs)}: it may take no unlabelled frames`,
  );
}

/** Whether our fence at one stage and another fence at another lose frames of each other, both admitted. */
function wouldCut(ours: Stage, theirs: Stage, { sends, takes, wire }: Dialects): boolean {
  const weSend = ours === 'observe' ? sends : wireDialect(ours, wire);
  const theySend = theirs === 'observe' ? wire : wireDialect(theirs, wire);
  return (weSend === 'none' && theirs === 'enforce') || (theySend === 'own' && ours === 'observe' && takes === 'none');
}
