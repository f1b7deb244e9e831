/** A ring of real serf agents that adopts its label: agents that are restarted with a fence before them, as pods are, and DNS that names them. */
import { chownSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { FENCE_UID } from '../lab/dist.ts';
import { type LabDns, startDns } from '../lab/dns.ts';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { createJournal, type Journal } from './adoption-journal.ts';
import { type Agent, allAlive, startAgent } from './serf-agents.ts';

/** The name under which DNS lists the members, as a headless service would. */
export const RING_NAME = 'gossip-ring.traces.svc.cluster.local';
const ADMIN = '0.0.0.0:9746';
export const CLUSTER = 'ours';
/**
 * What a member misses of gossip (each message is sent four times, to three of five others: some 1 in 100 restarts, without fences too) waits for a
 * push/pull. memberlist's first comes up to twice its interval of 30 s after the start (state.go pushPullTrigger), and the other's may be as young.
 */
const SEE_ALL_MS = 75_000;
const START_MS = 20_000;

/** How fast fences are, and how long a run waits for what they say. serf's own timers are always its defaults. */
export interface Pace {
  readonly memory: object;
  readonly limits: object;
  readonly grace: string;
  /** How long a step may take to become safe: `enforce` needs a whole window. */
  readonly safeMs: number;
  /** How long evidence may be out of date. */
  readonly exactMs: number;
  /** How long nobody is at a recycled address: longer than the grace. */
  readonly goneMs: number;
}

/**
 * Fences in a hurry. What depends on what stays as it is by default: the window is longer than serf's push/pull interval (30 s), so that in it
 * everyone sees a whole table, and members are asked dozens of times in it; the grace is longer than a refresh of DNS and a suspicion together.
 */
export const SHORT: Pace = {
  memory: { window: '35s' },
  limits: {
    probeInterval: '1s',
    settle: '2s',
    dnsRefresh: '1s',
    strangerWait: '5s',
    mergeWarmUp: '3s',
    drainGrace: '10s',
  },
  grace: '10s',
  safeMs: 75_000,
  exactMs: 20_000,
  goneMs: 13_000,
};

/** Fences as they are by default. */
export const BY_DEFAULT: Pace = {
  memory: {},
  limits: {},
  grace: '60s',
  safeMs: 900_000,
  exactMs: 120_000,
  goneMs: 100_000,
};

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
  readonly stage?: string;
  /** Whether it keeps its stage in a file. */
  readonly keeps?: boolean;
}

export interface AdoptionRing {
  readonly pace: Pace;
  readonly lab: Lab;
  readonly dns: LabDns;
  readonly journal: Journal;
  /** Every seat that there ever was, by name. */
  readonly seats: readonly Seat[];
  seat(name: string): Seat;
  /** Seats whose agent runs. */
  running(): readonly Seat[];
  /** Tells DNS to list exactly `names`. */
  list(names: readonly string[]): void;
  /** A fresh machine, with a fence before its agent where `wish` is given; `before` runs ahead of both. The others see it alive when it resolves. */
  add(name: string, wish?: FenceWish, before?: (host: Host) => void): Promise<Seat>;
  /** Leaves gracefully, then comes back and joins another: with a fence before it where `wish` is given. */
  restart(name: string, wish: FenceWish | undefined): Promise<void>;
  /** The machine is gone, without a word unless its agent left before; its address is free. */
  remove(name: string): Promise<void>;
  /** Waits until every running agent sees every running one alive, and nobody but `others` besides. */
  complete(others?: Readonly<Record<string, string>>): Promise<void>;
}

/** a1 is at 10.77.0.1. */
const addressOf = (name: string) => `10.77.0.${name.slice(1)}`;

/** An empty ring, and the name server of its lab. Everything ends with the test. */
export async function createAdoptionRing(t: Test, labName: string, pace = SHORT): Promise<AdoptionRing> {
  const lab = createLab({ name: labName });
  t.teardown(() => lab.close());
  const dns = await startDns(lab);
  t.teardown(() => dns.close());
  return createRing(lab, dns, createJournal(), pace);
}

/** Bare agents, in one ring; DNS lists `listed`. */
export async function addBare(ring: AdoptionRing, names: readonly string[], listed: readonly string[]): Promise<void> {
  ring.list(listed);
  for (const name of names) await ring.add(name);
}

function createRing(lab: Lab, dns: LabDns, journal: Journal, pace: Pace): AdoptionRing {
  const seats = new Map<string, Seat>();
  const gone = new Set<string>();
  const running = () => [...seats.values()].filter(({ name }) => !gone.has(name));
  const startFence = async (host: Host, wish: FenceWish | undefined) => {
    if (wish === undefined) return undefined;
    const fence = await host.fence(fenceConfig(lab, host.name, pace, wish));
    // The app comes once the fence forwards, as after a start-up probe: what an app tells at its join it tells once.
    await fence.process().waitFor(/"fence started"/, START_MS);
    return fence;
  };
  const come = async (one: Seat) => {
    journal.follow(one.name, one.address, one.agent.process());
    const [other] = running().filter(({ name }) => name !== one.name);
    if (other !== undefined) await joinRing(one, other);
    await ring.complete();
  };
  const ring: AdoptionRing = {
    pace,
    lab,
    dns,
    journal,
    get seats() {
      return [...seats.values()];
    },
    seat(name) {
      const found = seats.get(name);
      if (found === undefined) throw new Error(`no seat ${name}`);
      return found;
    },
    running,
    list: (names) => dns.set(RING_NAME, names.map(addressOf)),
    async add(name, wish, before) {
      const host = lab.addHost(name, { ipv4: addressOf(name) });
      dns.use(host);
      before?.(host);
      const fence = await startFence(host, wish);
      const seat = { name, address: host.ipv4, host, fence, agent: await startAgent(lab, host, 'ipv4') };
      seats.set(name, seat);
      gone.delete(name);
      await come(seat);
      return seat;
    },
    async restart(name, wish) {
      const one = ring.seat(name);
      await one.agent.leave();
      one.fence ??= await startFence(one.host, wish);
      await one.agent.start();
      await come(one);
    },
    async remove(name) {
      gone.add(name);
      await ring.seat(name).host.remove();
    },
    async complete(others = {}) {
      const expected = { ...allAlive(running().map(({ agent }) => agent)), ...others };
      const left = Object.fromEntries([...gone].map((name) => [name, 'left']));
      await Promise.all(running().map(({ agent }) => agent.waitForMembers({ ...left, ...expected }, SEE_ALL_MS)));
    },
  };
  return ring;
}

function fenceConfig(lab: Lab, name: string, pace: Pace, { stage, keeps = false }: FenceWish): object {
  const { memory, limits, grace } = pace;
  return {
    admin: { address: ADMIN },
    ...(keeps ? { stateFile: stateFileOf(lab, name) } : {}),
    fences: [
      {
        name: 'ring',
        cluster: CLUSTER,
        ...(stage === undefined ? {} : { stage }),
        transparent: {},
        admit: { dns: [RING_NAME], grace },
        memory,
        limits,
      },
    ],
  };
}

/** In a directory that only the fence's user writes to. */
function stateFileOf(lab: Lab, name: string): string {
  const dir = lab.directory(`state-${name}`);
  chownSync(dir, FENCE_UID, FENCE_UID);
  return join(dir, 'stages.json');
}

/** Joins `one` to the ring of `other`; rejects with what serf says when it cannot. */
async function joinRing(one: Seat, other: Seat): Promise<void> {
  const { ok, output } = await one.agent.join(other.agent);
  if (!ok) throw new Error(`${one.name} cannot join its own ring: ${output}`);
}
