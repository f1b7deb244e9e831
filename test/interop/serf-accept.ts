/** The adoption arm: fences at accept beside a bare admitted member, then label and enforce at run time, without a suspicion. */
import type { Test } from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab } from '../lab/lab.ts';
import { rejectedDuring, rejections, transparentConfig } from '../lab/rejections.ts';
import { type Agent, allAlive, assertQuiet, assertRing, type Family, startAgent, startRing } from './serf-agents.ts';
import { marksOf, sleep } from './serf-stand.ts';

const QUIET_MS = 10_000;
/** Long enough for every member to be probed and to gossip in the new stage. */
const STEP_MS = 3_000;

export async function acceptArm(t: Test, family: Family): Promise<void> {
  const lab = createLab({ name: `acc${family}` });
  t.teardown(() => lab.close());
  const hosts = ['a1', 'a2', 'a3', 'a4'].map((name) => lab.addHost(name));
  const cidrs = hosts.map((host) => host[family]);
  // The other arm has tcpSource: peer.
  const config = transparentConfig({ cluster: 'a', stage: 'accept', cidrs, tcpSource: 'pod' });
  const fences = await Promise.all(hosts.slice(0, 3).map((host) => host.fence(config)));
  const [ring, foreigner] = await Promise.all([
    startRing(lab, hosts, family),
    startAgent(lab, lab.addHost('b1'), family),
  ]);
  const fenced = ring.slice(0, 3);
  const [a1, a4] = [ring[0] as Agent, ring[3] as Agent];

  let marks = marksOf(ring);
  await sleep(QUIET_MS);
  assertQuiet(t, ring, marks, 'at accept, beside a bare member', ['a4']);
  await assertRing(t, ring, 'at accept');
  for (const fence of fences) t.strictSame(await rejections(fence), {}, 'at accept nothing of our own is rejected');
  await keptOut(t, fences[0] as Fence, a1, foreigner, 'inbound native stream peer_not_admitted');
  const wouldReject = await (fences[0] as Fence).metric('would_reject_total', {
    stage: 'enforce',
    reason: 'label_missing',
  });
  t.ok(wouldReject > 0, `what enforce would reject is counted: ${wouldReject}`);

  await a4.leave();
  const three = { ...allAlive(fenced), a4: 'left' };
  await Promise.all(fenced.map((agent) => agent.waitForMembers(three, 20_000)));
  marks = marksOf(fenced);
  for (const stage of ['label', 'enforce']) {
    for (const fence of fences) {
      fence.setStage(stage, '--force');
      t.equal(await fence.metric('stage', { stage }), 1, `a fence is at ${stage}`);
      await sleep(STEP_MS);
    }
  }
  assertQuiet(t, fenced, marks, 'through label to enforce');
  for (const agent of fenced) t.match(await agent.members(), allAlive(fenced), `at enforce: as ${agent.name} sees it`);
  await keptOut(t, fences[0] as Fence, a1, foreigner, 'inbound native stream label_missing');
  await a4.start();
  t.notOk((await a4.join(a1)).ok, 'at enforce a bare member is kept out, admitted or not');
}

async function keptOut(t: Test, fence: Fence, member: Agent, foreigner: Agent, why: string): Promise<void> {
  const inbound = await rejectedDuring(fence, async () => {
    t.notOk((await foreigner.join(member)).ok, 'a foreigner cannot join');
  });
  t.strictSame(inbound, { [why]: 1 }, why);
  const outbound = await rejectedDuring(fence, async () => {
    t.notOk((await member.join(foreigner)).ok, 'nor be joined');
  });
  t.strictSame(outbound, { 'outbound native stream peer_not_admitted': 1 }, 'the fence lets nothing out to it');
  t.strictSame(await foreigner.members(), allAlive([foreigner]), 'the foreigner stays alone');
}
