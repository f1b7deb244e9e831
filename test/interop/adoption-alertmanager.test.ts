/**
 * From a pair of Alertmanagers that predate labels, in one ring with a strict natively labelled member behind a fence, to natively
 * labelled members without any fence. A silence is posted every second all the while, and gossip never fails.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Stage } from '../../src/policy/stage.ts';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { adoptionOf, advance, askStage, type Guarded, sayStep, stepTo } from './adoption-kit.ts';
import { ALERTMANAGER_PORT } from './alertmanagers.ts';
import { type Arrivals, createArrivals } from './arrivals.ts';
import { buildAlertmanager, buildMember } from './build.ts';
import { eventually } from './peers.ts';
import {
  LABEL,
  MEMBER_NAMES,
  type MemberName,
  removeFence,
  type SilenceRing,
  startNative,
  startNew,
  startPoster,
  startSilenceRing,
} from './silence-ring.ts';

const skip = requireTools([...LAB_TOOLS, 'go', 'prometheus-alertmanager']);
/** A silence arrives everywhere within this while nobody restarts: gossip takes 0.6 s, a lost datagram waits for a push/pull (3 s). */
const ARRIVE_MS = 5_000;
/** memory.window of the fences: what is older proves nothing. */
const WINDOW_MS = 10_000;
/** A step may need a whole window after the last unlabelled frame, and a few probe rounds. */
const SAFE_MS = 45_000;
/** An instance that is about to stop takes no silence for this long, so that it gossips what it has. */
const DRAIN_MS = 1_000;
const RELOAD_MS = 10_000;
const BARE_MS = 3_000;
/** How long a member is watched whose fence is gone and that was not restarted. */
const UNFENCED_MS = 3_000;
/** A member that answers nobody is suspected after a second, and dead some seconds later. */
const DAMAGE_MS = 60_000;

t.setTimeout(420_000);
t.jobs = 2;

t.before(async () => {
  if (skip === false) await Promise.all([buildAlertmanager(), buildMember('v0.6.0')]);
});

const OLD_APP = { sends: 'none', takes: 'none' };
const NATIVE_APP = { sends: 'own', takes: 'own' };

function fenceConfig(hosts: readonly Host[], app: object, stage: Stage): object {
  return {
    admin: { address: '0.0.0.0:9746' },
    fences: [
      {
        ...{ name: 'alerts', cluster: LABEL, stage, wire: 'none', transparent: { port: ALERTMANAGER_PORT }, app },
        admit: { cidrs: hosts.map(({ ipv4 }) => ipv4) },
        memory: { window: `${WINDOW_MS}ms` },
        limits: { probeInterval: '1s', drainGrace: '0s' },
      },
    ],
  };
}

interface Stand {
  readonly t: Test;
  readonly hosts: Readonly<Record<MemberName, Host>>;
  readonly ring: SilenceRing;
  readonly arrivals: Arrivals;
  readonly fences: Map<MemberName, Fence>;
  config(app: object, stage: Stage): object;
}

async function build(t: Test, lab: Lab): Promise<Stand> {
  const [one, two, native] = MEMBER_NAMES.map((name) => lab.addHost(name)) as [Host, Host, Host];
  const config = (app: object, stage: Stage) => fenceConfig([one, two, native], app, stage);
  const fences = new Map([['native' as MemberName, await native.fence(config(NATIVE_APP, 'accept'))]]);
  const ring = await startSilenceRing(lab, { one, two, native });
  await ring.complete();
  return { t, hosts: ring.hosts, ring, fences, config, arrivals: createArrivals(ring.watched) };
}

const eachFence = ({ hosts, fences }: Stand): readonly Guarded[] =>
  [...fences].map(([name, fence]) => ({ host: hosts[name], fence }));

/** The pair gets its fences while it runs: first the fence, then the rules, so that nothing is held up. */
async function fencePair({ t, hosts, fences, config }: Stand): Promise<void> {
  for (const name of ['one', 'two'] as const) {
    const fence = await hosts[name].fence(config(OLD_APP, 'observe'), { intercept: false });
    fence.cli('intercept', '-c', fence.configFile);
    await fence.waitUntil('ready');
    fences.set(name, fence);
  }
  const native = fences.get('native') as Fence;
  const named = eventually('label is not safe beside fences at observe', SAFE_MS, async () => {
    const step = await stepTo(native, 'label');
    const cut = step.against.filter(({ cuts }) => cuts).map(({ address }) => address);
    const expected = `${[hosts.one.ipv4, hosts.two.ipv4]}`;
    return step.readiness === 'unsafe' && `${[...new Set(cut)].sort()}` === expected ? undefined : sayStep(step);
  });
  await t.resolves(named, 'label is not safe beside fences at observe: both of the pair are named');
  const { ok, text } = await askStage(hosts.native, 'label');
  t.notOk(ok, 'and refused without force');
  for (const { ipv4 } of [hosts.one, hosts.two]) t.ok(text.includes(ipv4), `the answer names ${ipv4}`);
}

