/**
 * Whether a step of adoption is safe, by evidence: pure, from what was gathered (gather.ts). What is missing is said as unknown and is
 * never safe. The conditions of one member are in readiness-members.ts; here are those of the ring as a whole, and the verdict.
 */
import { STAGE_INDEX, type Stage } from '../policy/stage.ts';
import type { Evidence } from './evidence.ts';
import { downAgainst, type Situation, UPPER_STAGES, upAgainst } from './readiness-members.ts';
import { labelText, spanText, whoText } from './readiness-text.ts';
import { AGAINST_MAX, type Against, type AgainstCode, type Readiness, type Step } from './readiness-types.ts';
import { endpointKey } from './tuple.ts';

export type { Situation } from './readiness-members.ts';

/** Rows of one kind that notes spell out. */
const NOTED_MAX = 5;

export const NO_RULES_NOTE =
  'No admission rules: every unlabelled peer counts as a member, so strangers are not kept out before enforce.';

/** How old the answer to a labelled ping may be: a few rounds of asking, so that one that was lost changes nothing. */
export function answerLifeMs(probeIntervalMs: number): number {
  return Math.max(3 * probeIntervalMs, 30_000);
}

/** The readiness for `to` from the stage of `situation`; several steps at once must meet the conditions of each. */
export function readiness(to: Stage, situation: Situation): Step {
  const { stage, evidence } = situation;
  const superseded = supersededRows(evidence);
  const ours = evidence.filter((row) => row.foreignLabel === undefined && !superseded.has(row));
  const up = STAGE_INDEX[to] > STAGE_INDEX[stage];
  const steps = UPPER_STAGES.filter(
    (step) => STAGE_INDEX[step] > STAGE_INDEX[stage] && STAGE_INDEX[step] <= STAGE_INDEX[to],
  );
  const rows = up
    ? [...ringAgainst(steps, situation), ...steps.flatMap((step) => upAgainst(step, ours, situation))]
    : to === stage
      ? []
      : [...downRingAgainst(to, situation), ...downAgainst(to, ours, situation)];
  const against = distinct(rows).sort(mostCertainFirst);
  return {
    to,
    readiness: verdictOf(against),
    against: against.slice(0, AGAINST_MAX),
    againstTotal: against.length,
    notes: up ? upNotes(to, situation, ours, superseded) : [],
  };
}

function verdictOf(against: readonly Against[]): Readiness {
  if (against.length === 0) return 'safe';
  return against.some(({ cuts }) => cuts) ? 'unsafe' : 'unknown';
}

/** The same thing said of the same member by two steps is one row. */
function distinct(rows: readonly Against[]): Against[] {
  return [
    ...new Map(
      rows.map((row) => [JSON.stringify([row.code, row.name, row.address, row.port, row.text]), row]),
    ).values(),
  ];
}

function mostCertainFirst(a: Against, b: Against): number {
  const rank = ({ cuts, address }: Against) => (cuts ? 0 : address === undefined ? 1 : 2);
  const who = ({ name, address, port }: Against) => `${name ?? ''} ${address ?? ''} ${port ?? 0}`;
  return rank(a) - rank(b) || (who(a) < who(b) ? -1 : who(a) > who(b) ? 1 : 0);
}

function unknown(code: AgainstCode, text: string): Against {
  return { code, cuts: false, name: undefined, address: undefined, port: undefined, text };
}

/** Whether the ring as a whole is known well enough for `steps`, all of them up. */
function ringAgainst(steps: readonly Stage[], situation: Situation): Against[] {
  const { nowMs, windowMs, watchedSinceMs } = situation;
  const rows = memberTableAgainst(situation);
  if (steps.includes('label') && situation.sealedWithoutKeys) {
    rows.push(
      unknown(
        'sealed_without_keys',
        'gossip is encrypted and there are no keys: no member can be asked by a labelled ping',
      ),
    );
  }
  if (!steps.includes('enforce')) return rows;
  const missingMs = watchedSinceMs + windowMs - nowMs;
  if (missingMs > 0) {
    const window = spanText(windowMs);
    rows.push(
      unknown('window_short', `the fence has to watch for ${window} (memory.window), ${spanText(missingMs)} more`),
    );
  }
  if (lately(situation.peersEvictedMs, situation)) {
    rows.push(
      unknown('memory_evicted', 'the memory of peers was full lately and forgot some before their time (memory.peers)'),
    );
  }
  return rows;
}

