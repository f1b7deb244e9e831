/**
 * Where a fence stands in its adoption, and who may move it: every change, whoever wants it, goes through one guard (stage-guard.ts),
 * one at a time, and is answered when every thread decides by it.
 */
import { STAGE_INDEX, type Stage } from '../policy/stage.ts';
import type { Step } from '../ring/readiness-types.ts';
import type { Clock } from './clock.ts';
import { type Auto, createAuto } from './stage-auto.ts';
import { describeStep, impossible, refusalOf, type StageBounds } from './stage-guard.ts';
import type { StageAnswer, StageMachine, StageOrigin, StageWish } from './stage-types.ts';

/** A change that is in force. */
export interface StageChange {
  readonly from: Stage;
  readonly to: Stage;
  readonly origin: StageOrigin;
  readonly force: boolean;
  /** Who asked, for the log. */
  readonly by: string;
  /** What readiness said of it before; undefined for the end of a start. */
  readonly step: Step | undefined;
}

export interface StageMachineOptions {
  readonly clock: Clock;
  readonly start: { readonly stage: Stage; readonly origin: StageOrigin };
  /** Whether the stage is still to be found out (starter.ts): `start.stage` stands in for it. */
  readonly starting: boolean;
  readonly auto: boolean;
  readonly settleMs: number;
  /** 0 up to 1: fences that become ready together do not step together. */
  random(): number;
  /** What the fence can be; asked each time, because a reload changes it. */
  bounds(): StageBounds;
  /** What readiness says of going to `stage` now. */
  step(stage: Stage): Step;
  /** Asks the fences of others anew, bounded in time: one that goes the other way just now must not be met by what it said before. */
  refresh(): Promise<void>;
  /** Resolves when every thread decides by `stage`. */
  apply(stage: Stage): Promise<void>;
  /** Called after a change is in force. */
  onChange(change: StageChange): void;
  /** What auto waits for, one line, when that changes; undefined: nothing any more. */
  onWaits(text: string | undefined): void;
}

/** The machine as its owner holds it. */
export interface OwnedStageMachine extends StageMachine {
  /** Ends the start: the stage is `stage`. Without effect once it has ended, except that peers may answer late while it is the default and nobody moved it. */
  begin(stage: Stage, origin: 'peers' | 'default', by: string): Promise<void>;
  /** What a wish would be answered with if it were refused now; undefined: it would be granted. */
  refusal(wish: StageWish): (StageAnswer & { readonly ok: false }) | undefined;
  setAuto(on: boolean): void;
  /** Lets auto look from now on. */
  start(): void;
  stop(): void;
}

const BUSY_WHY = 'another change of the stage is under way: ask again';
const STARTING_WHY =
  'the stage is not known yet: once the app speaks, the fences of the first peers are asked; force sets it now';

export function createStageMachine(options: StageMachineOptions): OwnedStageMachine {
  const { clock } = options;
  let { stage, origin } = options.start;
  let { starting } = options;
  let sinceMs = clock.now();
  let busy = false;
  const changes = new Map<string, { readonly to: Stage; readonly origin: StageOrigin; count: number }>();

  const enter = async (change: StageChange): Promise<void> => {
    busy = true;
    ({ to: stage, origin } = change);
    starting = false;
    sinceMs = clock.now();
    const key = `${change.to} ${change.origin}`;
    const known = changes.get(key) ?? { to: change.to, origin: change.origin, count: 0 };
    changes.set(key, known);
    known.count++;
    try {
      await options.apply(change.to);
    } finally {
      busy = false;
    }
    options.onChange(change);
  };

  /** The step that a wish means, and why it is refused. */
  const weigh = (wish: StageWish) => {
    const no = (why: string, final: boolean, step?: Step) => ({ ok: false, from: stage, why, step, final }) as const;
    if (busy) return { step: undefined, refused: no(BUSY_WHY, false) };
    if (starting) {
      // A configuration that names a stage goes before whatever else would be found out.
      if (wish.origin !== 'config' && !wish.force) return { step: undefined, refused: no(STARTING_WHY, false) };
      const never = impossible(wish.stage, options.bounds());
      // Forced, whom it cuts is said all the same.
      const step = wish.force ? options.step(wish.stage) : undefined;
      return { step, refused: never === undefined ? undefined : no(never, true) };
    }
    const step = options.step(wish.stage);
    const refusal = refusalOf(stage, wish, step, options.bounds());
    return { step, refused: refusal === undefined ? undefined : no(refusal.why, refusal.final, step) };
  };

  const request = async (wish: StageWish): Promise<StageAnswer> => {
    const from = stage;
    const to = wish.stage;
    if (!busy && !starting && to === from) return { ok: true, from, to, step: undefined };
    let { step, refused } = weigh(wish);
    if (refused === undefined && !wish.force && !starting) {
      busy = true;
      try {
        await options.refresh();
      } finally {
        busy = false;
      }
      // From here to the change in one turn, so that nobody comes in between.
      ({ step, refused } = weigh(wish));
    }
    if (refused !== undefined) return refused;
    if (wish.origin === 'api') auto.noteHand(from, to);
    await enter({ from, to, origin: wish.origin, force: wish.force, by: wish.by, step });
    return { ok: true, from, to, step };
  };

  const auto: Auto = createAuto({
    clock,
    on: options.auto,
    settleMs: options.settleMs,
    random: options.random,
    stage: () => stage,
    mayLook: () => !busy && !starting,
    bounds: options.bounds,
    step: options.step,
    climb: (to) => request({ stage: to, force: false, origin: 'auto', by: 'auto' }),
    onWaits: options.onWaits,
  });

  return {
    stage: () => stage,
    origin: () => origin,
    sinceMs: () => sinceMs,
    starting: () => starting,
    auto: auto.on,
    waitsFor: auto.waitsFor,
    request,
    refusal: (wish) => (!busy && !starting && wish.stage === stage ? undefined : weigh(wish).refused),
    changes: () => [...changes.values()],
    async begin(to, from, by) {
      const late = origin === 'default' && from === 'peers' && to !== stage;
      if (busy || !(starting || late)) return;
      await enter({ from: stage, to, origin: from, force: false, by, step: undefined });
    },
    setAuto: auto.set,
    start: auto.start,
    stop: auto.stop,
  };
}

/** A change for the log: one line, escaped. */
export function changeText({ from, to, origin, force, step, by }: StageChange): string {
  if (origin === 'peers' || origin === 'default') return `stage ${to}: ${by}`;
  const way = STAGE_INDEX[to] > STAGE_INDEX[from] ? 'up' : 'down';
  const forced = force ? ', forced' : '';
  const said = step === undefined ? '' : `; readiness: ${step.readiness}`;
  const against = step === undefined || step.againstTotal === 0 ? '' : ` (${describeStep(step)})`;
  return `stage changed from ${from} ${way} to ${to} by ${by}${forced}${said}${against}`;
}
