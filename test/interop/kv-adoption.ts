/**
 * A dskit ring of five through all stages and back, one fence at a time in random order, under one KV write a second: every write is
 * read everywhere, nobody is suspected, no frame of ours is rejected, and readiness tells the truth before each step.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { Stage } from '../../src/policy/stage.ts';
import { seeded } from '../datapath/harness.ts';
import { createLab, type Lab } from '../lab/lab.ts';
import { rejections } from '../lab/rejections.ts';
import { advance, askStage, assertLabelled, type Guarded, sayStep, stepTo } from './adoption-kit.ts';
import { type Arrivals, createArrivals } from './arrivals.ts';
import { buildKv } from './build.ts';
import { RING_KEY } from './kv-peers.ts';
import { eventually, GOSSIP_PORT, inTurn, type Peer, startPeer } from './peers.ts';

const JOIN_TIMEOUT_MS = 30_000;
const WRITE_MS = 1_000;
/** Fewer writes, and a run proved little. */
const LEAST = 100;
/** Few, so that a long run is about gossip and not about merging tokens. */
const TOKENS = '8';
/** A suspicion of dskit ends after some 20 s. */
const DAMAGE_MS = 90_000;

/** Timers of the fences, and how long things may take with them. */
export interface KvTimers {
  readonly memory: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>>;
  /** For a step to become safe: a window, and a few rounds of probes. */
  readonly safeMs: number;
  /** For a write to be read everywhere. */
  readonly arriveMs: number;
  /** How long the ring lives in each state between two steps. */
  readonly holdMs: number;
  readonly pollMs: number;
}

interface Member extends Guarded {
  readonly name: string;
  readonly peer: Peer;
  readonly command: Peer['command'];
}

interface Run {
  readonly t: Test;
  readonly members: readonly Member[];
  readonly timers: KvTimers;
  /** Who goes when, and apart from that who writes, so that a seed gives one order however time passes. */
  readonly random: () => number;
  readonly writers: () => number;
  readonly arrivals: Arrivals;
}

/** The whole way for one seed. */
export async function adoptKv(t: Test, labName: string, seed: number, timers: KvTimers): Promise<void> {
  const run = await startRun(t, labName, 5, seed, timers);
  const { members, arrivals } = run;
  const writer = startWriter(run);
  await upwards(run);
  for (const { name, fence } of members) await assertLabelled(t, name, fence, ['packet', 'stream']);
  await twoDownAtOnce(run);
  for (const to of ['label', 'accept', 'observe'] as const) await round(run, to);
  await writer.stop();
  await sleep(timers.arriveMs + 2 * timers.pollMs);
  await arrivals.stop();
  t.comment(`${arrivals.count()} writes, the slowest was everywhere after ${arrivals.slowestMs()} ms`);
  t.strictSame(writer.failures(), [], 'every write was taken');
  t.ok(arrivals.count() > LEAST, `there were more than ${LEAST} writes`);
  t.strictSame(await arrivals.missing(), [], 'every write is read at all five');
  t.strictSame(arrivals.late(), [], `and was within ${timers.arriveMs} ms`);
  t.strictSame(arrivals.findings(), [], 'nobody was missing from a member list');
  for (const { name, peer, fence } of members) {
    t.strictSame(suspicions(peer), [], `${name} suspected nobody, and was not suspected`);
    t.strictSame(await rejections(fence), {}, `the fence of ${name} rejected nothing`);
  }
}

/** A ring of three, where one fence goes to enforce while the others are at observe: what the proof looks for is there to be seen. */
export async function runAhead(t: Test, labName: string, seed: number, timers: KvTimers): Promise<void> {
  const run = await startRun(t, labName, 3, seed, timers);
  const { members, arrivals } = run;
  const writer = startWriter(run);
  await sleep(timers.holdMs);
  const hasty = pick(members, run.random);
  const { ok, text } = await askStage(hasty.host, 'enforce', true);
  t.ok(ok, `${hasty.name} is forced to enforce ${ok ? '' : text}`);
  const seen = eventually('the damage is seen', DAMAGE_MS, () => {
    const suspected = members.filter(({ peer }) => suspicions(peer).length > 0).length;
    const late = arrivals.late().length;
    const lost = arrivals.findings().length;
    return late > 0 && suspected > 0 && lost > 0 ? undefined : `${late} late, ${suspected} suspicious, ${lost} unseen`;
  });
  await t.resolves(seen, 'writes are late, members are suspected and vanish from lists');
  await writer.stop();
  await arrivals.stop();
  t.not((await arrivals.missing()).length, 0, 'and at the end writes are missing');
  t.not(Object.keys(await rejections(hasty.fence)).length, 0, 'its fence rejected frames');
}

const suspicions = (peer: Peer) => peer.process.lines().filter((line) => /suspect/i.test(line));

/** The ring is complete and under watch when it resolves. */
async function startRun(t: Test, labName: string, count: number, seed: number, timers: KvTimers): Promise<Run> {
  const lab = createLab({ name: labName });
  t.teardown(() => lab.close());
  t.comment(`seed ${seed}`);
  const members = await startMembers(lab, count, timers);
  const arrivals = createArrivals(members.map(watch), { pollMs: timers.pollMs, boundMs: timers.arriveMs });
  t.teardown(() => arrivals.stop());
  arrivals.start();
  return { t, members, timers, random: seeded(seed), writers: seeded(seed + 1), arrivals };
}

