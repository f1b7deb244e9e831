/** A ring of real serf agents that adopts its label: agents that are restarted with a fence before them, as pods are, and DNS that names them. */
import type { Test } from 'tap';
import { type LabDns, startDns } from '../lab/dns.ts';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { createJournal, type Journal } from './adoption-journal.ts';
import { type Agent, allAlive, startAgent } from './serf-agents.ts';

/** The name under which DNS lists the members, as a headless service would. */
export const RING_NAME = 'gossip-ring.traces.svc.cluster.local';
const ADMIN = '0.0.0.0:9746';
const SEE_ALL_MS = 40_000;

/**
 * The fence's timers, shortened. What depends on what stays: the window is longer than serf's push/pull interval (30 s, not shortened), so
 * that in it each member shows its whole table, and a member is asked dozens of times in it; the grace is longer than the refresh of DNS.
 */
export const TIMERS = {
  memory: { window: '35s' },
  limits: { probeInterval: '1s', settle: '2s', dnsRefresh: '1s', mergeWarmUp: '3s', drainGrace: '10s' },
  grace: '2s',
} as const;

/** Where one member lives; the place outlives its agents and fences. */
export interface Seat {
  readonly name: string;
  readonly address: string;
  host: Host;
  agent: Agent;
  fence: Fence | undefined;
}

export interface FenceWish {
  /** Undefined: none is written, so the state file, the peers or the floor say it. */
  readonly stage?: string | undefined;
  readonly stateFile?: string | undefined;
}

export interface AdoptionRing {
  readonly lab: Lab;
  readonly dns: LabDns;
  readonly journal: Journal;
  readonly seats: readonly Seat[];
  seat(name: string): Seat;
  /** Seats whose agent runs. */
  running(): readonly Seat[];
  /** Leaves gracefully, then comes back and joins another: with a fence before it where `wish` is given. The others see it alive when it resolves. */
  restart(name: string, wish: FenceWish | undefined): Promise<void>;
  /** The machine is gone, without a word; its address is free. */
  kill(name: string): Promise<void>;
  /** A fresh machine under the same name and address. */
  bringBack(name: string, wish: FenceWish | undefined): Promise<void>;
  /** Waits until every running agent sees every running one alive, and nobody but `gone` besides. */
  complete(gone?: Readonly<Record<string, string>>): Promise<void>;
}

/** The configuration of one member's fence. */
export function fenceConfig({ stage, stateFile }: FenceWish): object {
  const { memory, limits, grace } = TIMERS;
  return {
    admin: { address: ADMIN },
    ...(stateFile === undefined ? {} : { stateFile }),
    fences: [
      {
        name: 'ring',
        cluster: 'ours',
        ...(stage === undefined ? {} : { stage }),
        transparent: {},
        admit: { dns: [RING_NAME], grace },
        memory,
        limits,
      },
    ],
  };
}

/** Bare agents a1 to a`count`, in one ring; `listed`: the ones that DNS names from the beginning. */
export async function createAdoptionRing(
  t: Test,
  labName: string,
  count: number,
  listed: readonly string[],
): Promise<AdoptionRing> {
  const lab = createLab({ name: labName });
  t.teardown(() => lab.close());
  const dns = await startDns(lab);
  t.teardown(() => dns.close());
  const journal = createJournal();
  const names = Array.from({ length: count }, (_, i) => `a${i + 1}`);
  const addressOf = (name: string) => `10.77.0.${name.slice(1)}`;
  dns.set(RING_NAME, listed.map(addressOf));
  const seats = await Promise.all(
    names.map(async (name): Promise<Seat> => {
      const host = lab.addHost(name, { ipv4: addressOf(name) });
      dns.use(host);
      const agent = await startAgent(lab, host, 'ipv4');
      journal.follow(name, agent.address, agent.process());
      return { name, address: agent.address, host, agent, fence: undefined };
    }),
  );
  const ring = createRing(lab, dns, journal, seats);
  for (const seat of seats.slice(1)) await joinRing(seat, seats[0] as Seat);
  await ring.complete();
  return ring;
}

function createRing(lab: Lab, dns: LabDns, journal: Journal, seats: readonly Seat[]): AdoptionRing {
  const gone = new Set<string>();
  const seat = (name: string) => {
    const found = seats.find((each) => each.name === name);
    if (found === undefined) throw new Error(`no seat ${name}`);
    return found;
  };
  const running = () => seats.filter(({ name }) => !gone.has(name));
  const follow = ({ name, address, agent }: Seat) => journal.follow(name, address, agent.process());
  const come = async (one: Seat) => {
    const [other] = running().filter(({ name }) => name !== one.name);
    if (other !== undefined) await joinRing(one, other);
    await ring.complete();
  };
  const ring: AdoptionRing = {
    lab,
    dns,
    journal,
    seats,
    seat,
    running,
    async restart(name, wish) {
      const one = seat(name);
      await one.agent.leave();
      if (wish !== undefined) one.fence = await one.host.fence(fenceConfig(wish));
      await one.agent.start();
      follow(one);
      await come(one);
    },
    async kill(name) {
      gone.add(name);
      seat(name).fence = undefined;
      await seat(name).host.remove();
    },
    async bringBack(name, wish) {
      const one = seat(name);
      one.host = lab.addHost(name, { ipv4: one.address });
      dns.use(one.host);
      if (wish !== undefined) one.fence = await one.host.fence(fenceConfig(wish));
      one.agent = await startAgent(lab, one.host, 'ipv4');
      gone.delete(name);
      follow(one);
      await come(one);
    },
    async complete(others = {}) {
      const expected = { ...allAlive(running().map(({ agent }) => agent)), ...others };
      await Promise.all(running().map(({ agent }) => agent.waitForMembers(expected, SEE_ALL_MS)));
    },
  };
  return ring;
}

/** Joins `one` to the ring of `other`; rejects with what serf says when it cannot. */
async function joinRing(one: Seat, other: Seat): Promise<void> {
  const { ok, output } = await one.agent.join(other.agent);
  if (!ok) throw new Error(`${one.name} cannot join its own ring: ${output}`);
}
