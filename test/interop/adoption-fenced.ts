/**
 * The run with fences: from no fences to enforce, foreigners at the door from the first `accept` to the end (before, at observe, fences let
 * everyone in: that is what observe means), and the address of one member theirs for a while.
 */
import type { Test } from 'tap';
import { STAGE_INDEX, type Stage } from '../../src/policy/stage.ts';
import { seeded } from '../datapath/harness.ts';
import { recordEvents, restartOf } from './adoption-events.ts';
import { type Hammer, startHammer } from './adoption-hammer.ts';
import { createOwnRejections, type OwnRejections } from './adoption-rejections.ts';
import { addBare, createAdoptionRing, type Pace, type Seat } from './adoption-ring.ts';
import { ADMIN, type AdoptionRun, advance, createRun, fenceOf, forceAndRollBack } from './adoption-run.ts';
import { FOREIGN_MS, MEMBERS, type Plan, type Round, TWO_ROUNDS_MS } from './adoption-schedule.ts';
import { eventually } from './peers.ts';
import { allAlive } from './serf-agents.ts';
import { sleep } from './serf-stand.ts';

interface Fenced extends AdoptionRun {
  readonly hammer: Hammer;
  readonly rejections: OwnRejections;
  readonly plan: Plan;
}

export async function fencedArm(t: Test, plan: Plan, seed: number, pace: Pace): Promise<AdoptionRun> {
  const late = plan.rounds.accept.at(-1) as string;
  const listed = MEMBERS.filter((name) => name !== late);
  const ring = await createAdoptionRing(t, 'adofen', pace);
  await addBare(ring, MEMBERS, listed);
  const hammer = await startHammer(t, ring.lab, seeded(seed));
  const rejections = createOwnRejections(ring);
  const run: Fenced = { ...createRun(ring, recordEvents(t, ring.journal), listed), hammer, rejections, plan };
  await rollIn(t, run);
  await acceptRound(t, run, late);
  await recycleAddress(t, run);
  await labelRound(t, run);
  for (const name of plan.rounds.enforce) await step(t, run, name, 'enforce');
  await fleetShows(t, run, 'enforce');
  await run.events.run('quiet', async () => {}, TWO_ROUNDS_MS);
  await atTheEnd(t, run);
  return run;
}

/** A fence before each, one after the other. */
async function rollIn(t: Test, run: Fenced): Promise<void> {
  const { ring, events, stages, plan } = run;
  for (const name of plan.rollIn) {
    await events.run(restartOf(name), () => ring.restart(name, { stage: 'observe' }));
    stages.set(name, 'observe');
  }
  t.strictSame(await run.rejections.grown(), [], 'at observe nothing is rejected');
}

/** One step that readiness calls safe: and it is. */
async function step(t: Test, run: Fenced, name: string, to: Round): Promise<void> {
  const count = run.verdicts.safe;
  await advance(t, run, run.ring.seat(name), to, count % 2 === 0 ? 'cli' : 'api');
  await aim(run);
  t.strictSame(await run.rejections.grown(), [], `${name} at ${to}: no fence rejected one of its own`);
  const spread = [...run.stages.values()].map((stage) => STAGE_INDEX[stage]);
  t.ok(Math.max(...spread) - Math.min(...spread) <= 1, 'the fences are at most one stage apart');
}

/** At everyone whose fence is at accept or later. */
async function aim({ ring, stages, hammer }: Fenced): Promise<void> {
  await hammer.aim(ring.running().filter(({ name }) => STAGE_INDEX[stages.get(name) ?? 'observe'] > 0));
}

/** Somebody else than `but`, who is ready for more. */
const firstBut = (names: readonly string[], but: string) => names.find((name) => name !== but) as string;

async function acceptRound(t: Test, run: Fenced, late: string): Promise<void> {
  const { ring, rejections, plan } = run;
  const rejectedAt = (seat: Seat) => () => rejections.of(seat);
  const first = ring.seat(firstBut(plan.rounds.accept, late));
  // DNS does not list the late one yet.
  await forceAndRollBack(t, run, first, 'accept', rejectedAt(first), TWO_ROUNDS_MS);
  ring.list(MEMBERS);
  run.listed.add(late);
  for (const name of plan.rounds.accept.filter((each) => each !== late)) await step(t, run, name, 'accept');
  const bold = ring.seat(firstBut(plan.rounds.label, late));
  // The late one's app drops what carries a label: its fence at observe hands it through.
  await forceAndRollBack(t, run, bold, 'label', unanswered(bold, ring.seats), TWO_ROUNDS_MS);
  await step(t, run, late, 'accept');
  await fleetShows(t, run, 'accept');
}