async function startMembers(lab: Lab, count: number, { memory, limits }: KvTimers): Promise<readonly Member[]> {
  const program = await buildKv();
  const names = Array.from({ length: count }, (_, i) => `k${i + 1}`);
  const hosts = names.map((name) => lab.addHost(name));
  const config = {
    admin: { address: '0.0.0.0:9746' },
    fences: [
      {
        ...{ name: 'ring', cluster: 'tempo.prod', stage: 'observe', wire: 'none', transparent: { port: GOSSIP_PORT } },
        ...{ app: { transport: 'dskit' }, admit: { cidrs: hosts.map(({ ipv4 }) => ipv4) }, memory, limits },
      },
    ],
  };
  const members: Member[] = [];
  for (const host of hosts) {
    const fence = await host.fence(config);
    const args = ['-bind', host.ipv4, '-port', String(GOSSIP_PORT), '-tokens', TOKENS];
    const peer = await startPeer(lab, host, program, args);
    members.push({ name: host.name, host, fence, peer, command: inTurn(peer) });
  }
  await Promise.all(members.map(({ fence }) => fence.waitUntil('ready')));
  const [first, ...others] = members as [Member, ...Member[]];
  for (const { name, command } of others) {
    const { ok, error } = await command(`join ${first.peer.endpoint}`);
    if (!ok) throw new Error(`${name} cannot join: ${error}`);
  }
  await Promise.all(members.map(({ peer }) => peer.waitForMembers(names, JOIN_TIMEOUT_MS)));
  return members;
}

function watch({ name, command }: Member) {
  const list = async (line: string, field: string) => {
    const answer = await command(line);
    if (!answer.ok) throw new Error(answer.error);
    return answer[field];
  };
  return {
    name,
    id: name,
    words: async () => (await list(`get ${RING_KEY}`, 'instances')) as readonly string[],
    view: async () => ((await list('members', 'members')) as readonly { name: string }[]).map((member) => member.name),
  };
}

/** Writes a new instance into the one ring descriptor every second, on a random member. */
function startWriter({ t, members, writers, arrivals }: Run) {
  let running = true;
  const failures: string[] = [];
  const loop = async () => {
    const startMs = Date.now();
    for (let number = 0; running; number++) {
      await sleep(Math.max(0, startMs + number * WRITE_MS - Date.now()));
      const { name, command } = pick(members, writers);
      const word = `write-${number}-${name}`;
      const { ok, error } = await command(`cas ${RING_KEY} ${word}`).catch(({ message }: Error) => ({
        ok: false,
        error: message,
      }));
      if (ok) arrivals.written(word);
      else failures.push(`${word}: ${error}`);
    }
  };
  const done = loop();
  t.teardown(() => {
    running = false;
  });
  return {
    failures: () => failures,
    async stop() {
      running = false;
      await done;
    },
  };
}

function pick<T>(items: readonly T[], random: () => number): T {
  return items[Math.floor(random() * items.length)] as T;
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** accept, label, enforce: before the last of a round goes, the next stage is asked for at one that went, and must name the last. */
async function upwards(run: Run): Promise<void> {
  await round(run, 'accept', 'label');
  await round(run, 'label', 'enforce');
  await round(run, 'enforce');
}

/** Every fence goes to `to`, in random order. */
async function round({ t, members, timers, random }: Run, to: Stage, tooEarly?: Stage): Promise<void> {
  const order = shuffled(members, random);
  const last = order.at(-1) as Member;
  for (const member of order) {
    if (member === last && tooEarly !== undefined)
      await refused(t, pick(order.slice(0, -1), random), tooEarly, last, timers);
    const waitedMs = await advance(t, member, to, timers.safeMs);
    t.comment(`${member.name}: ${to} was safe after ${waitedMs} ms`);
    await sleep(timers.holdMs);
  }
}

/** `asker` says that `to` is not safe and names the one that is behind and nobody else, and refuses it without force. */
async function refused(t: Test, asker: Member, to: Stage, behind: Member, { safeMs }: KvTimers): Promise<void> {
  const named = eventually(`${asker.name}: ${to} is unsafe for ${behind.name}`, safeMs, async () => {
    const step = await stepTo(asker.fence, to);
    const cut = step.against.filter(({ cuts }) => cuts).map(({ name, address }) => `${name} ${address}`);
    const exact = `${[...new Set(cut)]}` === `${behind.name} ${behind.host.ipv4}`;
    return step.readiness === 'unsafe' && exact ? undefined : sayStep(step);
  });
  await t.resolves(named, `${asker.name}: ${to} is unsafe, and cuts ${behind.name} alone`);
  const { ok, text } = await askStage(asker.host, to);
  t.notOk(ok, `${asker.name}: ${to} is refused without force`);
  t.ok(text.includes(behind.host.ipv4), `and the answer names ${behind.host.ipv4}`);
}

/** From enforce to accept at once: the others at enforce would reject what it sends, and are named. */
async function twoDownAtOnce({ t, members, random, timers }: Run): Promise<void> {
  const asker = pick(members, random);
  const others = members.filter((member) => member !== asker).map(({ name }) => name);
  const named = eventually(`${asker.name}: accept is unsafe`, timers.safeMs, async () => {
    const step = await stepTo(asker.fence, 'accept');
    const ahead = step.against.filter(({ cuts }) => cuts).map(({ name }) => name);
    return step.readiness === 'unsafe' && `${[...new Set(ahead)].sort()}` === `${others}` ? undefined : sayStep(step);
  });
  await t.resolves(named, `${asker.name}: from enforce to accept is unsafe, and names all others`);
  const { ok } = await askStage(asker.host, 'accept');
  t.notOk(ok, 'and is refused without force');
}
