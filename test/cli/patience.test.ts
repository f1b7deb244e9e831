import t from 'tap';
import { patience } from '../../src/cli/patience.ts';
import { createFakeClock } from '../control/fake-clock.ts';

const WAIT_MS = 1_000;

/** A wait on a clock whose timers can be made late, and what came of it. */
function stand() {
  const clock = createFakeClock();
  const skew = { ms: 0 };
  const over: boolean[] = [];
  const cancel = patience({ now: () => clock.now() + skew.ms, after: clock.after }, WAIT_MS, (heard) =>
    over.push(heard),
  );
  return { clock, skew, over, cancel };
}

const loopTurn = () => new Promise((resolve) => setImmediate(resolve));

t.test('a wait that ends in time', async (t) => {
  const { clock, over } = stand();
  await clock.pass(WAIT_MS - 1);
  await loopTurn();
  t.strictSame(over, []);
  await clock.pass(1);
  t.strictSame(over, [], 'what has arrived is read first');
  await loopTurn();
  t.strictSame(over, [true]);
  t.equal(clock.planned(), 0);
});

t.test('an answer meanwhile, also in the last moment', async (t) => {
  const early = stand();
  early.cancel();
  t.equal(early.clock.planned(), 0);
  const late = stand();
  await late.clock.pass(WAIT_MS);
  late.cancel();
  await loopTurn();
  t.strictSame([...early.over, ...late.over], []);
});

t.test('a timer that is late, or a clock that jumped, starts the wait anew', async (t) => {
  const { clock, skew, over } = stand();
  skew.ms = 3_600_000;
  await clock.pass(WAIT_MS);
  await loopTurn();
  t.strictSame(over, [], 'an hour that passed in no time is no silence');
  await clock.pass(WAIT_MS);
  await loopTurn();
  t.strictSame(over, [true], 'the wait after it is');
});

t.test(
  'a process that is late again and again says that it heard nothing, and not that nothing was said',
  async (t) => {
    const { clock, skew, over } = stand();
    for (let i = 0; i < 4; i++) {
      t.strictSame(over, []);
      skew.ms += 5_000;
      await clock.pass(WAIT_MS);
      await loopTurn();
    }
    t.strictSame(over, [false]);
    t.equal(clock.planned(), 0);
  },
);