/** `ringfence status --fleet`, at whoever comes first: a row for each of the others. */
async function fleetShows(t: Test, { ring }: Fenced, stage: Round): Promise<void> {
  const [asked, ...others] = ring.running() as [Seat, ...Seat[]];
  await t.resolves(
    eventually(`ringfence status --fleet at ${asked.name}`, ring.pace.exactMs, () => {
      const text = fenceOf(asked).cli('status', '--fleet', ...ADMIN);
      const row = ({ name, address }: Seat) => new RegExp(`^ *${name} +${address}:7946 +alive .* ${stage}$`, 'm');
      return others.every((seat) => row(seat).test(text)) ? undefined : text;
    }),
    `ringfence status --fleet shows every other member alive and its fence at ${stage}`,
  );
}

/** Names of the members that did not answer a ping of `seat`'s app itself since the last call; others may have answered for them. */
function unanswered(seat: Seat, seats: readonly Seat[]): () => Promise<readonly string[]> {
  let mark = seat.agent.process().mark();
  return async () => {
    const lines = seat.agent.process().lines(mark);
    mark = seat.agent.process().mark();
    const failed = lines.flatMap((line) => /Failed (?:UDP )?ping: (\S+) \(timeout reached\)/.exec(line)?.[1] ?? []);
    return seats.map(({ name }) => name).filter((name) => failed.includes(name));
  };
}

/** A member is gone without a word, DNS drops it, and a foreigner gets its address, while everyone tries to reconnect to it. */
async function recycleAddress(t: Test, run: Fenced): Promise<void> {
  const { ring, events, stages, hammer, rejections, plan } = run;
  const seat = ring.seat(plan.recycled);
  const others = ring.seats.filter(({ name }) => name !== seat.name);
  await hammer.aim(others);
  // What a fence accepts of its app before it dialled a dead member, the app takes for a connection: an error more than without it.
  run.troubles.set(`${seat.name} is gone`, { observers: undefined, subjects: [seat.name] });
  await events.run(
    `${seat.name} is gone`,
    async () => {
      await ring.remove(seat.name);
      stages.delete(seat.name);
      ring.list(others.map(({ name }) => name));
      run.listed.delete(seat.name);
      await sleep(ring.pace.goneMs);
      const before = await rejections.about(seat.address, 'outbound');
      await hammer.join('f4', seat.address);
      await sleep(FOREIGN_MS);
      const kept = (await rejections.about(seat.address, 'outbound')) - before;
      t.ok(kept > 0, `${kept} frames of ours to the foreigner at the recycled address were kept in`);
      t.ok((await rejections.about(seat.address, 'inbound')) > 0, 'and its own were kept out');
      await hammer.remove('f4');
      // What was about the address was about whoever had it, and what comes is about the member; none was about the others.
      t.strictSame(await rejections.grown(), [], 'meanwhile no fence rejected one of its own');
    },
    0,
  );
  ring.list(MEMBERS);
  run.listed.add(seat.name);
  await events.run(`${seat.name} is back`, () => ring.add(seat.name, { stage: 'accept' }));
  stages.set(seat.name, 'accept');
  await aim(run);
  t.strictSame(await rejections.grown(), [], `${seat.name} is back: no fence rejected one of its own`);
}

async function labelRound(t: Test, run: Fenced): Promise<void> {
  const { ring, plan, rejections } = run;
  const last = plan.rounds.label.at(-1) as string;
  for (const name of plan.rounds.label.filter((each) => each !== last)) await step(t, run, name, 'label');
  const bold = ring.seat(firstBut(plan.rounds.enforce, last));
  await forceAndRollBack(t, run, bold, 'enforce', () => rejections.of(bold), TWO_ROUNDS_MS);
  await step(t, run, last, 'label');
  await fleetShows(t, run, 'label');
}

async function atTheEnd(t: Test, run: Fenced): Promise<void> {
  const { ring, hammer, rejections, stages, verdicts } = run;
  t.strictSame(await rejections.grown(), [], 'to the end no fence rejected one of its own');
  for (const { agent } of ring.seats) {
    t.strictSame(await agent.members(), allAlive(ring.seats.map((seat) => seat.agent)), `as ${agent.name} sees it`);
  }
  t.strictSame([...new Set<Stage>(stages.values())], ['enforce'], 'every fence is at enforce');
  const joined = ring.journal.matching(/EventMember(Join|Update): f\d/);
  t.strictSame(joined, [], 'no foreigner was ever in anybody’s member list');
  const { joins, pings, through, members } = await hammer.stop();
  t.strictSame(through, [], `${joins} joins and ${pings} pings of foreigners: none came through`);
  t.ok(joins > 50, 'they did try');
  t.strictSame(
    members.filter((name) => name.startsWith('a')),
    [],
    'nor was one of ours in theirs',
  );
  let foreign = 0;
  for (const seat of ring.seats) foreign += await fenceOf(seat).metric('rejected_total', { direction: 'inbound' });
  t.comment(
    `readiness said ${JSON.stringify(verdicts)}; ${joins} joins, ${pings} pings; ${foreign} frames rejected at the end`,
  );
}
