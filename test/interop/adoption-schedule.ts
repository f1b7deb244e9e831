/** The order of a run, the same with fences and without, and the run without: what its restarts alone do to a ring. */
import type { Test } from 'tap';
import { seeded } from '../datapath/harness.ts';
import { type Events, recordEvents, restartOf } from './adoption-events.ts';
import { addBare, createAdoptionRing, type Pace } from './adoption-ring.ts';

export const MEMBERS = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6'] as const;
/** Within this time everyone has probed everyone twice: one probe a second, to five others. */
export const TWO_ROUNDS_MS = 10_000;
/** How long a foreigner is at the recycled address: our members try to reconnect to it every 3 s. */
export const FOREIGN_MS = 10_000;

export type Round = 'accept' | 'label' | 'enforce';

export interface Plan {
  /** Who is restarted with a fence when. */
  readonly rollIn: readonly string[];
  /** The order of each round; a round is over before the next begins, so that fences are one stage apart at most. */
  readonly rounds: Readonly<Record<Round, readonly string[]>>;
  /** Whose address is recycled. */
  readonly recycled: string;
}

/** The plan of a seed. */
export function planOf(seed: number): Plan {
  const random = seeded(seed);
  const order = () => shuffled(MEMBERS, random);
  return {
    rollIn: order(),
    rounds: { accept: order(), label: order(), enforce: order() },
    recycled: order()[0] ?? 'a1',
  };
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** The restarts of `plan` without fences; without foreigners as well, because they would be in at once. */
export async function controlArm(t: Test, plan: Plan, pace: Pace): Promise<Events> {
  const ring = await createAdoptionRing(t, 'adoctl', pace);
  await addBare(ring, MEMBERS, MEMBERS);
  const events = recordEvents(t, ring.journal);
  for (const name of plan.rollIn) await events.run(restartOf(name), () => ring.restart(name, undefined));
  await events.run('quiet', async () => {}, 2 * TWO_ROUNDS_MS);
  await events.run(`${plan.recycled} is gone`, () => ring.remove(plan.recycled), pace.goneMs + FOREIGN_MS);
  await events.run(`${plan.recycled} is back`, () => ring.add(plan.recycled));
  await events.run('quiet again', async () => {}, 2 * TWO_ROUNDS_MS);
  return events;
}
