/** `/api/v1/adoption` as a value: how far a fence is, which step is safe next, and who stands against each. Whatever others chose is escaped. */
import { needsTranslation, STAGE_INDEX, STAGES, type Stage } from '../policy/stage.ts';
import type { Evidence, ProbeLeg } from '../ring/evidence.ts';
import type { Step } from '../ring/readiness-types.ts';
import { escapeBytes, escapeText } from '../wire/escape.ts';
import { showAgainst } from './stage-change.ts';
import type { AdoptionView, FenceView } from './view.ts';

/** Rows of members and of fall-backs that one answer holds. */
export const ADOPTION_ROWS_MAX = 1_000;

const time = (ms: number): string => new Date(ms).toISOString();
const timeOrNull = (ms: number): string | null => (ms > 0 ? time(ms) : null);

/** All of `fences`; brief: what other fences ask for. */
export function adoptionOf(version: string, fences: readonly FenceView[], brief: boolean): unknown {
  return { version, fences: fences.map((fence) => (brief ? briefOf(fence) : { ...briefOf(fence), ...fullOf(fence) })) };
}

/** What a fence says of itself to others. `member` stands as gossip has it, so that it can be compared. */
function briefOf(fence: FenceView) {
  const { label, machine, member } = fence.adoption;
  return {
    name: fence.name,
    cluster: fence.cluster,
    label: Buffer.from(label).toString('hex'),
    member: member() ?? null,
    stage: fence.stage(),
    origin: machine.origin(),
    since: time(machine.sinceMs()),
    auto: machine.auto(),
    waitsFor: machine.waitsFor() ?? null,
    starting: machine.starting(),
  };
}

function fullOf(fence: FenceView) {
  const { evidence, dns } = fence.adoption;
  const rows = [...evidence.evidence()].sort(livingFirst);
  return {
    at: time(fence.now()),
    next: nextStage(fence) ?? null,
    readyToAdvance: readyToAdvance(fence),
    steps: possibleSteps(fence).map((to) => showStep(evidence.step(to))),
    membersTotal: rows.length,
    members: rows.slice(0, ADOPTION_ROWS_MAX).map(showMember),
    fallbacks: showFallbacks(fence.adoption, ADOPTION_ROWS_MAX),
    removable: evidence.removable(),
    dns: dns().map(({ name, lastSuccessMs, problem, addresses }) => ({
      name: escapeText(name),
      lastSuccess: timeOrNull(lastSuccessMs),
      problem: problem ?? null,
      addresses,
    })),
  };
}

/** The stage above the present one; undefined where the fence cannot be higher. */
export function nextStage({ stage, ceiling }: Pick<FenceView, 'stage' | 'ceiling'>): Stage | undefined {
  const next = STAGES[STAGE_INDEX[stage()] + 1];
  return next !== undefined && STAGE_INDEX[next] <= STAGE_INDEX[ceiling?.stage ?? 'enforce'] ? next : undefined;
}

export function readyToAdvance(fence: Pick<FenceView, 'adoption' | 'stage' | 'ceiling'>): boolean {
  const next = nextStage(fence);
  return next !== undefined && fence.adoption.evidence.step(next).readiness === 'safe';
}

/** Every other stage that the fence can be at, in order. */
function possibleSteps({ stage, ceiling, dialects }: FenceView): readonly Stage[] {
  const top = STAGE_INDEX[ceiling?.stage ?? 'enforce'];
  const bottom = needsTranslation(dialects) ? STAGE_INDEX.accept : STAGE_INDEX.observe;
  const present = stage();
  return STAGES.filter((to) => to !== present && STAGE_INDEX[to] <= top && STAGE_INDEX[to] >= bottom);
}

function showStep({ to, readiness, againstTotal, against, notes }: Step) {
  return { to, readiness, againstTotal, against: against.map(showAgainst), notes };
}

/** The first `limit` fall-backs of a fence. */
export function showFallbacks({ evidence }: AdoptionView, limit: number) {
  return evidence
    .fallbacks()
    .slice(0, limit)
    .map(({ name, address, lastMs }) => ({
      name: name === undefined ? null : escapeText(name),
      address,
      last: time(lastMs),
    }));
}

function livingFirst(a: Evidence, b: Evidence): number {
  const rank = ({ state }: Evidence) => (state === 'alive' || state === 'suspect' ? 0 : state === undefined ? 1 : 2);
  const who = ({ name, address, port }: Evidence) => `${name ?? ''} ${address} ${port}`;
  return rank(a) - rank(b) || (who(a) < who(b) ? -1 : 1);
}

function showMember(row: Evidence) {
  const { probe, fence, unlabelled } = row;
  const { name, address, port, state, inDns, admitted, ambiguous, foreignLabel, ownMs } = row;
  return {
    name: name === undefined ? null : escapeText(name),
    address,
    port,
    state: state ?? null,
    inDns,
    admitted,
    ambiguous,
    foreignLabel: foreignLabel === undefined ? null : escapeBytes(foreignLabel),
    lastOwn: timeOrNull(ownMs),
    unlabelled:
      unlabelled === undefined
        ? null
        : { count: unlabelled.count, since: time(unlabelled.sinceMs), last: time(unlabelled.lastMs) },
    probe: probe === undefined ? null : { packet: showLeg(probe.packet), stream: showLeg(probe.stream) },
    fence:
      fence === undefined
        ? null
        : {
            outcome: fence.outcome,
            stage: fence.outcome === 'fence' ? fence.stage : null,
            problem: fence.outcome === 'unknown' ? fence.problem : null,
            at: time(fence.atMs),
          },
  };
}

function showLeg(leg: ProbeLeg | undefined) {
  if (leg === undefined) return null;
  const { askedMs, answeredMs, answer, silentSinceMs } = leg;
  return {
    asked: timeOrNull(askedMs),
    answered: timeOrNull(answeredMs),
    answer: answer ?? null,
    silentSince: timeOrNull(silentSinceMs),
  };
}

/** The shape of the answer, for those who read it. */
export type AdoptionFence = ReturnType<typeof briefOf> & ReturnType<typeof fullOf>;
