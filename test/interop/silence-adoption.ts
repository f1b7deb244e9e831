/**
 * From a pair of Alertmanagers that predate labels, in one ring with a strict natively labelled member behind a fence, to natively
 * labelled members without any fence: a silence is posted every second all the while, and gossip never fails.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { Stage } from '../../src/policy/stage.ts';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { rejections } from '../lab/rejections.ts';
import { adoptionOf, advance, askStage, assertLabelled, type Guarded, sayStep, stepTo } from './adoption-kit.ts';
import { ALERTMANAGER_PORT } from './alertmanagers.ts';
import { type Arrivals, createArrivals } from './arrivals.ts';
import { eventually } from './peers.ts';
import {
  LABEL,
  MEMBER_NAMES,
  type MemberName,
  type RingApp,
  removeFence,
  type SilenceRing,
  startNative,
  startNew,
  startPoster,
  startSilenceRing,
} from './silence-ring.ts';

/** Timers of the fences, and how long things may take with them. */
export interface SilenceTimers {
  readonly memory: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>>;
  /** For a step to become safe: a window after the last unlabelled frame, and a few rounds of probes. */
  readonly safeMs: number;
  /** For a silence to be everywhere while nobody restarts: gossip takes 0.6 s, what is missed waits for a push/pull: 3 s, twice that after a start. */
  readonly arriveMs: number;
  /** How long the ring lives in each state between two steps. */
  readonly holdMs: number;
  readonly pollMs: number;
}

/** An instance that is about to stop takes no silence for this long, so that it gossips what it has. */
const DRAIN_MS = 1_000;
/** A run posts a silence a second; fewer than these, and it proved little. */
const LEAST = 50;
const RELOAD_MS = 10_000;
/** For a fence that was restarted to know its stage, asked late included (LATE_EVERY_MS). */
const STARTED_MS = 15_000;
/** A member that answers nobody is suspected after a second, and dead some seconds later. */
const DAMAGE_MS = 60_000;

const OLD_APP = { sends: 'none', takes: 'none' };
const NATIVE_APP = { sends: 'own', takes: 'own' };

interface Stand {
  readonly t: Test;
  readonly lab: Lab;
  readonly hosts: Readonly<Record<MemberName, Host>>;
  readonly ring: SilenceRing;
  readonly arrivals: Arrivals;
  readonly fences: Map<MemberName, Fence>;
  /** Apps that were stopped, for their logs. */
  readonly retired: RingApp[];
  readonly timers: SilenceTimers;
  config(app: object, stage?: Stage): object;
}

/** The whole way. */
export async function adoptSilences(t: Test, labName: string, timers: SilenceTimers): Promise<void> {
  const stand = await build(t, labName, timers);
  const { ring, arrivals, fences } = stand;
  const poster = post(stand);
  await sleep(timers.holdMs);
  await fencePair(stand);
  await climb(stand);
  for (const [name, fence] of fences) {
    await assertLabelled(t, name, fence, ['packet', 'stream']);
    t.strictSame(await rejections(fence), {}, `the fence of ${name} rejected nothing`);
  }
  t.match(
    (await adoptionOf(fences.get('one') as Fence)).removable,
    { yes: false, why: /app\.sends/ },
    'one needs its fence',
  );
  await replace(stand, 'one', 'restart');
  await replace(stand, 'two', 'reload');
  for (const name of MEMBER_NAMES) await unfence(stand, name);
  await poster.stop();
  await sleep(timers.arriveMs + 2 * timers.pollMs);
  await arrivals.stop();
  t.comment(`${arrivals.count()} silences, ${poster.retries()} retries, slowest ${arrivals.slowestMs()} ms`);
  const suspicions = [...stand.retired, ...Object.values(ring.apps)]
    .flatMap((app) => app.lines())
    .filter((line) => /suspect/i.test(line));
  t.comment(`${suspicions.length} lines about suspicion in all logs: ${suspicions.slice(0, 5).join(' | ')}`);
  t.ok(arrivals.count() > LEAST, `there were more than ${LEAST} silences`);
  t.strictSame(await arrivals.missing(), [], 'every silence is everywhere');
  t.strictSame(arrivals.late(), [], `and was within ${timers.arriveMs} ms, or of the end of a restart`);
  t.strictSame(arrivals.findings(), [], 'no member was missing from a member list');
}

