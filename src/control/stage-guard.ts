/** Which change of a stage is refused, and with which words. Pure: what is known of the ring comes as a step of readiness. */
import { type Dialects, needsTranslation, STAGE_INDEX, STAGES, type Stage } from '../policy/stage.ts';
import { againstText } from '../ring/readiness-text.ts';
import type { Step } from '../ring/readiness-types.ts';
import type { StageWish } from './stage-types.ts';

/** What a fence can be at all. */
export interface StageBounds {
  readonly dialects: Dialects;
  /** The highest stage that its mode can carry out, and why it ends there; undefined when there is no such bound. */
  readonly ceiling: { readonly stage: Stage; readonly why: string } | undefined;
}

export interface Refusal {
  /** One line, escaped. */
  readonly why: string;
  /** Whether force does not help. */
  readonly final: boolean;
}

/** Rows of a step that one line spells out; the rest is counted. */
const AGAINST_SAID_MAX = 3;

/** The stage above `stage`; undefined at the top. */
export function stageAbove(stage: Stage): Stage | undefined {
  return STAGES[STAGE_INDEX[stage] + 1];
}

/** Why a fence of these bounds cannot be at `stage` at all; undefined when it can. */
export function impossible(stage: Stage, { dialects, ceiling }: StageBounds): string | undefined {
  if (ceiling !== undefined && STAGE_INDEX[stage] > STAGE_INDEX[ceiling.stage])
    return `${stage} cannot be: ${ceiling.why}`;
  if (stage !== 'observe' || !needsTranslation(dialects)) return undefined;
  const { sends, takes, wire } = dialects;
  return `observe cannot be: the app (sends ${sends}, takes ${takes}) and the wire (${wire}) speak different dialects, and observe translates nothing`;
}

/** The stage nearest to `stage` that a fence of these bounds can be at. */
export function nearestPossible(stage: Stage, bounds: StageBounds): Stage {
  const { ceiling } = bounds;
  const top = ceiling !== undefined && STAGE_INDEX[stage] > STAGE_INDEX[ceiling.stage] ? ceiling.stage : stage;
  return top === 'observe' && needsTranslation(bounds.dialects) ? 'accept' : top;
}

/**
 * Why a fence at `from` does not go where `wish` wants: it cannot be there; it is more than one step; the step up is not known to be
 * safe, or the step down known to be unsafe. The last three yield to force. `step` is what readiness says of it.
 */
export function refusalOf(
  from: Stage,
  { stage: to, force }: Pick<StageWish, 'stage' | 'force'>,
  step: Step,
  bounds: StageBounds,
): Refusal | undefined {
  const never = impossible(to, bounds);
  if (never !== undefined) return { why: never, final: true };
  if (force) return undefined;
  const steps = STAGE_INDEX[to] - STAGE_INDEX[from];
  if (Math.abs(steps) > 1) {
    const why = `from ${from} to ${to} is ${Math.abs(steps)} steps at once: fenced members may be one stage apart at most, so go step by step, or force it${asLine('; ', step)}`;
    return { why, final: false };
  }
  const refused = steps > 0 ? step.readiness !== 'safe' : steps < 0 && step.readiness === 'unsafe';
  return refused ? { why: `${to} is ${NOT_SAFE[step.readiness]}${asLine(': ', step)}`, final: false } : undefined;
}

const NOT_SAFE = { safe: 'safe', unsafe: 'not safe', unknown: 'not known to be safe' } as const;

function asLine(joint: string, step: Step): string {
  const line = describeStep(step);
  return line === '' ? '' : `${joint}${line}`;
}

/** What stands against a step, in one line, escaped: how many it would cut and of how many nothing is known, the first by name. Empty when nothing does. */
export function describeStep({ against, againstTotal }: Step): string {
  if (againstTotal === 0) return '';
  const shown = against.slice(0, AGAINST_SAID_MAX).map(againstText);
  const more = againstTotal - shown.length;
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}
