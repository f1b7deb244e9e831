/** A foreign cluster of bare serf agents that tries to get into a ring, over and over. */
import type { Test } from 'tap';
import type { Lab } from '../lab/lab.ts';
import { pingUdp } from '../lab/probes.ts';
import type { Seat } from './adoption-ring.ts';
import { type Agent, allAlive, SERF_PORT, startAgent, startRing } from './serf-agents.ts';
import { sleep } from './serf-stand.ts';

const PAUSE_MS = 400;

export interface Hammer {
  /** Whom they try from now on; nobody: they rest. Resolves once no attempt is under way at somebody who is spared now. */
  aim(targets: readonly Seat[]): Promise<void>;
  /** One more foreigner, at an address that was somebody else's; resolves once it is of their ring. */
  join(name: string, ipv4: string): Promise<void>;
  /** It goes, and its address is free again. */
  remove(name: string): Promise<void>;
  /** Ends it: how often they tried, what got through (each a sentence), and whom their ring knows. */
  stop(): Promise<{ joins: number; pings: number; through: readonly string[]; members: readonly string[] }>;
}

/** Starts the foreigners f1 to f3 at addresses that nobody admits; they rest until they are aimed. `random`: 0 to 1. */
export async function startHammer(t: Test, lab: Lab, random: () => number): Promise<Hammer> {
  const hosts = ['f1', 'f2', 'f3'].map((name, i) => lab.addHost(name, { ipv4: `10.77.0.${101 + i}` }));
  const ring = [...(await startRing(lab, hosts, 'ipv4'))];
  const first = ring[0] as Agent;
  const counts = { joins: 0, pings: 0 };
  const through: string[] = [];
  let targets: readonly Seat[] = [];
  let stopped = false;
  const attempts = new Map<string, Promise<void>>();
  const loops = new Map<string, Promise<void>>();

  const attempt = async (agent: Agent, { name, agent: member, address }: Seat) => {
    counts.joins++;
    const { ok, output } = await agent.join(member);
    if (ok) through.push(`${agent.name} joined ${name}: ${output}`);
    counts.pings++;
    const answer = await pingUdp(agent.host, { address, port: SERF_PORT }, { node: name });
    if (answer === 'answer') through.push(`${name} answered ${agent.name}'s ping`);
  };
  const loop = async (agent: Agent) => {
    while (!stopped && ring.includes(agent)) {
      const target = targets[Math.floor(random() * targets.length)];
      const trying = target === undefined ? Promise.resolve() : attempt(agent, target);
      attempts.set(agent.name, trying);
      // Whoever is taken off the network in the middle of an attempt cannot finish it.
      await trying.catch((error: Error) => t.comment(`hammer: ${agent.name}: ${error.message.split('\n')[0]}`));
      await sleep(PAUSE_MS);
    }
  };
  for (const agent of ring) loops.set(agent.name, loop(agent));
  const stop = async () => {
    stopped = true;
    await Promise.all(loops.values());
  };
  t.teardown(stop);
  return {
    async aim(at) {
      const fewer = targets.some((seat) => !at.includes(seat));
      targets = at;
      if (fewer) await Promise.allSettled(attempts.values());
    },
    async join(name, ipv4) {
      const agent = await startAgent(lab, lab.addHost(name, { ipv4 }), 'ipv4');
      const { ok, output } = await agent.join(first);
      if (!ok) throw new Error(`${name} cannot join its own ring: ${output}`);
      ring.push(agent);
      await agent.waitForMembers(allAlive(ring), 20_000);
      loops.set(name, loop(agent));
    },
    async remove(name) {
      const agent = ring.splice(
        ring.findIndex((each) => each.name === name),
        1,
      )[0];
      await loops.get(name);
      await agent?.host.remove();
    },
    async stop() {
      await stop();
      return { ...counts, through, members: Object.keys(await first.members()).toSorted() };
    },
  };
}