/** The same ring, where the native member's fence goes to enforce while the pair is bare: what the proof looks for is there to be seen. */
export async function runAhead(t: Test, labName: string, timers: SilenceTimers): Promise<void> {
  const stand = await build(t, labName, timers);
  const { hosts, arrivals, fences } = stand;
  const poster = post(stand);
  await sleep(timers.holdMs);
  const { ok, text } = await askStage(hosts.native, 'enforce', true);
  t.ok(ok, `native is forced to enforce ${ok ? '' : text}`);
  const seen = eventually('the damage is seen', DAMAGE_MS, () => {
    const [late, unseen] = [arrivals.late().length, arrivals.findings().length];
    return late > 0 && unseen > 0 ? undefined : `${late} late, ${unseen} unseen`;
  });
  await t.resolves(seen, 'silences are late, and members vanish from lists');
  await poster.stop();
  await arrivals.stop();
  t.not((await arrivals.missing()).length, 0, 'silences are missing at the end');
  t.not(Object.keys(await rejections(fences.get('native') as Fence)).length, 0, 'the fence rejected frames');
}

/** The bare pair and the native member behind its fence at accept, complete and under watch. */
async function build(t: Test, labName: string, timers: SilenceTimers): Promise<Stand> {
  const lab = createLab({ name: labName });
  t.teardown(() => lab.close());
  const [one, two, native] = MEMBER_NAMES.map((name) => lab.addHost(name)) as [Host, Host, Host];
  const admit = { cidrs: [one, two, native].map(({ ipv4 }) => ipv4) };
  const { memory, limits } = timers;
  const config = (app: object, stage?: Stage) => ({
    admin: { address: '0.0.0.0:9746' },
    fences: [
      {
        ...{ name: 'alerts', cluster: LABEL, wire: 'none', transparent: { port: ALERTMANAGER_PORT } },
        ...{ app, admit, memory, limits, ...(stage === undefined ? {} : { stage }) },
      },
    ],
  });
  const fences = new Map([['native' as MemberName, await native.fence(config(NATIVE_APP, 'accept'))]]);
  const ring = await startSilenceRing(lab, { one, two, native });
  await ring.complete();
  const arrivals = createArrivals(ring.watched, { pollMs: timers.pollMs, boundMs: timers.arriveMs });
  t.teardown(() => arrivals.stop());
  arrivals.start();
  return { t, lab, hosts: ring.hosts, ring, fences, config, arrivals, timers, retired: [] };
}

function post({ t, ring, arrivals }: Stand) {
  const poster = startPoster(ring, arrivals);
  t.teardown(() => poster.stop());
  return poster;
}

const eachFence = ({ hosts, fences }: Stand): readonly Guarded[] =>
  [...fences].map(([name, fence]) => ({ host: hosts[name], fence }));

/** The pair gets its fences while it runs: first the fence, then the rules, so that nothing is held up. */
async function fencePair({ t, hosts, fences, config, timers }: Stand): Promise<void> {
  for (const name of ['one', 'two'] as const) {
    const fence = await hosts[name].fence(config(OLD_APP, 'observe'), { intercept: false });
    const { ok, output } = await fence.run('intercept', '-c', fence.configFile);
    t.ok(ok, `the rules of ${name} ${ok ? '' : output}`);
    await fence.waitUntil('ready');
    fences.set(name, fence);
  }
  const native = fences.get('native') as Fence;
  const named = eventually('label is not safe beside fences at observe', timers.safeMs, async () => {
    const step = await stepTo(native, 'label');
    const cut = step.against.filter(({ cuts }) => cuts).map(({ address }) => address);
    const expected = `${[hosts.one.ipv4, hosts.two.ipv4]}`;
    return step.readiness === 'unsafe' && `${[...new Set(cut)].sort()}` === expected ? undefined : sayStep(step);
  });
  await t.resolves(named, 'label is not safe beside fences at observe: both of the pair are named');
  const { ok, text } = await askStage(hosts.native, 'label');
  t.notOk(ok, 'and refused without force');
  t.notOk((await adoptionOf(native)).removable.yes, 'the fence of native is needed');
  for (const { ipv4 } of [hosts.one, hosts.two]) t.ok(text.includes(ipv4), `the answer names ${ipv4}`);
}