function memberTableAgainst(situation: Situation): Against[] {
  const { inspects, tableMs, windowMs, membersEvictedMs, dnsUnknown } = situation;
  const rows: Against[] = [];
  if (!inspects) {
    rows.push(unknown('members_unknown', 'inspection is off (limits.inspectBytesPerSecond: 0): members are unknown'));
  } else if (!lately(tableMs, situation)) {
    const since = tableMs === 0 ? 'yet' : `in the last ${spanText(windowMs)}`;
    rows.push(unknown('members_unknown', `no full member table was seen ${since}: it comes with the next push/pull`));
  }
  if (lately(membersEvictedMs, situation)) {
    rows.push(unknown('memory_evicted', 'the table of members was full lately and forgot some before their time'));
  }
  for (const name of dnsUnknown) rows.push(unknown('dns_unknown', `DNS has not answered for ${name} yet`));
  return rows;
}

/** On the way down the ring matters only where unlabelled frames of ours may meet somebody who takes none. */
function downRingAgainst(to: Stage, situation: Situation): Against[] {
  const cutsNobody = to === 'label' || situation.dialects.wire === 'own';
  return cutsNobody ? [] : memberTableAgainst(situation);
}

function lately(atMs: number, { nowMs, windowMs }: Situation): boolean {
  return atMs > 0 && nowMs - atMs <= windowMs;
}

/** The dead whose address and port a living member of ours has now: who would come back there is asked as that one. */
function supersededRows(evidence: readonly Evidence[]): ReadonlySet<Evidence> {
  const living = new Set(
    evidence
      .filter(({ state, foreignLabel }) => (state === 'alive' || state === 'suspect') && foreignLabel === undefined)
      .map(({ address, port }) => endpointKey(address, port)),
  );
  return new Set(evidence.filter((row) => row.state === 'dead' && living.has(endpointKey(row.address, row.port))));
}

function upNotes(
  to: Stage,
  situation: Situation,
  ours: readonly Evidence[],
  superseded: ReadonlySet<Evidence>,
): string[] {
  const foreigners = situation.evidence.flatMap((row) =>
    row.foreignLabel === undefined
      ? []
      : [`foreign ${whoText(row)} ${labelText(row.foreignLabel)}: the step cuts it, as it should`],
  );
  const dead = Array.from(superseded, (row) => `${whoText(row)} is dead, and another member has its address now`);
  const notes = [...(situation.hasRules ? [] : [NO_RULES_NOTE]), ...few(foreigners), ...few(dead)];
  if (to !== 'enforce') return notes;
  const members = ours.filter(({ state }) => state === 'alive' || state === 'suspect');
  const labelled = members.filter(({ ownMs }) => lately(ownMs, situation)).length;
  if (labelled > 0 && labelled < members.length) {
    notes.push(
      `Half-labelled ring: ${labelled} of ${members.length} members sent the label in the last ${spanText(situation.windowMs)}.`,
    );
  }
  const silent = members.filter(({ fence }) => fence?.outcome === 'none').length;
  if (silent > 0)
    notes.push(`${silent} members answer at no admin API: they are bare, or their fences cannot be asked.`);
  return notes;
}

function few(lines: readonly string[]): string[] {
  const more = lines.length - NOTED_MAX;
  return more > 0 ? [...lines.slice(0, NOTED_MAX), `and ${more} more like the last`] : [...lines];
}
