/**
 * `stage: auto` with real serf agents: six fences take a bare ring to enforce by themselves; and with one member never fenced they stop before
 * they cut it, and name it.
 */
import t, { type Test } from 'tap';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { type AutoRing, createAutoRing } from './adoption-auto.ts';
import { adoptionOf, sayStep, stepTo } from './adoption-kit.ts';
import { fenceOf } from './adoption-run.ts';
import { MEMBERS } from './adoption-schedule.ts';
import { eventually } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'serf']);

/** From the last fence on: a few rounds of probes to `label`, a whole window (65 s) to `enforce`, and the settling before each. */
const ENFORCE_MS = 150_000;
const ACCEPT_MS = 40_000;
/** Many times what a step takes to settle (2 to 3 s). */
const HOLD_MS = 25_000;
/** What auto waits for is looked at about once a second. */
const NAME_MS = 15_000;

t.setTimeout(420_000);
t.jobs = 2;

t.test('hands-free', { skip }, async (t) => {
  const auto = await createAutoRing(t, 'autosix', MEMBERS);
  for (const name of MEMBERS) await auto.rollIn(name);
  await t.resolves(auto.untilAll('enforce', ENFORCE_MS), 'six fences are at enforce');
  await byItself(t, auto);
  await auto.watch(6_000);
  await auto.ring.complete();
  await auto.assertCalm(t);
});

/** That it was auto which took each step, one at a time, and said so. */
async function byItself(t: Test, { ring, seenMs }: AutoRing): Promise<void> {
  const times = [...seenMs]
    .filter(([text]) => /label|enforce/.test(text))
    .map(([text, ms]) => `${text} ${(ms / 1_000).toFixed(1)} s`);
  t.comment(`after the last fence was started: ${times.join(', ')}`);
  for (const seat of ring.seats) {
    const fence = fenceOf(seat);
    for (const to of ['label', 'enforce']) {
      t.equal(await fence.metric('stage_changes_total', { to, origin: 'auto' }), 1, `${seat.name}: auto went to ${to}`);
    }
    const taken = fence.lines().filter((line) => /stage .*(enforce|label)/.test(line) && line.includes('auto'));
    t.ok(taken.length >= 2, `${seat.name}: and said so`);
  }
}

t.test('one member is never fenced', { skip }, async (t) => {
  const bare = MEMBERS.at(-1) as string;
  const auto = await createAutoRing(t, 'autobare', MEMBERS);
  for (const name of MEMBERS.slice(0, -1)) await auto.rollIn(name);
  await t.resolves(auto.untilAll('accept', ACCEPT_MS), 'five fences are at accept');
  await auto.watch(HOLD_MS);
  await t.resolves(auto.untilAll('accept', 0), `and stay there for ${HOLD_MS} ms`);
  for (const { name, fence } of auto.ring.seats) if (fence !== undefined) await named(t, auto, name, bare);
  t.strictSame(await auto.rejections.grown(), [], 'the bare member is one of the ring');
  await auto.rollIn(bare);
  await t.resolves(auto.untilAll('enforce', ENFORCE_MS), 'with a fence before it all six go to enforce');
  await byItself(t, auto);
  await auto.ring.complete();
  await auto.assertCalm(t);
});

/** Where an operator would look: the API, the status, the metric, the log. */
async function named(t: Test, { ring }: AutoRing, name: string, bare: string): Promise<void> {
  const fence = fenceOf(ring.seat(name));
  const expected = `${bare} ${ring.seat(bare).address} drops_labelled true`;
  const who = new RegExp(`\\b${bare}\\b.*drops labelled pings`);
  const only = eventually(`${name} names ${bare}, and nobody else`, NAME_MS, async () => {
    const step = await stepTo(fence, 'label');
    const rows = step.against.map((row) => `${row.name} ${row.address} ${row.code} ${row.cuts}`);
    if (step.readiness !== 'unsafe' || `${rows}` !== expected) return sayStep(step);
    const { waitsFor } = (await adoptionOf(fence)) as { waitsFor?: unknown };
    return who.test(String(waitsFor)) ? undefined : `auto waits for ${waitsFor}`;
  });
  await t.resolves(
    only,
    `${name}: label is not safe because of ${bare}, and of nobody else: that is what auto waits for`,
  );
  t.match(fence.cli('status', '--admin', 'http://127.0.0.1:9746'), who, `${name}: ringfence status says it`);
  t.ok(
    fence.lines().some((line) => who.test(line)),
    `${name}: the log says it`,
  );
  t.equal(await fence.metric('ready_to_advance', { to: 'label' }), 0, `${name}: the metric says it`);
}
