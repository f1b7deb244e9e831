/**
 * The way back with real serf agents: from enforce to observe, one fence at a time; at each stage a fence that is killed and comes back, with
 * and without a file that keeps its stage; and a fresh pod with `stage: auto` in a ring that enforces.
 */
import t, { type Test } from 'tap';
import { STAGE_INDEX, STAGES, type Stage } from '../../src/policy/stage.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { type Events, recordEvents } from './adoption-events.ts';
import { isDroppedPing } from './adoption-journal.ts';
import { askStage } from './adoption-kit.ts';
import { outage } from './adoption-outage.ts';
import { createOwnRejections, type OwnRejections } from './adoption-rejections.ts';
import { type AdoptionRing, addBare, CLUSTER, createAdoptionRing } from './adoption-ring.ts';
import { fenceOf } from './adoption-run.ts';
import { eventually } from './peers.ts';
import { kernelCount, watchWire } from './serf-wire.ts';

const skip = requireTools([...LAB_TOOLS, 'serf']);
const NAMES = ['a1', 'a2', 'a3', 'a4'] as const;
const ADMIN = ['--admin', 'http://127.0.0.1:9746'] as const;
const CALM_MS = 3_000;
const START_MS = 15_000;

t.setTimeout(420_000);

interface Arm {
  readonly ring: AdoptionRing;
  readonly events: Events;
}

interface Fenced extends Arm {
  readonly rejections: OwnRejections;
}

t.test('back from enforce, stage by stage', { skip }, async (t) => {
  const [fenced, control] = await Promise.all([enforcing(t), bare(t)]);
  await freshPod(t, fenced);
  let stage: Stage = 'enforce';
  for (;;) {
    await outages(t, fenced, control, stage);
    const below: Stage | undefined = STAGES[STAGE_INDEX[stage] - 1];
    if (below === undefined) break;
    await rollBack(t, fenced, stage, below);
    stage = below;
  }
  await fenced.ring.complete();
  compare(t, fenced.events, control.events);
});

/** a3 and a4 are told to enforce; a1, which keeps its stage in a file, and a2, which does not, find that out from them. */
async function enforcing(t: Test): Promise<Fenced> {
  const ring = await createAdoptionRing(t, 'adoback');
  ring.list(NAMES);
  for (const name of ['a3', 'a4']) await ring.add(name, { stage: 'enforce' });
  await ring.add('a1', { keeps: true });
  await ring.add('a2', {});
  const fenced = { ring, events: recordEvents(t, ring.journal), rejections: createOwnRejections(ring) };
  for (const name of ['a1', 'a2']) await startedAt(t, ring, name, 'enforce', 'peers');
  await fenced.events.run('the ring enforces', async () => {}, CALM_MS);
  t.strictSame(await fenced.rejections.grown(), [], 'no fence rejected one of its own');
  return fenced;
}

async function bare(t: Test): Promise<Arm> {
  const ring = await createAdoptionRing(t, 'adobackc');
  await addBare(ring, NAMES, NAMES);
  return { ring, events: recordEvents(t, ring.journal) };
}

async function startedAt(t: Test, ring: AdoptionRing, name: string, stage: Stage, origin: string): Promise<void> {
  const fence = fenceOf(ring.seat(name));
  await t.resolves(
    eventually(`${name} is at ${stage} from ${origin}`, START_MS, async () => {
      const { fences } = (await fence.get('/api/v1/adoption?brief=true')) as {
        fences: [{ stage: string; origin: string; starting: boolean }];
      };
      const [now] = fences;
      return now.stage === stage && now.origin === origin && !now.starting ? undefined : JSON.stringify(now);
    }),
    `${name} starts at ${stage}, from ${origin}`,
  );
}

