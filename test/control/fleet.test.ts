import t from 'tap';
import {
  createFleet,
  FIRST_ASKED_MAX,
  FIRST_WAIT_MS,
  FLEET_IN_FLIGHT_MAX,
  REFRESH_WAIT_MS,
} from '../../src/control/fleet.ts';
import type { AdminAnswer, AnsweredFence } from '../../src/control/fleet-answer.ts';
import { createFakeClock } from './fake-clock.ts';

const INTERVAL_MS = 10_000;
const LABEL = Buffer.from('prod.traces');
const OTHER = Buffer.from('prod.logs').toString('hex');

const fence = (member: string | null, more: Partial<AnsweredFence> = {}): AnsweredFence => ({
  label: LABEL.toString('hex'),
  member,
  stage: 'accept',
  starting: false,
  ...more,
});
const fences = (...list: AnsweredFence[]): AdminAnswer => ({ outcome: 'fences', fences: list });

function stand() {
  const clock = createFakeClock();
  const state = {
    targets: [] as readonly string[],
    answers: new Map<string, AdminAnswer>(),
    asked: [] as string[],
    askMs: 5,
    open: 0,
    openMax: 0,
    stranger: '',
  };
  const fleet = createFleet({
    clock,
    intervalMs: () => INTERVAL_MS,
    label: LABEL,
    async ask(address) {
      state.asked.push(address);
      state.openMax = Math.max(state.openMax, ++state.open);
      await new Promise<void>((resolve) => void clock.after(state.askMs, resolve));
      state.open--;
      return state.answers.get(address) ?? { outcome: 'none' };
    },
    targets: () => state.targets.map((address) => ({ address })),
    admits: (address) => address !== state.stranger,
  });
  return { clock, fleet, state };
}

