/** When a flood is on: rates, hysteresis, an attacker that comes in waves. */
import t from 'tap';
import { FloodMeter, QUIET_MAX_MS, QUIET_MS } from '../../../src/datapath/linux/flood-meter.ts';

const LOOK_MS = 250;
const LIMIT = 1_000;

/** A meter that is looked at every LOOK_MS, and packets at a rate. */
function harness(limit = LIMIT) {
  let nowMs = 1_000_000;
  const counts = { rejected: 500, dropped: 7 };
  const meter = new FloodMeter(limit, nowMs, counts);
  const changes: string[] = [];
  const startMs = nowMs;
  return {
    meter,
    changes,
    /** `perSecond` packets for `ms`; while the meter is active the kernel drops them. */
    run(ms: number, perSecond: number) {
      for (const endMs = nowMs + ms; nowMs < endMs; ) {
        nowMs += LOOK_MS;
        counts[meter.active ? 'dropped' : 'rejected'] += (perSecond * LOOK_MS) / 1_000;
        if (meter.look(nowMs, counts)) changes.push(`${meter.active ? 'on' : 'off'} ${nowMs - startMs}`);
      }
    },
  };
}

t.test('on from the limit, at the first look; off after a quiet while', async (t) => {
  const { run, changes, meter } = harness();
  run(10_000, LIMIT - 4);
  t.strictSame(changes, [], 'what is below the limit is none');
  run(LOOK_MS, LIMIT);
  t.strictSame(changes, ['on 10250']);
  t.equal(meter.perSecond, LIMIT);
  run(60_000, LIMIT / 2);
  t.strictSame(changes, ['on 10250'], 'half of the limit keeps it on');
  run(QUIET_MS, LIMIT / 2 - 4);
  t.strictSame(changes, ['on 10250', `off ${70_250 + QUIET_MS}`]);
  t.equal(meter.active, false);
});

t.test('waves do not make it flap', async (t) => {
  const { run, changes } = harness();
  for (let wave = 0; wave < 20; wave++) {
    run(1_000, LIMIT * 10);
    run(QUIET_MS - 1_000, 0);
  }
  t.equal(changes.length, 1, 'pauses that are shorter than the quiet while are part of the flood');
  for (let wave = 0; wave < 20; wave++) {
    run(1_000, LIMIT * 10);
    run(QUIET_MS + 1_000, 0);
  }
  t.ok(changes.length <= 5, `longer ones end it, later each time: ${changes.join(', ')}`);
  run(QUIET_MAX_MS, 0);
  t.match(changes.at(-1), /^off/, 'it ends');
  const after = changes.length;
  run(2 * QUIET_MAX_MS, 0);
  run(LOOK_MS, LIMIT);
  run(QUIET_MS, 0);
  t.equal(changes.length, after + 2, 'and a flood long after that is a new one');
});

t.test('looks that come at once say nothing; a limit of 0 is none', async (t) => {
  const meter = new FloodMeter(LIMIT, 0, { rejected: 0, dropped: 0 });
  t.notOk(meter.look(1, { rejected: 100, dropped: 0 }), '100 in a ms');
  t.notOk(meter.look(1_000, { rejected: 100, dropped: 0 }), 'are 100 in a second');
  t.equal(meter.perSecond, 100);
  const { run, changes } = harness(0);
  run(1_000, 1_000_000);
  t.strictSame(changes, []);
});

t.test('ended by its owner', async (t) => {
  const { run, changes, meter } = harness();
  t.notOk(meter.end(), 'none was on');
  run(LOOK_MS, LIMIT);
  t.ok(meter.end());
  t.notOk(meter.active);
  run(LOOK_MS, LIMIT);
  t.equal(changes.length, 2, 'and it is on again when the flood goes on');
});
