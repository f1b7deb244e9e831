// Debian's serf with its keyring file, behind fences that read the same file: serf's own change of keys is the fences' too.
import { readFileSync } from 'node:fs';
import t from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host } from '../lab/lab.ts';
import { rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { eventually } from './peers.ts';
import { type Agent, allAlive, SERF_PORT, startAgent } from './serf-agents.ts';

const skip = requireTools([...LAB_TOOLS, 'serf']);
const [KEY, NEXT] = [Buffer.alloc(32, 1).toString('base64'), Buffer.alloc(32, 2).toString('base64')] as const;
const KEYS_TIMEOUT_MS = 15_000;
/** A few probe rounds. */
const QUIET_MS = 6_000;

t.setTimeout(180_000);

t.test('two serf agents change their key behind their fences', { skip }, async (t) => {
  const lab = createLab({ name: 'serfkeys' });
  t.teardown(() => lab.close());
  const hosts = [lab.addHost('one'), lab.addHost('two')] as const;
  const cidrs = hosts.map(({ ipv4 }) => ipv4);
  const start = async (host: Host): Promise<readonly [Agent, Fence, string]> => {
    const file = lab.file(`${host.name}.keyring`, JSON.stringify([KEY]));
    const gossip = { name: 'gossip', cluster: 'serf', stage: 'enforce', transparent: { port: SERF_PORT } };
    const encryption = { keyFiles: [file], reseal: 'on' };
    const fence = await host.fence({ fences: [{ ...gossip, admit: { cidrs }, encryption }] });
    return [await startAgent(lab, host, 'ipv4', { keyring_file: file }), fence, file];
  };
  const both = [await start(hosts[0]), await start(hosts[1])] as const;
  const [[one, , file], [two]] = both;
  const agents = [one, two];
  await Promise.all(both.map(([, fence]) => fence.waitUntil('ready')));
  t.ok((await two.join(one)).ok, 'they join');
  for (const agent of agents) await agent.waitForMembers(allAlive(agents), 20_000);

  const keysOf = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as string[];
  const change = async (how: string, key: string) => {
    const { ok, output } = await one.host.run('serf', ['keys', how, key], 30_000);
    t.ok(ok, `serf keys ${how}: ${ok ? '' : output}`);
  };
  const inUse = (count: number) =>
    Promise.all(
      both.map(([, fence]) =>
        eventually(`${count} keys`, KEYS_TIMEOUT_MS, async () => {
          const keys = await fence.metric('gossip_keys');
          return keys === count ? undefined : `${keys} keys`;
        }),
      ),
    );
  await change('-install', NEXT);
  t.equal(keysOf(file).length, 2, 'serf wrote it to its file');
  await inUse(2);
  await change('-use', NEXT);
  await change('-remove', KEY);
  await inUse(1);
  t.strictSame(keysOf(file), [NEXT]);

  const marks = agents.map((agent) => agent.process().mark());
  await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  for (const [i, agent] of agents.entries()) t.strictSame(agent.alarms(marks[i]), [], `${agent.name} suspects nobody`);
  for (const [agent, fence] of both) {
    t.strictSame(await agent.members(), allAlive(agents), `as ${agent.name} sees it`);
    t.strictSame(await rejections(fence), {}, 'nothing was rejected');
    t.equal(await fence.metric('sealed_frames_total', { outcome: 'no_key' }), 0, 'every frame was opened');
    t.ok((await fence.metric('resealed_frames_total', { direction: 'outbound' })) > 0, 'and sealed with the label');
  }
});
