/** `stage: auto`: climbs one step at a time, when the next one has been safe for long enough; on anything else it waits, and says for what. */
import { STAGE_INDEX, type Stage } from '../policy/stage.ts';
import type { Step } from '../ring/readiness-types.ts';
import type { Clock } from './clock.ts';
import { describeStep, impossible, type StageBounds, stageAbove } from './stage-guard.ts';
import type { StageAnswer } from './stage-types.ts';

/** Between looks, ms. */
export const LOOK_INTERVAL_MS = 1_000;

/** A look that comes later than this after the last one cannot say that the step was safe all the time, ms. */
export const LOOK_GAP_MAX_MS = 10_000;

/** What is waited for is said at most so often, ms: members come and go. */
export const SAY_INTERVAL_MS = 10_000;

export interface AutoOptions {
  readonly clock: Clock;
  readonly on: boolean;
  readonly settleMs: number;
  random(): number;
  stage(): Stage;
  /** False while the stage is changing or not known. */
  mayLook(): boolean;
  bounds(): StageBounds;
  step(stage: Stage): Step;
  climb(to: Stage): Promise<StageAnswer>;
  onWaits(text: string | undefined): void;
}

export interface Auto {
  on(): boolean;
  set(on: boolean): void;
  waitsFor(): string | undefined;
  /** Somebody moved the stage by hand: auto does not undo a way down, until somebody goes up again. */
  noteHand(from: Stage, to: Stage): void;
  start(): void;
  stop(): void;
}

/** What a look found: `key` changes when that is worth a line. */
interface Finding {
  readonly key: string;
  readonly text: string | undefined;
}

const NOTHING: Finding = { key: '', text: undefined };

export function createAuto(options: AutoOptions): Auto {
  const { clock, settleMs } = options;
  let { on } = options;
  /** The stage from which somebody went down by hand. */
  let heldFrom: Stage | undefined;
  /** Since when the next step has been safe without a break, and how long it must have been. */
  let safe: { readonly to: Stage; readonly sinceMs: number; readonly waitMs: number } | undefined;
  let lookedMs = Number.NEGATIVE_INFINITY;
  let found = NOTHING;
  let said = NOTHING;
  let saidMs = Number.NEGATIVE_INFINITY;
  let cancel: (() => void) | undefined;

  const look = (nowMs: number): Finding => {
    const gap = nowMs - lookedMs > LOOK_GAP_MAX_MS;
    lookedMs = nowMs;
    const to = stageAbove(options.stage());
    const before = gap ? undefined : safe;
    safe = undefined;
    if (!on || to === undefined) return NOTHING;
    const never = impossible(to, options.bounds());
    if (never !== undefined) return { key: `${to} never`, text: never };
    if (heldFrom !== undefined) {
      const text = `${to}: this fence was taken down from ${heldFrom} by hand, and auto does not undo that; going up by hand lets it go on`;
      return { key: `${to} held`, text };
    }
    const step = options.step(to);
    if (step.readiness !== 'safe') return { key: keyOf(step), text: waitText(step) };
    safe =
      before?.to === to ? before : { to, sinceMs: nowMs, waitMs: Math.round(settleMs * (1 + options.random() / 2)) };
    const text = `${to}: safe; taken once it has been so for ${Math.ceil(safe.waitMs / 1000)} s`;
    return { key: `${to} safe`, text };
  };

  const say = (nowMs: number) => {
    if (found.key === said.key || nowMs - saidMs < SAY_INTERVAL_MS) return;
    said = found;
    saidMs = nowMs;
    options.onWaits(found.text);
  };

  const tick = () => {
    cancel = clock.after(LOOK_INTERVAL_MS, tick);
    if (!options.mayLook()) {
      safe = undefined;
      return;
    }
    const nowMs = clock.now();
    found = look(nowMs);
    say(nowMs);
    if (safe === undefined || nowMs - safe.sinceMs < safe.waitMs) return;
    const { to } = safe;
    safe = undefined;
    void options.climb(to);
  };

  return {
    on: () => on,
    set(wanted) {
      if (wanted && !on) heldFrom = undefined;
      on = wanted;
      safe = undefined;
    },
    waitsFor: () => (on ? found.text : undefined),
    noteHand(from, to) {
      heldFrom = STAGE_INDEX[to] < STAGE_INDEX[from] ? from : undefined;
    },
    start() {
      cancel ??= clock.after(LOOK_INTERVAL_MS, tick);
    },
    stop() {
      cancel?.();
      cancel = undefined;
    },
  };
}

/** Who stands against it, without figures that move by themselves. */
function keyOf({ to, readiness, against }: Step): string {
  const who = against.map(({ code, name, address }) => JSON.stringify([code, name, address])).sort();
  return `${to} ${readiness} ${who.join()}`;
}

function waitText(step: Step): string {
  const what = step.readiness === 'unsafe' ? 'not safe' : 'not known to be safe';
  const line = describeStep(step);
  return `${step.to}: ${what}${line === '' ? '' : `: ${line}`}`;
}