t.test('what each member’s fence says', async (t) => {
  const { clock, fleet, state } = stand();
  state.targets = ['10.0.0.1', '10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
  state.answers
    .set('10.0.0.1', fences(fence('x', { label: OTHER }), fence('a'), fence('b', { stage: 'label', starting: true })))
    .set('10.0.0.2', fences(fence('x', { label: OTHER })))
    .set('10.0.0.3', { outcome: 'unknown', problem: 'timeout' });
  t.equal(fleet.report('10.0.0.1', 'a'), undefined, 'not asked yet');
  t.notOk(fleet.asked('10.0.0.1'));
  fleet.start();
  await clock.pass(INTERVAL_MS - 1);
  t.strictSame(state.asked, ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'], 'an address is asked once');
  t.match(fleet.report('10.0.0.1', 'a'), { outcome: 'fence', stage: 'accept', starting: false });
  t.match(fleet.report('10.0.0.1', 'b'), { outcome: 'fence', stage: 'label', starting: true });
  t.match(fleet.report('10.0.0.1', 'c'), { outcome: 'unknown', problem: 'other_member' });
  t.match(fleet.report('10.0.0.1', 'x'), { outcome: 'unknown', problem: 'other_member' }, 'of another cluster');
  t.match(fleet.report('10.0.0.1', undefined), { outcome: 'unknown', problem: 'member_unknown' });
  t.match(fleet.report('10.0.0.2', 'x'), { outcome: 'unknown', problem: 'other_cluster' });
  t.match(fleet.report('10.0.0.3', 'a'), { outcome: 'unknown', problem: 'timeout' });
  const none = fleet.report('10.0.0.4', 'a');
  t.equal(none?.outcome, 'none');
  t.equal(none?.atMs, clock.now() - INTERVAL_MS + 1 + 7_500 + state.askMs);
  t.equal(fleet.report('10.0.0.9', 'a'), undefined);
  const asked = ['10.0.0.1', '10.0.0.3', '10.0.0.4', '10.0.0.9'].filter((address) => fleet.asked(address));
  t.strictSame(asked, ['10.0.0.1', '10.0.0.3', '10.0.0.4'], 'silence is an answer');
  state.targets = ['10.0.0.2'];
  await clock.pass(INTERVAL_MS);
  t.equal(fleet.report('10.0.0.1', 'a'), undefined, 'no target any more');
  t.notOk(fleet.asked('10.0.0.1'));
});

t.test('answers that do not say whose they are', async (t) => {
  const { clock, fleet, state } = stand();
  state.targets = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
  state.answers
    .set('10.0.0.1', fences(fence(null)))
    .set('10.0.0.2', fences(fence('a'), fence('a', { stage: 'enforce' })))
    .set('10.0.0.3', fences(fence('a'), fence('a')));
  fleet.start();
  await clock.pass(INTERVAL_MS);
  t.match(fleet.report('10.0.0.1', 'a'), { outcome: 'unknown', problem: 'member_unknown' });
  t.match(fleet.report('10.0.0.2', 'a'), { outcome: 'unknown', problem: 'not_a_fence' }, 'they contradict each other');
  t.match(fleet.report('10.0.0.3', 'a'), { outcome: 'fence', stage: 'accept' });
});

t.test('nobody is asked who is not admitted', async (t) => {
  const { clock, fleet, state } = stand();
  state.targets = ['10.0.0.1', '10.0.0.2'];
  state.stranger = '10.0.0.1';
  fleet.start();
  await clock.pass(INTERVAL_MS - 1);
  t.strictSame(state.asked, ['10.0.0.2']);
  state.stranger = '';
  await clock.pass(1);
  t.equal(state.asked.at(-1), '10.0.0.1');
  state.stranger = '10.0.0.2';
  await clock.pass(INTERVAL_MS - 1);
  t.strictSame(state.asked, ['10.0.0.2', '10.0.0.1'], 'nor who ceased to be since the round began');
  t.strictSame(await fleet.first(['10.0.0.2']), [], 'nor at a start');
  t.equal(state.asked.length, 2);
});

t.test('many that hang are asked so many at a time', async (t) => {
  const { clock, fleet, state } = stand();
  state.askMs = 2_000;
  state.targets = Array.from({ length: 200 }, (_, i) => `10.0.1.${i}`);
  fleet.start();
  await clock.pass(60_000);
  t.equal(state.openMax, FLEET_IN_FLIGHT_MAX);
  fleet.stop();
  await clock.pass(60_000);
  t.equal(clock.planned(), 0);
});

t.test('what was said too long ago is not known any more', async (t) => {
  const { clock, fleet, state } = stand();
  state.targets = ['10.0.0.1'];
  state.answers.set('10.0.0.1', fences(fence('a')));
  fleet.start();
  await clock.pass(1_000);
  fleet.stop();
  await clock.pass(29_000);
  t.match(fleet.report('10.0.0.1', 'a'), { outcome: 'fence' });
  await clock.pass(10_000);
  t.equal(fleet.report('10.0.0.1', 'a'), undefined);
});

t.test('a fence that starts asks the first', async (t) => {
  const { clock, fleet, state } = stand();
  state.answers
    .set('10.0.0.1', fences(fence('a', { stage: 'enforce' }), fence('x', { stage: 'observe', label: OTHER })))
    .set('10.0.0.2', fences(fence(null, { stage: 'label' }), fence('b', { starting: true, stage: 'observe' })))
    .set('10.0.0.3', { outcome: 'unknown', problem: 'not_json' });
  const asked = fleet.first(['10.0.0.1', '10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4']);
  await clock.pass(state.askMs);
  t.strictSame((await asked).toSorted(), ['enforce', 'label'], 'of our cluster, and known');
  t.equal(clock.planned(), 0, 'nothing is waited for any more');
  t.strictSame(await fleet.first([]), []);
  const many = Array.from({ length: 20 }, (_, i) => `10.0.2.${i}`);
  const crowd = fleet.first(many);
  await clock.pass(state.askMs);
  t.strictSame(await crowd, []);
  t.strictSame(state.asked.slice(4), many.slice(0, FIRST_ASKED_MAX));
});

t.test('a start does not wait for one that hangs', async (t) => {
  const { clock, fleet, state } = stand();
  state.answers.set('10.0.0.1', fences(fence('a', { stage: 'label' })));
  const quick = fleet.first(['10.0.0.1']);
  await clock.pass(state.askMs);
  t.strictSame(await quick, ['label']);
  state.askMs = 60_000;
  let stages: unknown;
  void fleet.first(['10.0.0.1']).then((found) => {
    stages = found;
  });
  await clock.pass(FIRST_WAIT_MS - 1);
  t.equal(stages, undefined);
  await clock.pass(1);
  t.strictSame(stages, []);
});

t.test('a fence that answers late once is known by what it said before, and no younger for it', async (t) => {
  const { clock, fleet, state } = stand();
  state.targets = ['10.0.0.1'];
  state.answers.set('10.0.0.1', fences(fence('a')));
  fleet.start();
  await clock.pass(INTERVAL_MS / 2);
  const said = fleet.report('10.0.0.1', 'a');
  t.match(said, { outcome: 'fence', stage: 'accept' });
  state.answers.set('10.0.0.1', { outcome: 'unknown', problem: 'timeout' });
  await clock.pass(INTERVAL_MS);
  t.equal(state.asked.length, 2);
  t.strictSame(fleet.report('10.0.0.1', 'a'), said);
  await clock.pass(INTERVAL_MS);
  t.match(fleet.report('10.0.0.1', 'a'), { outcome: 'unknown', problem: 'timeout' }, 'twice says something');
  state.answers.set('10.0.0.1', fences(fence('a', { stage: 'label' })));
  await clock.pass(INTERVAL_MS);
  t.match(fleet.report('10.0.0.1', 'a'), { outcome: 'fence', stage: 'label' });
  state.answers.set('10.0.0.1', { outcome: 'unknown', problem: 'not_a_fence' });
  await clock.pass(INTERVAL_MS);
  t.match(fleet.report('10.0.0.1', 'a'), { outcome: 'unknown', problem: 'not_a_fence' }, 'a lie is one at once');
});

t.test(
  'just before a step those that showed a fence are asked once more, so many at a time and within a bound',
  async (t) => {
    const { clock, fleet, state } = stand();
    state.targets = Array.from({ length: 40 }, (_, i) => `10.0.0.${i + 1}`);
    for (const address of state.targets) state.answers.set(address, fences(fence('a')));
    state.answers.set('10.0.0.40', { outcome: 'none' });
    fleet.start();
    await clock.pass(INTERVAL_MS - 1);
    fleet.stop();
    state.asked.length = 0;
    for (const address of state.targets) state.answers.set(address, fences(fence('a', { stage: 'label' })));
    const refreshed = fleet.refresh();
    await clock.pass(100);
    await refreshed;
    t.equal(state.asked.length, 39, 'who has no fence was not asked');
    t.equal(state.openMax, FLEET_IN_FLIGHT_MAX);
    t.match(fleet.report('10.0.0.1', 'a'), { outcome: 'fence', stage: 'label' });
    t.equal(clock.planned(), 0);

    state.askMs = 60_000;
    state.asked.length = 0;
    let over = false;
    void fleet.refresh().then(() => {
      over = true;
    });
    await clock.pass(REFRESH_WAIT_MS - 1);
    t.notOk(over);
    await clock.pass(1);
    t.ok(over, 'those that hang hold up no step');
    await clock.pass(120_000);
    t.equal(state.asked.length, FLEET_IN_FLIGHT_MAX, 'and nobody else is asked then');
  },
);
