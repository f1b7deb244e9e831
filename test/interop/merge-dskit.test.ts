/**
 * The merge alarm with real dskit rings: the members of both take everyone's frames (Grafana's label verification switched off, as in the
 * middle of its own way to labels), the fences of one of them watch, and one join of the other merges them.
 */
import t from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab } from '../lab/lab.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildKv } from './build.ts';
import { eventually, GOSSIP_PORT, type Peer, startPeer } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const LABEL = 'tempo.dev';
const ALARM_MS = 60_000;
const GOSSIP_MS = 30_000;

t.setTimeout(240_000);

interface Alarms {
  readonly total: number;
  readonly rows: readonly { readonly name: string; readonly text: string; readonly label: string }[];
}

async function ringOf(fence: Fence): Promise<{ readonly warmingUp: boolean; readonly alarms: Alarms }> {
  const { fences } = (await fence.get('/api/v1/members')) as {
    fences: [{ ring: { warmingUp: boolean; alarms: Alarms } }];
  };
  return fences[0].ring;
}

t.test('one join: the members and their label are named', { skip }, async (t) => {
  const program = await buildKv();
  const lab = createLab({ name: 'mergedk' });
  t.teardown(() => lab.close());
  const start = (name: string, ...args: readonly string[]) => {
    const host = lab.host(name);
    return startPeer(lab, host, program, ['-bind', host.ipv4, '-port', String(GOSSIP_PORT), ...args]);
  };
  const anything = '-cluster-label-verification-disabled';
  for (const name of ['ours1', 'ours2', 'ours3', 'theirs1', 'theirs2']) lab.addHost(name);
  const limits = { mergeWarmUp: '3s', drainGrace: '0s' };
  const app = { sends: 'none', takes: 'any' };
  const config = { fences: [{ name: 'ours', cluster: 'ours', stage: 'observe', transparent: {}, app, limits }] };
  const fences = await Promise.all(['ours1', 'ours2', 'ours3'].map((name) => lab.host(name).fence(config)));
  const [ours1, ours2, theirs1, theirs2] = await Promise.all([
    start('ours1', anything),
    start('ours2', anything),
    start('theirs1', anything, '-cluster-label', LABEL),
    start('theirs2', anything, '-cluster-label', LABEL),
  ]);
  t.ok((await ours2.command(`join ${ours1.endpoint}`)).ok);
  t.ok((await theirs2.command(`join ${theirs1.endpoint}`)).ok);
  // A third comes later: growth is no merge.
  const ours3: Peer = await start('ours3', anything);
  t.ok((await ours3.command(`join ${ours1.endpoint}`)).ok);
  await Promise.all([ours1, ours2, ours3].map((peer) => peer.waitForMembers(['ours1', 'ours2', 'ours3'], GOSSIP_MS)));
  for (const fence of fences) {
    const warm = async () => ((await ringOf(fence)).warmingUp ? 'it warms up' : undefined);
    await eventually('the warm-up ends', GOSSIP_MS, warm);
    t.equal((await ringOf(fence)).alarms.total, 0, 'a healthy ring that grows raises no alarm');
  }

  const startMs = Date.now();
  t.ok((await theirs1.command(`join ${ours1.endpoint}`)).ok, 'one join');
  // The fence at the contact has seen their label first. The others hear of them from ours, maybe before they see it.
  const [fence] = fences as [Fence];
  const named = eventually('the alarm names both', ALARM_MS, async () => {
    const names = (await ringOf(fence)).alarms.rows.map(({ name }) => name).sort();
    return `${names}` === 'theirs1,theirs2' ? undefined : `${names}`;
  });
  await t.resolves(named, `within ${ALARM_MS} ms`);
  for (const { name, text, label } of (await ringOf(fence)).alarms.rows) {
    t.equal(label, LABEL);
    t.match(text, new RegExp(`^RINGS MERGE: ${name} at [0-9.]+:${GOSSIP_PORT} .* cluster "${LABEL}": brought by`));
  }
  t.equal(await fence.metric('merge_alarms'), 2);
  t.comment(`${Date.now() - startMs} ms after the join began`);
});
