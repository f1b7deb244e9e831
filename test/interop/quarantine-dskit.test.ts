/**
 * Two real dskit rings merged by one join, and the members healed live by the fences of one of them at `accept`. What a fence cannot
 * take back is listed for the operator: the foreigners' instances in the shared key, which have to be forgotten by hand.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab } from '../lab/lab.ts';
import { transparentConfig } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildKv } from './build.ts';
import { instances, RING_KEY } from './kv-peers.ts';
import { eventually, GOSSIP_PORT, type Peer, startPeer } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
/** dskit probes one member every five seconds, and gossip takes its turn. Whom it misses by chance learns by a push/pull, in 30 s or in 60. */
const GOSSIP_MS = 90_000;
/** A probe round, the suspicion (four rounds of five seconds once two others confirm it) and its news. */
const BURY_MS = 90_000;
const HOLD_MS = 12_000;

t.setTimeout(600_000);

const knows = (peer: Peer, id: string) =>
  eventually(`${peer.name} reads ${id}`, GOSSIP_MS, async () => {
    const seen = await instances(peer);
    return seen.includes(id) ? undefined : `${seen}`;
  });

interface Ring {
  readonly instances: { readonly rows: readonly { readonly id: string; readonly outside: string | null }[] };
  readonly members: { readonly rows: readonly { readonly name: string; readonly state: string }[] };
}

async function ringOf(fence: Fence): Promise<Ring> {
  const { fences } = (await fence.get('/api/v1/members')) as { fences: readonly { ring: Ring }[] };
  return fences[0]?.ring as Ring;
}

async function quarantined(t: Test, fence: Fence, cidrs: readonly string[]): Promise<void> {
  const config = JSON.parse(readFileSync(fence.configFile, 'utf8'));
  Object.assign(config.fences[0], { stage: 'accept', quarantine: true, admit: { cidrs, names: ['ours*'] } });
  writeFileSync(fence.configFile, JSON.stringify(config));
  await fence.stop();
  await fence.start('ready');
  t.equal(await fence.metric('stage', { stage: 'accept' }), 1);
}

t.test('the members part again, and what stays in the key is named', { skip }, async (t) => {
  const program = await buildKv();
  const lab = createLab({ name: 'dkqua' });
  t.teardown(() => lab.close());
  const hosts = ['ours1', 'ours2', 'ours3', 'theirs1', 'theirs2'].map((name) => lab.addHost(name));
  const config = transparentConfig({ cluster: 'ours', stage: 'observe', cidrs: [] }) as { fences: [object] };
  Object.assign(config.fences[0], { limits: { drainGrace: '0s' } });
  const fences = await Promise.all(hosts.slice(0, 3).map((host) => host.fence(config)));
  const peers = await Promise.all(
    hosts.map((host) => startPeer(lab, host, program, ['-bind', host.ipv4, '-port', String(GOSSIP_PORT)])),
  );
  const [ours1, ours2, ours3, theirs1, theirs2] = peers as [Peer, Peer, Peer, Peer, Peer];
  const ours = [ours1, ours2, ours3];
  const ourNames = ours.map(({ name }) => name);
  for (const [one, other] of [
    [ours2, ours1],
    [ours3, ours1],
    [theirs2, theirs1],
    [theirs1, ours1],
  ] as const) {
    t.ok((await one.command(`join ${other.endpoint}`)).ok, `${one.name} joins ${other.name}`);
  }
  await Promise.all(peers.map((peer) => peer.waitForMembers([...ourNames, 'theirs1', 'theirs2'], GOSSIP_MS)));
  t.ok((await ours1.command(`cas ${RING_KEY} ours-ingester`)).ok);
  t.ok((await theirs1.command(`cas ${RING_KEY} theirs-ingester`)).ok);
  await Promise.all([knows(ours2, 'theirs-ingester'), knows(theirs2, 'ours-ingester')]);
  t.pass('the rings are one: members and key');

  const cidrs = hosts.slice(0, 3).map(({ ipv4 }) => ipv4);
  for (const fence of fences) await quarantined(t, fence, cidrs);
  await Promise.all(ours.map((peer) => peer.waitForMembers(ourNames, BURY_MS)));
  const endMs = Date.now() + HOLD_MS;
  while (Date.now() < endMs) {
    for (const peer of ours) t.strictSame(await peer.members(), ourNames, `${peer.name} stays healed`);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  }
  t.ok((await theirs1.command(`cas ${RING_KEY} theirs-later`)).ok);
  t.ok((await ours1.command(`cas ${RING_KEY} ours-later`)).ok);
  await knows(ours2, 'ours-later');
  t.notOk((await instances(ours2)).includes('theirs-later'), 'nothing new of theirs comes in');

  for (const fence of fences) {
    const outside = async () => {
      const { instances } = await ringOf(fence);
      return instances.rows.filter((row) => row.outside !== null).map(({ id }) => id);
    };
    const named = eventually('what is left to forget by hand is named', GOSSIP_MS, async () => {
      const seen = await outside();
      return `${seen}` === 'theirs-ingester' ? undefined : `${seen}`;
    });
    await t.resolves(named, 'the instance of theirs that stayed is named for the operator, and no other');
    const left = (await ringOf(fence)).members.rows.filter(({ state }) => state === 'alive').map(({ name }) => name);
    t.strictSame([...left].sort(), ourNames, 'the fence sees the same ring');
  }
});