async function climb(stand: Stand): Promise<void> {
  for (const to of ['accept', 'label', 'enforce'] as const) {
    for (const guarded of eachFence(stand)) {
      if ((await adoptionOf(guarded.fence)).stage === to) continue;
      const waitedMs = await advance(stand.t, guarded, to, stand.timers.safeMs);
      stand.t.comment(`${guarded.host.name}: ${to} was safe after ${waitedMs} ms`);
      await sleep(stand.timers.holdMs);
    }
  }
}

/**
 * A natively labelled Alertmanager in the place of one that predates labels; its fence learns what it speaks. By a restart, as a new pod:
 * the fence remembers nothing, is told no stage, and takes it from the fences of the others. Or by a reload, while the fence runs.
 */
async function replace(stand: Stand, name: 'one' | 'two', how: 'restart' | 'reload'): Promise<void> {
  const { t, lab, hosts, ring, fences, arrivals, config } = stand;
  const fence = fences.get(name) as Fence;
  await arrivals.restart(name, async () => {
    await retire(stand, name);
    writeFileSync(fence.configFile, JSON.stringify(config(NATIVE_APP)));
    if (how === 'reload') process.kill(fence.process().pid, 'SIGHUP');
    else {
      await fence.stop();
      await fence.start();
    }
    await eventually(`the fence of ${name} knows that its app is labelled`, RELOAD_MS, async () => {
      const { fences: shown } = (await fence.status()) as { fences: readonly { app: { sends: string } }[] };
      return shown[0]?.app.sends === 'own' ? undefined : JSON.stringify(shown[0]?.app);
    });
    ring.apps[name] = await startNew(lab, hosts[name], ring.others(name));
    await ring.complete();
  });
  const wanted = { stage: 'enforce', origin: how === 'restart' ? 'peers' : 'api' };
  // Whose app came too late for its first peers to be asked is told by those that it heard of.
  const begun = eventually(`after a ${how}`, STARTED_MS, async () => {
    const { stage, origin } = await adoptionOf(fence);
    return stage === wanted.stage && origin === wanted.origin ? undefined : `at ${stage} by ${origin}`;
  });
  await t.resolves(begun, `after a ${how}`);
}

/** The fence goes first, under a running app; then the app is restarted without it. */
async function unfence(stand: Stand, name: MemberName): Promise<void> {
  const { t, lab, hosts, ring, fences, arrivals, timers } = stand;
  const fence = fences.get(name) as Fence;
  const removable = eventually(`${name} needs no fence`, timers.safeMs, async () => {
    const { yes, why } = (await adoptionOf(fence)).removable;
    return yes ? undefined : why;
  });
  await t.resolves(removable, `the fence of ${name} says that it can be removed`);
  t.strictSame(await rejections(fence), {}, `the fence of ${name} rejected nothing`);
  await removeFence(fence);
  fences.delete(name);
  await sleep(timers.holdMs);
  await arrivals.restart(name, async () => {
    await retire(stand, name);
    ring.apps[name] = await (name === 'native' ? startNative : startNew)(lab, hosts[name], ring.others(name));
    await ring.complete();
  });
}

/** Ends an app that takes no silences any more. */
async function retire({ ring, retired }: Stand, name: MemberName): Promise<void> {
  const app = ring.apps[name];
  await sleep(DRAIN_MS);
  await app.stop();
  retired.push(app);
}
