/** A flood of 50,000 foreign packets a second at a fenced serf agent: nobody is suspected, and it costs next to nothing. */
import { readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import t, { type Test } from 'tap';
import type { Fence } from '../lab/fence.ts';
import { rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { cpuSeconds, type FloodStand, flood, floodStand } from './flood-stand.ts';
import { type Agent, assertQuiet, assertRing } from './serf-agents.ts';
import { marksOf, sleep } from './serf-stand.ts';

const skip = requireTools([...LAB_TOOLS, 'serf', 'gcc']);

const PER_SECOND = 50_000;
const FLOOD_S = 30;
/** What is to be seen of it by the kernel's drops: the flooder has two busy cores to share as well. */
const SEEN_SHARE = 0.5;
/** Of one core, for the whole process, while it is flooded. */
const CPU_SHARE_MAX = 0.15;
/** As `nice` counts. */
const PRIORITY = -10;
const CONTROL_S = 6;
/** The guard ends this long after a flood, with room for a busy machine. */
const QUIET_MS = 20_000;

t.setTimeout(240_000);
// The ring inherits it: what else this machine does is no part of the flood, and a starved agent suspects others without one.
if (skip === false) setPriority(PRIORITY);

t.test('guarded', { skip }, async (t) => {
  const stand = await floodStand(t, 'flood', 'accept', {});
  const [a1] = stand.ring as [Agent];
  const [fence] = stand.fences as [Fence];
  const start = marksOf(stand.ring);
  await t.test('at accept: foreign, broken and unlabelled packets', (t) => flooded(t, stand, a1, fence));
  for (const stage of ['label', 'enforce']) for (const each of stand.fences) each.setStage(stage, '--force');
  await t.test('at enforce', (t) => flooded(t, stand, a1, fence));
  assertQuiet(t, stand.ring, start, 'nobody was suspected');
  await assertRing(t, stand.ring, 'after the floods');
  for (const other of stand.fences.slice(1)) {
    t.strictSame(await rejections(other), {}, 'nothing was rejected elsewhere');
    t.equal(await other.metric('overload_dropped_total', { reason: 'kernel_filter' }), 0);
  }
  await t.test('rules that pass more end the dropping at once', (t) => observed(t, stand, a1, fence));
});

/** One flood, with all that must hold during it and after. */
async function flooded(t: Test, stand: FloodStand, target: Agent, fence: Fence): Promise<void> {
  const marks = marksOf(stand.ring);
  const from = fence.process().mark();
  const before = await counts(fence);
  const cpuBefore = cpuSeconds(fence);
  const sending = flood(stand, target, 'mixed', PER_SECOND, FLOOD_S);
  await fence.process().waitFor(/flood guard on: \d+ packets a second/, 5_000, from);
  t.equal(await fence.metric('flood_guard_active'), 1, 'the guard is on');
  const sent = await sending;
  const share = (cpuSeconds(fence) - cpuBefore) / FLOOD_S;
  t.ok(sent > PER_SECOND * FLOOD_S * SEEN_SHARE, `${sent} packets were sent`);
  t.ok(share < CPU_SHARE_MAX, `the fence took ${(share * 100).toFixed(1)}% of a core meanwhile`);
  assertQuiet(t, stand.ring, marks, 'no suspicion during the flood');
  await assertRing(t, stand.ring, 'the ring is whole');
  await fence.process().waitFor(/flood guard off: /, QUIET_MS, from);
  t.equal(await fence.metric('flood_guard_active'), 0, 'the guard is off again');
  const after = await counts(fence);
  const filtered = after.filtered - before.filtered;
  t.ok(filtered > sent * SEEN_SHARE, `the kernel dropped ${filtered}`);
  const reasons = Object.keys(after.reasons).filter((key) => after.reasons[key] !== before.reasons[key]);
  const expected = ['label_double', 'label_empty', 'label_foreign', 'label_truncated'];
  const bare = after.stage === 'accept' ? 'peer_not_admitted' : 'label_missing';
  t.strictSame(
    reasons.sort(),
    [...expected, bare].map((reason) => `inbound native packet ${reason}`).sort(),
    'each reason is still seen, and nothing of the own cluster was rejected',
  );
  const sampled = reasons.reduce((sum, key) => sum + (after.reasons[key] ?? 0) - (before.reasons[key] ?? 0), 0);
  const lost = `overflow ${after.overflow - before.overflow}, backlog ${after.backlog - before.backlog}`;
  t.comment(`CPU ${(share * 100).toFixed(1)}%, sent ${sent}, filtered ${filtered}, rejected ${sampled}, ${lost}`);
  t.ok(filtered + sampled <= sent, 'nothing was counted twice');
}

async function counts(fence: Fence) {
  const { fences } = (await fence.status()) as { fences: readonly { stage: string }[] };
  return {
    stage: fences[0]?.stage,
    reasons: await rejections(fence),
    filtered: await fence.metric('overload_dropped_total', { reason: 'kernel_filter' }),
    overflow: await fence.metric('overload_dropped_total', { reason: 'socket_overflow' }),
    /** What this machine's network lost before any socket was asked, in all namespaces. */
    backlog: backlogDrops(),
  };
}

/** /proc/net/softnet_stat: a line for each CPU, the second number is what found no room in its backlog. */
function backlogDrops(): number {
  const lines = readFileSync('/proc/net/softnet_stat', 'utf8').trim().split('\n');
  return lines.reduce((sum, line) => sum + Number.parseInt(line.split(/\s+/)[1] ?? '0', 16), 0);
}

/** At `observe` everything passes: the filter must be gone when the stage is taken. */
async function observed(t: Test, stand: FloodStand, target: Agent, fence: Fence): Promise<void> {
  fence.setStage('accept', '--force');
  const from = fence.process().mark();
  const sending = flood(stand, target, 'foreign', PER_SECOND / 5, 6);
  await fence.process().waitFor(/flood guard on/, 5_000, from);
  fence.setStage('observe', '--force');
  const filtered = await fence.metric('overload_dropped_total', { reason: 'kernel_filter' });
  t.equal(await fence.metric('flood_guard_active'), 0, 'it ended with the stage');
  await sleep(1_000);
  t.equal(
    await fence.metric('overload_dropped_total', { reason: 'kernel_filter' }),
    filtered,
    'nothing more is dropped',
  );
  await sending;
}

t.test('control: without the guard the same flood costs many times as much', { skip }, async (t) => {
  const stand = await floodStand(t, 'flood0', 'enforce', { floodPacketsPerSecond: 0 });
  const [a1] = stand.ring as [Agent];
  const [fence] = stand.fences as [Fence];
  const before = cpuSeconds(fence);
  const sent = await flood(stand, a1, 'mixed', PER_SECOND, CONTROL_S);
  const share = (cpuSeconds(fence) - before) / CONTROL_S;
  t.comment(`CPU ${(share * 100).toFixed(1)}%, sent ${sent}`);
  t.ok(share > CPU_SHARE_MAX, `it took ${(share * 100).toFixed(1)}% of a core`);
  t.equal(await fence.metric('overload_dropped_total', { reason: 'kernel_filter' }), 0);
});
