/** `stage: auto` climbs only on evidence that held long enough. */
import t from 'tap';
import { LOOK_GAP_MAX_MS, LOOK_INTERVAL_MS, SAY_INTERVAL_MS } from '../../src/control/stage-auto.ts';
import type { StageMachineOptions } from '../../src/control/stage-machine.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { against, machineAt, NONE, stepTo, wish } from './stages.ts';

function autoAt(stage: Stage, change: Partial<StageMachineOptions> = {}) {
  const made = machineAt(stage, { auto: true, ...change });
  made.machine.start();
  return made;
}

t.test(
  'from observe to enforce, one step at a time, each after it was safe for settle and half of it at random',
  async (t) => {
    const { clock, machine, applied, changes } = autoAt('observe');
    // settle 30 s, random 0.5: 37.5 s, seen at the look after it.
    for (const [i, stage] of (['accept', 'label', 'enforce'] as const).entries()) {
      let tookMs = 0;
      for (; applied.length === i && tookMs < 60_000; tookMs += 500) await clock.pass(500);
      t.ok(tookMs > 37_500 && tookMs <= 37_500 + 2 * LOOK_INTERVAL_MS, `${stage} after ${tookMs} ms`);
      t.equal(applied.length, i + 1);
      t.equal(machine.stage(), stage);
    }
    await clock.pass(200_000);
    t.equal(applied.length, 3, 'and it stays there');
    t.equal(machine.waitsFor(), undefined);
    t.ok(changes.every(({ origin, force }) => origin === 'auto' && !force));
  },
);

t.test('never on unsafe or unknown, and a break begins anew', async (t) => {
  for (const readiness of ['unsafe', 'unknown'] as const) {
    const { clock, machine, steps } = autoAt('accept');
    steps.set('label', stepTo('label', readiness, against('a')));
    await clock.pass(3_600_000);
    t.equal(machine.stage(), 'accept', readiness);
    t.match(machine.waitsFor(), /^label: not .*safe: a 10\.0\.0\.7: drops labelled pings$/);
    steps.delete('label');
    await clock.pass(30_000);
    steps.set('label', stepTo('label', 'unknown'));
    await clock.pass(LOOK_INTERVAL_MS);
    steps.delete('label');
    await clock.pass(30_000);
    t.equal(machine.stage(), 'accept', 'a break of one look: the wait begins anew');
    await clock.pass(10_000);
    t.equal(machine.stage(), 'label');
  }
});

t.test('looks that came too late prove nothing', async (t) => {
  const { clock, machine } = autoAt('accept');
  await clock.pass(30_000);
  // The process did not run for an hour: the call that was due comes now.
  let nowMs = 0;
  const late = machineAt('accept', {
    auto: true,
    clock: { now: () => clock.now() + nowMs, after: clock.after },
  });
  late.machine.start();
  await clock.pass(30_000);
  nowMs += LOOK_GAP_MAX_MS + 30_000;
  await clock.pass(LOOK_INTERVAL_MS);
  t.equal(late.machine.stage(), 'accept', 'nobody saw whether it was safe in between');
  t.equal(machine.stage(), 'label', 'while this one looked all the time');
});

t.test('not beyond the ceiling, and it says so', async (t) => {
  const ceiling = { stage: 'accept', why: 'egress is unseen' } as const;
  const { clock, machine, waits } = autoAt('accept', { bounds: () => ({ dialects: NONE, ceiling }) });
  await clock.pass(3_600_000);
  t.equal(machine.stage(), 'accept');
  t.equal(machine.waitsFor(), 'label cannot be: egress is unseen');
  t.strictSame(waits, ['label cannot be: egress is unseen'], 'once');
});

t.test(
  'what it waits for is said when it changes, not when a figure moves, and at most every ten seconds',
  async (t) => {
    const { clock, steps, waits } = autoAt('accept');
    let count = 0;
    const clockwork = () => steps.set('label', stepTo('label', 'unsafe', against('a', `sent ${count++} packets`)));
    for (let i = 0; i < 60; i++) {
      clockwork();
      await clock.pass(LOOK_INTERVAL_MS);
    }
    t.equal(waits.length, 1, 'a figure that moves is no news');
    for (let i = 0; i < 60; i++) {
      steps.set('label', stepTo('label', 'unsafe', against(`m${i}`)));
      await clock.pass(LOOK_INTERVAL_MS);
    }
    t.ok(waits.length <= 2 + 60_000 / SAY_INTERVAL_MS, `${waits.length} lines for 60 changes in a minute`);
    steps.set('label', stepTo('label', 'unsafe', against('last')));
    await clock.pass(SAY_INTERVAL_MS + LOOK_INTERVAL_MS);
    t.match(waits.at(-1), /^label: not safe: last/, 'the last one is said, if late');
  },
);

t.test('a way down by hand is not undone until somebody goes up by hand', async (t) => {
  const { clock, machine } = autoAt('enforce');
  await machine.request(wish('label'));
  await clock.pass(3_600_000);
  t.equal(machine.stage(), 'label');
  t.match(machine.waitsFor(), /^enforce: this fence was taken down from enforce by hand/);
  await machine.request(wish('accept'));
  await machine.request(wish('label'));
  await clock.pass(60_000);
  t.equal(machine.stage(), 'enforce', 'the way up by hand lets it go on');
  await machine.request(wish('label'));
  machine.setAuto(false);
  t.equal(machine.waitsFor(), undefined);
  machine.setAuto(true);
  await clock.pass(60_000);
  t.equal(machine.stage(), 'enforce', 'and so does auto that is turned on anew');
});

t.test('off, starting, or stopped, it does nothing', async (t) => {
  const off = autoAt('observe', { auto: false });
  const starting = autoAt('observe', { starting: true });
  const stopped = autoAt('observe');
  stopped.machine.stop();
  for (const { clock } of [off, starting, stopped]) await clock.pass(3_600_000);
  t.strictSame([off.applied, starting.applied, stopped.applied], [[], [], []]);
  t.equal(stopped.clock.planned(), 0);
  off.machine.setAuto(true);
  await off.clock.pass(60_000);
  t.equal(off.machine.stage(), 'accept', 'turned on by a reload');
});
