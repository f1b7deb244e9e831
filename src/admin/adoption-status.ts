/** What the status says of adoption: the next step, who stands against it, and, loudly, what is not protected yet. */
import type { Stage } from '../policy/stage.ts';
import type { Evidence } from '../ring/evidence.ts';
import { againstText, spanText, whoText } from '../ring/readiness-text.ts';
import type { Readiness } from '../ring/readiness-types.ts';
import type { Removable } from '../ring/removable.ts';
import { escapeText } from '../wire/escape.ts';
import { nextStage, readyToAdvance, showFallbacks } from './adoption.ts';
import type { FenceView } from './view.ts';

/** Lines of a kind that the status spells out; all are at /api/v1/adoption. */
const STATUS_LINES_MAX = 5;
/** Fall-backs that it lists. */
const STATUS_FALLBACKS_MAX = 20;

export interface AdoptionStatus {
  readonly origin: string;
  readonly since: string;
  readonly starting: boolean;
  readonly auto: boolean;
  readonly waitsFor: string | null;
  /** Null at the highest stage that the fence can be at. */
  readonly next: {
    readonly to: Stage;
    readonly readiness: Readiness;
    readonly againstTotal: number;
    /** The first lines. */
    readonly against: readonly string[];
    readonly notes: readonly string[];
  } | null;
  readonly readyToAdvance: boolean;
  readonly fallbacks: readonly { readonly name: string | null; readonly address: string; readonly last: string }[];
  readonly ambiguous: number;
  readonly removable: Removable;
  readonly dns: readonly {
    readonly name: string;
    readonly lastSuccess: string | null;
    readonly problem: string | null;
    /** How many it last gave. */
    readonly addresses: number;
  }[];
}

export function adoptionStatus(fence: FenceView): AdoptionStatus {
  const { machine, evidence, dns } = fence.adoption;
  const to = nextStage(fence);
  const step = to === undefined ? undefined : evidence.step(to);
  return {
    origin: machine.origin(),
    since: new Date(machine.sinceMs()).toISOString(),
    starting: machine.starting(),
    auto: machine.auto(),
    waitsFor: machine.waitsFor() ?? null,
    next:
      step === undefined
        ? null
        : {
            to: step.to,
            readiness: step.readiness,
            againstTotal: step.againstTotal,
            against: step.against.slice(0, STATUS_LINES_MAX).map(againstText),
            notes: step.notes,
          },
    readyToAdvance: readyToAdvance(fence),
    fallbacks: showFallbacks(fence.adoption, STATUS_FALLBACKS_MAX),
    ambiguous: evidence.ambiguous(),
    removable: evidence.removable(),
    dns: dns().map(({ name, lastSuccessMs, problem, addresses }) => ({
      name: escapeText(name),
      lastSuccess: lastSuccessMs > 0 ? new Date(lastSuccessMs).toISOString() : null,
      problem: problem ?? null,
      addresses,
    })),
  };
}

/** What lets foreigners in still, and who is kept out though it may be ours. */
export function adoptionNotes(fence: FenceView): string[] {
  const situation = fence.adoption.evidence.situation();
  const { nowMs, windowMs } = situation;
  const ours = situation.evidence.filter(({ foreignLabel }) => foreignLabel === undefined);
  const stage = fence.stage();
  if (stage === 'enforce') return unfencedNotes(ours, nowMs);
  const living = ours.filter(({ state }) => state === 'alive' || state === 'suspect');
  const labelled = living.filter(({ ownMs }) => ownMs > 0 && nowMs - ownMs <= windowMs).length;
  const half =
    labelled > 0 && labelled < living.length
      ? [
          `HALF-LABELLED RING: ${labelled} of ${living.length} other members sent the label in the last ${spanText(windowMs)}.`,
        ]
      : [];
  return [NOT_PROTECTED[stage], ...half];
}

const LATER = 'unlabelled frames of admitted addresses pass, whoever sends them; enforce ends that.';
const NOT_PROTECTED = {
  observe: 'NOT PROTECTED YET: at observe every frame passes, those with a foreign label too.',
  accept: `NOT PROTECTED YET: at accept ${LATER}`,
  label: `NOT PROTECTED YET: at label ${LATER}`,
} as const satisfies Record<Exclude<Stage, 'enforce'>, string>;

/** Admitted addresses whose unlabelled frames are rejected now. */
function unfencedNotes(ours: readonly Evidence[], nowMs: number): string[] {
  const rows = ours.filter(({ unlabelled }) => unlabelled !== undefined);
  const lines = rows.slice(0, STATUS_LINES_MAX).map((row) => {
    const { count = 0, sinceMs = nowMs } = row.unlabelled ?? {};
    return `KEPT OUT: ${whoText(row)} is admitted and sent ${count} frames without the label in the last ${spanText(nowMs - sinceMs)}: it has no fence, or one below label.`;
  });
  const more = rows.length - lines.length;
  return more > 0 ? [...lines, `KEPT OUT: ${more} more admitted addresses send without the label.`] : lines;
}
