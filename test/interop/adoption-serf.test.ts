import t from 'tap';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { assertNoMore, type Events } from './adoption-events.ts';
import { fencedArm } from './adoption-fenced.ts';
import { type AdoptionRun, isMeant } from './adoption-run.ts';
import { controlArm, planOf } from './adoption-schedule.ts';

const skip = requireTools([...LAB_TOOLS, 'serf']);
/** Any will do: `npm run ci:long` takes others. */
const SEED = 4;

t.setTimeout(460_000);

t.test('six serf agents, from no fences to enforce', { skip }, async (t) => {
  const plan = planOf(SEED);
  t.comment(`seed ${SEED}: ${JSON.stringify(plan)}`);
  t.jobs = 2;
  let control: Events | undefined;
  let run: AdoptionRun | undefined;
  await Promise.all([
    t.test('control: the same restarts without fences', async (t) => {
      control = await controlArm(t, plan);
    }),
    t.test('with fences, and foreigners at the door', async (t) => {
      run = await fencedArm(t, plan, SEED);
    }),
  ]);
  if (control === undefined || run === undefined) throw new Error('an arm did not end');
  const meant = run;
  assertNoMore(t, run.events, control, (event, alarm) => isMeant(meant, event, alarm));
});
