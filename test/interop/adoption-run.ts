/** One run through the stages: each step is asked for before it is taken, and what it did is looked at in every fence and every log. */
import type { Test } from 'tap';
import { STAGE_INDEX, STAGES, type Stage } from '../../src/policy/stage.ts';
import type { Events } from './adoption-events.ts';
import type { Alarm } from './adoption-journal.ts';
import { askStage, type Step, sayStep, stepTo } from './adoption-kit.ts';
import type { AdoptionRing, Seat } from './adoption-ring.ts';
import { eventually } from './peers.ts';

export const ADMIN = ['--admin', 'http://127.0.0.1:9746'] as const;

export interface AdoptionRun {
  readonly ring: AdoptionRing;
  readonly events: Events;
  /** Where each fence is, as the test put it there; a seat that is not here has none. */
  readonly stages: Map<string, Stage>;
  /** Names that DNS lists. */
  readonly listed: Set<string>;
  /** How many verdicts were compared with the truth, by what they said. */
  readonly verdicts: Record<Step['readiness'], number>;
  /** Events in which somebody is cut on purpose. */
  readonly troubles: Map<string, Trouble>;
}

/** Who may alarm about whom. */
export interface Trouble {
  /** Undefined: anybody. */
  readonly observers: readonly string[] | undefined;
  readonly subjects: readonly string[];
}

/** Whether an alarm of an event is what the schedule does on purpose. */
export function isMeant({ troubles }: AdoptionRun, event: string, { observer, subjects }: Alarm): boolean {
  const trouble = troubles.get(event);
  if (trouble === undefined) return false;
  if (trouble.observers === undefined && subjects.length === 0) return false;
  const meant = trouble.observers === undefined || trouble.observers.includes(observer);
  return meant && subjects.every((name) => trouble.subjects.includes(name));
}

export function createRun(ring: AdoptionRing, events: Events, listed: readonly string[]): AdoptionRun {
  const verdicts = { safe: 0, unsafe: 0, unknown: 0 };
  return { ring, events, stages: new Map(), listed: new Set(listed), verdicts, troubles: new Map() };
}

/** Whom a step of `seat` up to `to` would cut, in truth: the conditions of each stage on the way. */
export function cutBy({ ring, stages, listed }: AdoptionRun, seat: Seat, to: Stage): readonly string[] {
  const from = STAGE_INDEX[stages.get(seat.name) ?? 'observe'];
  const rank = (name: string) => STAGE_INDEX[stages.get(name) ?? 'observe'];
  const conditions: Readonly<Record<Stage, (name: string) => boolean>> = {
    observe: () => false,
    accept: (name) => !listed.has(name),
    label: (name) => rank(name) < STAGE_INDEX.accept,
    enforce: (name) => rank(name) < STAGE_INDEX.label,
  };
  const steps = STAGES.slice(from + 1, STAGE_INDEX[to] + 1);
  return ring
    .running()
    .map(({ name }) => name)
    .filter((name) => name !== seat.name && steps.some((step) => conditions[step](name)))
    .toSorted();
}

/** What readiness says, held against the truth: never safe where somebody is cut. */
async function verdict(t: Test, run: AdoptionRun, seat: Seat, to: Stage): Promise<Step> {
  const step = await stepTo(fenceOf(seat), to);
  run.verdicts[step.readiness]++;
  const cut = cutBy(run, seat, to);
  if (step.readiness === 'safe' && cut.length > 0) t.fail(`${seat.name}: says that ${to} is safe, and it cuts ${cut}`);
  return step;
}

export function fenceOf({ name, fence }: Seat) {
  if (fence === undefined) throw new Error(`${name} has no fence`);
  return fence;
}

const certain = ({ against }: Step) => [
  ...new Set(against.filter(({ cuts }) => cuts).map(({ name, address }) => name ?? address ?? 'the ring')),
];

