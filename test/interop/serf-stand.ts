/** The stand of the fenced arms: clusters A and B of three serf agents, a stray of a third, and the fences in front of them. */
import type { Test } from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Lab } from '../lab/lab.ts';
import { rejectedDuring, transparentConfig } from '../lab/rejections.ts';
import { type Agent, type Family, startAgent, startRing } from './serf-agents.ts';

export interface Stand {
  readonly lab: Lab;
  readonly family: Family;
  readonly a: readonly [Agent, Agent, Agent];
  readonly b: readonly [Agent, Agent, Agent];
  /** Alone; fenced with a label of its own, and careless: its fence admits everyone, so its labelled frames do reach others. */
  readonly stray: Agent;
  /** By host: a1, a2, a3 (label a, enforce), b1 (label b, accept: b2 and b3 are bare) and stray (label c, enforce). */
  readonly fences: Readonly<Record<'a1' | 'a2' | 'a3' | 'b1' | 'stray', Fence>>;
}

export type FencedHost = keyof Stand['fences'];

/** Builds it; both rings are complete when it resolves. */
export async function buildStand(t: Test, family: Family): Promise<Stand> {
  const lab = createLab({ name: `serf${family}` });
  t.teardown(() => lab.close());
  const hosts = ['a1', 'a2', 'a3', 'b1', 'b2', 'b3', 'stray'].map((name) => lab.addHost(name));
  const addresses = (cluster: string) => hosts.filter(({ name }) => name.startsWith(cluster)).map((h) => h[family]);
  const a = transparentConfig({ cluster: 'a', stage: 'enforce', cidrs: addresses('a') });
  const b = transparentConfig({ cluster: 'b', stage: 'accept', cidrs: addresses('b') });
  const c = transparentConfig({ cluster: 'c', stage: 'enforce', cidrs: [] });
  const fence = (name: string, config: object) => lab.host(name).fence(config);
  const [a1, a2, a3, b1, stray] = await Promise.all([
    fence('a1', a),
    fence('a2', a),
    fence('a3', a),
    fence('b1', b),
    fence('stray', c),
  ]);
  const fences = { a1, a2, a3, b1, stray };
  const [ringA, ringB, [alone]] = await Promise.all([
    startRing(lab, hosts.slice(0, 3), family),
    startRing(lab, hosts.slice(3, 6), family),
    Promise.all([startAgent(lab, lab.host('stray'), family)]),
  ]);
  await Promise.all(Object.values(fences).map((each) => each.waitUntil('ready')));
  return { lab, family, a: ringA as Stand['a'], b: ringB as Stand['b'], stray: alone, fences };
}

/** How every fence's rejections grew during `action`; fences without growth are left out. */
export async function growth(
  stand: Stand,
  action: () => Promise<void>,
): Promise<Partial<Record<FencedHost, Record<string, number>>>> {
  const names = Object.keys(stand.fences) as FencedHost[];
  const grown: Partial<Record<FencedHost, Record<string, number>>> = {};
  const nested = names.reduce<() => Promise<void>>(
    (inner, name) => async () => {
      const of = await rejectedDuring(stand.fences[name], inner);
      if (Object.keys(of).length > 0) grown[name] = of;
    },
    action,
  );
  await nested();
  return grown;
}

/** Marks of every agent's log, for `assertQuiet`. */
export function marksOf(agents: readonly Agent[]): ReadonlyMap<string, number> {
  return new Map(agents.map((agent) => [agent.name, agent.process().mark()]));
}

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
