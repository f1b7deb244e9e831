/** The stand of the flood tests: a ring of three fenced serf agents, and a host that floods them with what their fences reject. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Test } from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host } from '../lab/lab.ts';
import { buildFlood } from './build-flood.ts';
import { type Agent, SERF_PORT, startRing } from './serf-agents.ts';

export const CLUSTER = 'the-own-cluster';
/** Further addresses of the flooding host: none of them is admitted. */
const FLOODERS = ['10.77.0.201', '10.77.0.202', '10.77.0.203'];

export interface FloodStand {
  readonly ring: readonly Agent[];
  readonly fences: readonly Fence[];
  readonly flooder: Host;
}

/** `limits`: of every fence's configuration. The ring is complete and every fence ready when it resolves. */
export async function floodStand(t: Test, name: string, stage: string, limits: object): Promise<FloodStand> {
  const lab = createLab({ name });
  t.teardown(() => lab.close());
  const hosts = ['a1', 'a2', 'a3'].map((host) => lab.addHost(host));
  const flooder = lab.addHost('flooder');
  for (const address of FLOODERS) flooder.exec('ip', ['addr', 'add', `${address}/24`, 'dev', 'eth0']);
  const admit = { cidrs: hosts.map(({ ipv4 }) => ipv4) };
  const transparent = { port: SERF_PORT };
  const fence = { name: 'a', cluster: CLUSTER, stage, wire: 'none', transparent, admit, limits };
  const fences = await Promise.all(hosts.map((host) => host.fence({ fences: [fence] })));
  const ring = await startRing(lab, hosts, 'ipv4');
  await Promise.all(fences.map((each) => each.waitUntil('ready')));
  return { ring, fences, flooder };
}

/** Floods one member; gives how many packets the kernel took. */
export async function flood(
  { flooder }: FloodStand,
  target: Agent,
  kind: 'foreign' | 'garbage' | 'bare' | 'mixed',
  perSecond: number,
  seconds: number,
): Promise<number> {
  const sources = [flooder.ipv4, ...FLOODERS].join(',');
  const args = [kind, `${perSecond}`, `${seconds}`, CLUSTER, sources, target.endpoint];
  const { ok, output } = await flooder.run(buildFlood(), args, (seconds + 20) * 1_000);
  if (!ok) throw new Error(`the flooder failed: ${output}`);
  return Number(output.split('\n').at(-1));
}

/** CPU-seconds of every thread of a fence since it started. */
export function cpuSeconds(fence: Fence): number {
  const tasks = `/proc/${fence.process().pid}/task`;
  const nanoseconds = readdirSync(tasks).map((task) => {
    try {
      return Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0]);
    } catch {
      // Ended meanwhile.
      return 0;
    }
  });
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e9;
}