async function climb(stand: Stand): Promise<void> {
  for (const to of ['accept', 'label', 'enforce'] as const) {
    for (const guarded of eachFence(stand)) {
      if ((await adoptionOf(guarded.fence)).stage === to) continue;
      const waitedMs = await advance(stand.t, guarded, to, SAFE_MS);
      stand.t.comment(`${guarded.host.name}: ${to} was safe after ${waitedMs} ms`);
    }
  }
}

/** A natively labelled Alertmanager in the place of one that predates labels; its fence learns what it speaks, by a restart or while it runs. */
async function replace(
  { hosts, ring, fences, arrivals, config }: Stand,
  lab: Lab,
  name: 'one' | 'two',
  how: 'restart' | 'reload',
): Promise<void> {
  const fence = fences.get(name) as Fence;
  await arrivals.restart(name, async () => {
    await sleep(DRAIN_MS);
    await ring.apps[name].stop();
    writeFileSync(fence.configFile, JSON.stringify(config(NATIVE_APP, 'enforce')));
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
}

/** The fence goes first, under a running app; then the app is restarted without it. */
async function unfence({ t, hosts, ring, fences, arrivals }: Stand, lab: Lab, name: MemberName): Promise<void> {
  const fence = fences.get(name) as Fence;
  const removable = eventually(`${name} needs no fence`, SAFE_MS, async () => {
    const { yes, why } = (await adoptionOf(fence)).removable;
    return yes ? undefined : why;
  });
  await t.resolves(removable, `the fence of ${name} says that it can be removed`);
  t.strictSame(await rejections(fence), {}, `the fence of ${name} rejected nothing`);
  await removeFence(fence);
  fences.delete(name);
  await sleep(UNFENCED_MS);
  await arrivals.restart(name, async () => {
    await sleep(DRAIN_MS);
    await ring.apps[name].stop();
    ring.apps[name] = await (name === 'native' ? startNative : startNew)(lab, hosts[name], ring.others(name));
    await ring.complete();
  });
}

t.test('no silence is late or lost on the way from no labels to native ones', { skip }, async (t) => {
  const lab = createLab({ name: 'adoptam' });
  t.teardown(() => lab.close());
  const stand = await build(t, lab);
  const { ring, arrivals, fences } = stand;
  t.teardown(() => arrivals.stop());
  arrivals.start();
  const poster = startPoster(ring, arrivals.settled, arrivals.written);
  t.teardown(() => poster.stop());
  await sleep(BARE_MS);
  await fencePair(stand);
  await climb(stand);
  for (const [name, fence] of fences)
    t.strictSame(await rejections(fence), {}, `the fence of ${name} rejected nothing`);
  await replace(stand, lab, 'one', 'restart');
  await replace(stand, lab, 'two', 'reload');
  for (const name of MEMBER_NAMES) await unfence(stand, lab, name);
  await poster.stop();
  await sleep(ARRIVE_MS);
  await arrivals.stop();
  t.comment(`${arrivals.count()} silences, ${poster.retries()} retries, slowest ${arrivals.slowestMs()} ms`);
  t.strictSame(await arrivals.missing(), [], 'every silence is everywhere');
  t.strictSame(arrivals.late(ARRIVE_MS), [], `and arrived within ${ARRIVE_MS} ms, or of the end of a restart`);
  t.strictSame(arrivals.findings(), [], 'no member was missing from a member list');
});

t.test('control: a label that the pair cannot take cuts the ring', { skip }, async (t) => {
  const lab = createLab({ name: 'hastyam' });
  t.teardown(() => lab.close());
  const { hosts, ring, arrivals, fences } = await build(t, lab);
  t.teardown(() => arrivals.stop());
  arrivals.start();
  const poster = startPoster(ring, arrivals.settled, arrivals.written);
  t.teardown(() => poster.stop());
  await sleep(BARE_MS);
  const { ok, text } = await askStage(hosts.native, 'enforce', true);
  t.ok(ok, `native is forced to enforce ${ok ? '' : text}`);
  const seen = eventually('the damage is seen', DAMAGE_MS, () => {
    const [late, unseen] = [arrivals.late(ARRIVE_MS).length, arrivals.findings().length];
    return late > 0 && unseen > 0 ? undefined : `${late} late, ${unseen} unseen`;
  });
  await t.resolves(seen, 'silences are late, and members vanish from lists');
  await poster.stop();
  await arrivals.stop();
  t.not((await arrivals.missing()).length, 0, 'silences are missing at the end');
  t.not(Object.keys(await rejections(fences.get('native') as Fence)).length, 0, 'the fence rejected frames');
});
