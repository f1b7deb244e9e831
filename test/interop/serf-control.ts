/** The control arm: without fences, one `serf join` merges two clusters. What the other arms prevent does happen. */
import type { Test } from 'tap';
import { createLab } from '../lab/lab.ts';
import { pingUdp, probeTcp } from '../lab/probes.ts';
import { type Agent, allAlive, type Family, SERF_PORT, startRing } from './serf-agents.ts';

/**
 * Usually a second; but gossip tells each news four times at random, and whom it misses waits for a push/pull with one who knows: every member
 * has one in 30 s. Of 24 such merges eight took 30 s and more, the longest 57 s.
 */
const MERGE_MS = 120_000;

export async function controlArm(t: Test, family: Family): Promise<void> {
  const lab = createLab({ name: `ctl${family}` });
  t.teardown(() => lab.close());
  const hosts = ['a1', 'a2', 'a3', 'b1', 'b2', 'b3'].map((name) => lab.addHost(name));
  const a = await startRing(lab, hosts.slice(0, 3), family);
  const b = await startRing(lab, hosts.slice(3), family);
  const [a1, b2] = [a[0] as Agent, b[1] as Agent];
  const at = { address: a1.address, port: SERF_PORT };
  t.equal(await pingUdp(b2.host, at, { node: 'a1' }), 'answer', 'a foreign ping is answered');
  t.equal(await probeTcp(b2.host, at), 'connected', 'a foreign connection is taken');
  const { ok, output } = await b2.join(a1);
  t.ok(ok, `the join succeeds: ${output}`);
  const all = [...a, ...b];
  await t.resolves(
    Promise.all(all.map((agent) => agent.waitForMembers(allAlive(all), MERGE_MS))),
    'one join merged both clusters',
  );
}