/** It joins at once, never sends an unlabelled frame, nobody suspects it; then it goes, as a pod that is scaled down. */
async function freshPod(t: Test, { ring, events, rejections }: Fenced): Promise<void> {
  ring.list([...NAMES, 'a5']);
  const seat = await events.run(
    'a fresh pod with auto',
    () => ring.add('a5', { stage: 'auto' }, (host) => watchWire(host, CLUSTER)),
    8_000,
  );
  await startedAt(t, ring, 'a5', 'enforce', 'peers');
  for (const way of ['in', 'out'] as const) {
    t.ok(kernelCount(seat.host, 'watch', `labelled_${way}`) > 0, `the kernel saw labels, ${way}`);
  }
  t.equal(kernelCount(seat.host, 'watch', 'other_out'), 0, 'no datagram left without');
  t.strictSame(await rejections.grown(), [], 'nor was a stream of it rejected');
  t.strictSame(events.alarms.get('a fresh pod with auto'), [], 'nobody suspected it');
  await events.run('the fresh pod leaves', () => seat.agent.leave(), CALM_MS);
  await ring.remove('a5');
  ring.list(NAMES);
  await ring.complete();
  t.strictSame(events.alarms.get('the fresh pod leaves'), [], 'nobody was alarmed as it left');
}

async function outages(t: Test, fenced: Fenced, control: Arm, stage: Stage): Promise<void> {
  for (const [name, origin] of [
    ['a1', 'state_file'],
    ['a2', 'peers'],
  ] as const) {
    await outage(t, name, `${name}'s fence restarts at ${stage}`, fenced, control);
    await startedAt(t, fenced.ring, name, stage, origin);
    const gone = { a5: 'left' };
    await fenced.ring.complete(gone);
    t.strictSame(await fenced.rejections.grown(), [], `${name} back at ${stage}: no fence rejected one of its own`);
  }
}

/** One fence after the other, without force; the first that would go further ahead of the others is refused. */
async function rollBack(t: Test, { ring, events, rejections }: Fenced, from: Stage, to: Stage): Promise<void> {
  const further: Stage | undefined = STAGES[STAGE_INDEX[to] - 1];
  const order = [...NAMES].toReversed();
  for (const [i, name] of order.entries()) {
    const fence = fenceOf(ring.seat(name));
    const event = `${name} from ${from} to ${to}`;
    await events.run(event, async () => t.match(fence.cli('stage', to, ...ADMIN), `-> ${to}`, event), CALM_MS);
    // Until the others have heard that its fence is at observe, they still ask it whether it takes labelled frames.
    const noticed = events.alarms.get(event)?.filter((alarm) => to !== 'observe' || !isDroppedPing(alarm));
    t.strictSame(noticed, [], `${event}: nobody noticed`);
    t.strictSame(await rejections.grown(), [], `${event}: no fence rejected one of its own`);
    if (i > 0 || further === undefined) continue;
    const { ok, text } = await askStage(ring.seat(name).host, further);
    t.notOk(ok, `${name}: ${further} is refused while the others are at ${from}`);
    for (const other of order.slice(1)) t.match(text, new RegExp(`\\b${other}\\b`), `and the refusal names ${other}`);
  }
}

/** Nobody failed, here or there; and what is suspected meanwhile is suspected of whoever was away, as there. */
function compare(t: Test, fenced: Events, control: Events): void {
  const lines = (events: Events, pattern: RegExp) =>
    [...events.alarms].flatMap(([event, alarms]) =>
      alarms.filter(({ kind }) => pattern.test(kind)).map(({ observer, line }) => `${event}: ${observer}: ${line}`),
    );
  t.strictSame(lines(fenced, /EventMemberFailed/), [], 'no member failed');
  const suspicions = (events: Events) => lines(events, /Suspect .* has failed/).length;
  t.comment(
    `suspicions: ${suspicions(fenced)} with fences, ${suspicions(control)} with members off the network as long`,
  );
  for (const [event, alarms] of fenced.alarms) {
    const away = /^(a\d)'s fence restarts/.exec(event)?.[1];
    const strange = alarms.filter(
      (alarm) =>
        !isDroppedPing(alarm) &&
        (away === undefined || (alarm.observer !== away && alarm.subjects.some((name) => name !== away))),
    );
    t.strictSame(
      strange.map(({ observer, line }) => `${observer}: ${line}`),
      [],
      `${event}: alarms about who was away only`,
    );
  }
}