/** Waits until the step is called safe and takes it without force, as an operator would or through the API; nobody notices. */
export async function advance(t: Test, run: AdoptionRun, seat: Seat, to: Stage, by: 'cli' | 'api'): Promise<void> {
  const fence = fenceOf(seat);
  const from = run.stages.get(seat.name);
  const startMs = Date.now();
  await run.events.run(`${seat.name} to ${to}`, async () => {
    await eventually(`${seat.name}: ${to} is safe`, run.ring.pace.safeMs, async () => {
      const step = await verdict(t, run, seat, to);
      return step.readiness === 'safe' ? undefined : sayStep(step);
    });
    t.comment(`${seat.name}: ${to} was safe after ${Date.now() - startMs} ms`);
    await take(t, seat, to, by);
    run.stages.set(seat.name, to);
  });
  t.equal(await fence.metric('stage', { stage: to }), 1, `${seat.name} went from ${from} to ${to}`);
}

/** Takes a step that is safe, without force. */
async function take(t: Test, seat: Seat, to: Stage, by: 'cli' | 'api'): Promise<void> {
  if (by === 'cli') {
    t.match(fenceOf(seat).cli('stage', to, ...ADMIN), `-> ${to}`, `${seat.name}: ringfence stage ${to}`);
    return;
  }
  const { ok, text } = await askStage(seat.host, to);
  t.ok(ok, `${seat.name}: POST ${to}${ok ? '' : `: ${text}`}`);
}

/** One step down, which needs no force. */
export async function rollBack(t: Test, run: AdoptionRun, seat: Seat, to: Stage): Promise<void> {
  await take(t, seat, to, 'cli');
  run.stages.set(seat.name, to);
}

/**
 * Takes a step that is not safe: it is refused and names exactly those whom it cuts; with force it cuts exactly them, and rolled back they
 * are there again. `lost` tells whom the seat has no contact with since it was called last.
 */
export async function forceAndRollBack(
  t: Test,
  run: AdoptionRun,
  seat: Seat,
  to: Stage,
  lost: () => Promise<readonly string[]>,
  liveMs: number,
): Promise<void> {
  const from = run.stages.get(seat.name) as Stage;
  const cut = cutBy(run, seat, to);
  const pair = [seat.name, ...cut];
  for (const event of [`${seat.name} forced to ${to}`, `${seat.name} back to ${from}`]) {
    run.troubles.set(event, { observers: pair, subjects: pair });
    // What is logged while the test looks at what was lost.
    run.troubles.set(`before ${event}`, { observers: pair, subjects: pair });
  }
  await run.events.run(
    `${seat.name} before it is forced to ${to}`,
    () =>
      t.resolves(
        eventually(`${seat.name}: ${to} cuts exactly ${cut}`, run.ring.pace.exactMs, async () => {
          const step = await verdict(t, run, seat, to);
          return `${certain(step).toSorted()}` === `${cut}` && step.readiness === 'unsafe' ? undefined : sayStep(step);
        }),
        `readiness names ${cut}, and nobody else, as cut by ${to}`,
      ),
    0,
  );
  const refused = await askStage(seat.host, to);
  t.notOk(refused.ok, `${seat.name}: ${to} is refused`);
  for (const name of cut) t.match(refused.text, new RegExp(`\\b${name}\\b`), `and the refusal names ${name}`);
  await lost();
  await run.events.run(
    `${seat.name} forced to ${to}`,
    async () => {
      const said = fenceOf(seat).cli('stage', to, '--force', ...ADMIN);
      for (const name of cut)
        t.match(said, new RegExp(`cuts.*\\b${name}\\b`), `the forced step says that it cuts ${name}`);
      run.stages.set(seat.name, to);
    },
    liveMs,
  );
  t.strictSame((await lost()).toSorted(), cut, `${seat.name} forced to ${to}: exactly those lost contact`);
  await run.events.run(`${seat.name} back to ${from}`, () => rollBack(t, run, seat, from), liveMs / 2);
  await lost();
  await run.events.run(`${seat.name} recovered`, async () => {}, liveMs / 2);
  t.strictSame(await lost(), [], `${seat.name} back at ${from}: they are there again`);
}
