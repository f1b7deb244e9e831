/** Visiting many targets again and again: once an interval, spread over it, so many at a time. */
import type { Clock } from './clock.ts';

/** Targets of one round; what is beyond is left out. */
export const ROUND_TARGETS_MAX = 10_000;

/** The shortest step between visits: with more targets than steps, several start at once. */
const STEP_MIN_MS = 20;

/** How soon it is looked again for targets while there are none, at most. */
const IDLE_MS = 1_000;

export interface RoundsOptions<T> {
  readonly clock: Clock;
  /** Asked at the start of each round: how long it takes at least; longer where visits take longer than `inFlightMax` of them at a time allow. */
  intervalMs(): number;
  readonly inFlightMax: number;
  /** Whom to visit in the round that starts now; none: no round. */
  begin(): readonly T[];
  /** Must settle within a bound of its own. */
  visit(target: T): Promise<void>;
  /** Every visit of the round has ended. */
  end(): void;
}

export interface Rounds {
  /** Starts the first round at once; nothing happens while it runs already. */
  start(): void;
  /** Starts no further visit. Visits under way end by themselves; `end` is not called for their round. */
  stop(): void;
}

/** Rounds that are not started yet. A late timer or a clock that jumped makes visits late, never more than `inFlightMax` at a time. */
export function createRounds<T>({ clock, intervalMs, inFlightMax, begin, visit, end }: RoundsOptions<T>): Rounds {
  /** Tells the visits of a stopped run from those of the next. */
  let run = 0;
  let running = false;
  let cancel = () => {};

  const later = (delayMs: number, act: () => void) => {
    cancel();
    cancel = clock.after(delayMs, act);
  };

  const round = (): void => {
    const targets = begin().slice(0, ROUND_TARGETS_MAX);
    if (targets.length === 0) {
      later(Math.min(intervalMs(), IDLE_MS), round);
      return;
    }
    const ours = run;
    const startedMs = clock.now();
    const roundMs = intervalMs();
    const slotMs = roundMs / targets.length;
    let next = 0;
    let open = 0;
    const step = (): void => {
      const due = Math.min(targets.length, Math.floor((clock.now() - startedMs) / slotMs) + 1);
      for (; next < due && open < inFlightMax; next++) {
        open++;
        void visit(targets[next] as T)
          .catch(() => undefined)
          .then(() => {
            open--;
            if (ours === run) proceed();
          });
      }
    };
    const proceed = (): void => {
      step();
      if (next < targets.length) {
        if (open < inFlightMax) later(Math.max(STEP_MIN_MS, startedMs + next * slotMs - clock.now()), proceed);
      } else if (open === 0) {
        end();
        later(Math.max(0, startedMs + roundMs - clock.now()), round);
      }
    };
    proceed();
  };

  return {
    start() {
      if (running) return;
      running = true;
      run++;
      round();
    },
    stop() {
      running = false;
      run++;
      cancel();
    },
  };
}
