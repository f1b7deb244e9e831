/**
 * Two real serf clusters of one network merged by one join, and healed live by the fences of one of them: at `label`, where bare
 * foreigners no longer understand ours but still reach us, quarantine keeps them buried. The control arm shows what happens without.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab } from '../lab/lab.ts';
import { transparentConfig } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { eventually } from './peers.ts';
import { type Agent, allAlive, startRing } from './serf-agents.ts';
import { sleep } from './serf-stand.ts';

const skip = requireTools([...LAB_TOOLS, 'serf']);

const MERGE_MS = 20_000;
/** Suspicion among six takes about 5 s, and the probes have to come round to everyone. */
const BURY_MS = 60_000;
/** Foreigners try to reconnect every 3 s all the while. */
const HOLD_MS = 20_000;

t.setTimeout(300_000);
t.jobs = 2;

interface Merged {
  readonly fences: readonly Fence[];
  readonly ours: readonly Agent[];
  readonly theirs: readonly Agent[];
}

async function mergeTwo(t: Test, name: string): Promise<Merged> {
  const lab = createLab({ name });
  t.teardown(() => lab.close());
  const hosts = ['a1', 'a2', 'a3', 'b1', 'b2', 'b3'].map((host) => lab.addHost(host));
  const config = transparentConfig({ cluster: 'a', stage: 'observe', cidrs: [] }) as { fences: [object] };
  // The app is there to stay: there is nothing to wait for when a fence stops.
  Object.assign(config.fences[0], { limits: { drainGrace: '0s' } });
  const fences = await Promise.all(hosts.slice(0, 3).map((host) => host.fence(config)));
  const [ours, theirs] = await Promise.all([
    startRing(lab, hosts.slice(0, 3), 'ipv4'),
    startRing(lab, hosts.slice(3), 'ipv4'),
  ]);
  await Promise.all(fences.map((fence) => fence.waitUntil('ready')));
  t.ok((await (theirs[0] as Agent).join(ours[0] as Agent)).ok, 'one join merges the rings');
  // Gossip tells each news four times, at random; whom it misses would learn it by a push/pull, in 30 s or in 60. A join is one now.
  for (const [first, ...others] of [ours, theirs]) {
    for (const agent of others) t.ok((await agent.join(first as Agent)).ok, `${agent.name} hears of it`);
  }
  const six = allAlive([...ours, ...theirs]);
  await Promise.all([...ours, ...theirs].map((agent) => agent.waitForMembers(six, MERGE_MS)));
  return { fences, ours, theirs };
}

/** Changes the fence's configuration and starts the fence anew; the app is not touched. */
async function reconfigure(fence: Fence, change: Readonly<Record<string, unknown>>): Promise<void> {
  const config = JSON.parse(readFileSync(fence.configFile, 'utf8'));
  Object.assign(config.fences[0], change);
  writeFileSync(fence.configFile, JSON.stringify(config));
  await fence.stop();
  await fence.start('ready');
}

async function atLabel({ fences, ours }: Merged, quarantine: boolean): Promise<void> {
  const admit = { cidrs: ['0.0.0.0/0'], names: ['a*'] };
  for (const fence of fences) await reconfigure(fence, { stage: 'accept', quarantine, admit });
  await Promise.all(ours.map((agent) => agent.process().mark()));
  await Promise.all(fences.map(async (fence) => fence.setStage('label', '--force')));
}

t.test('quarantine heals the ring, and nobody is restarted', { skip }, async (t) => {
  const merged = await mergeTwo(t, 'qua');
  const { fences, ours, theirs } = merged;
  await atLabel(merged, true);
  const healed = { ...allAlive(ours), ...Object.fromEntries(theirs.map(({ name }) => [name, 'failed'])) };
  await Promise.all(ours.map((agent) => agent.waitForMembers(healed, BURY_MS)));
  const marks = ours.map((agent) => agent.process().mark());
  const endMs = Date.now() + HOLD_MS;
  while (Date.now() < endMs) {
    for (const agent of ours) t.strictSame(await agent.members(), healed, `${agent.name}: the foreigners stay buried`);
    await sleep(2_000);
  }
  for (const [i, agent] of ours.entries()) {
    const failed = agent
      .process()
      .lines(marks[i])
      .filter((line) => /EventMemberFailed|EventMemberJoin/.test(line));
    t.strictSame(failed, [], `${agent.name}: nobody comes, nobody goes`);
  }
  for (const agent of ours) {
    const lost = agent
      .process()
      .lines()
      .filter((line) => /EventMemberFailed: a\d/.test(line));
    t.strictSame(lost, [], `${agent.name}: none of ours ever failed`);
  }
  let stripped = 0;
  for (const fence of fences) stripped += await fence.metric('quarantined_total');
  t.ok(stripped > 0, `${stripped} entries were taken out of gossip`);
  for (const fence of fences) fence.setStage('enforce', '--force');
  await sleep(5_000);
  for (const agent of ours) t.strictSame(await agent.members(), healed, `${agent.name}: and so at enforce`);
});

t.test('control: without quarantine the foreigners come back', { skip }, async (t) => {
  const merged = await mergeTwo(t, 'noqua');
  await atLabel(merged, false);
  const { ours } = merged;
  await t.resolves(
    eventually('a foreigner that was buried is back', BURY_MS, () => {
      const back = ours.some((agent) => {
        const events = agent
          .process()
          .lines()
          .filter((line) => /EventMember(Failed|Join): b\d/.test(line));
        const failed = events.findIndex((line) => /Failed/.test(line));
        return failed >= 0 && events.slice(failed).some((line) => /Join/.test(line));
      });
      return back ? undefined : 'nobody came back';
    }),
  );
});
