/** The proof that a ring of six serf agents adopts its label without losing anybody: a run with fences, held against one without. */
import type { Test } from 'tap';
import { assertNoMore, type Events } from './adoption-events.ts';
import { fencedArm } from './adoption-fenced.ts';
import type { Pace } from './adoption-ring.ts';
import { type AdoptionRun, isMeant } from './adoption-run.ts';
import { controlArm, planOf } from './adoption-schedule.ts';

export async function adoptWithoutLoss(t: Test, seed: number, pace: Pace): Promise<void> {
  const plan = planOf(seed);
  t.comment(`seed ${seed}: ${JSON.stringify(plan)}`);
  t.jobs = 2;
  let control: Events | undefined;
  let run: AdoptionRun | undefined;
  await Promise.all([
    t.test('control: the same restarts without fences', async (t) => {
      control = await controlArm(t, plan, pace);
    }),
    t.test('with fences, and foreigners at the door', async (t) => {
      run = await fencedArm(t, plan, seed, pace);
    }),
  ]);
  if (control === undefined || run === undefined) throw new Error('an arm did not end');
  const meant = run;
  assertNoMore(t, run.events, control, (event, alarm) => isMeant(meant, event, alarm));
}
