/** A stage machine on a fake clock, with a readiness that a test writes, for the tests of this room. */
import { createStageMachine, type StageChange, type StageMachineOptions } from '../../src/control/stage-machine.ts';
import type { StageWish } from '../../src/control/stage-types.ts';
import type { Stage } from '../../src/policy/stage.ts';
import type { Against, Readiness, Step } from '../../src/ring/readiness-types.ts';
import { createFakeClock } from './fake-clock.ts';

export const NONE = { sends: 'none', takes: 'none', wire: 'none' } as const;

export function against(name: string, text = 'drops labelled pings', cuts = true): Against {
  return { code: cuts ? 'drops_labelled' : 'not_heard', cuts, name, address: '10.0.0.7', port: 7946, text };
}

export function stepTo(to: Stage, readiness: Readiness, ...rows: readonly Against[]): Step {
  return { to, readiness, against: rows, againstTotal: rows.length, notes: [] };
}

export function wish(stage: Stage, change: Partial<StageWish> = {}): StageWish {
  return { stage, force: false, origin: 'api', by: '127.0.0.1', ...change };
}

export function machineAt(stage: Stage, change: Partial<StageMachineOptions> = {}) {
  const clock = createFakeClock();
  const applied: Stage[] = [];
  const changes: StageChange[] = [];
  const waits: (string | undefined)[] = [];
  const steps = new Map<Stage, Step>();
  const machine = createStageMachine({
    clock,
    start: { stage, origin: 'config' },
    starting: false,
    auto: false,
    settleMs: 30_000,
    random: () => 0.5,
    bounds: () => ({ dialects: NONE, ceiling: undefined }),
    step: (to) => steps.get(to) ?? stepTo(to, 'safe'),
    refresh: async () => {},
    apply: async (to) => void applied.push(to),
    onChange: (made) => changes.push(made),
    onWaits: (text) => waits.push(text),
    ...change,
  });
  return { clock, machine, applied, changes, waits, steps };
}
