/** Where a fence starts that nobody told its stage. */
import t from 'tap';
import type { StageBounds } from '../../src/control/stage-guard.ts';
import {
  ASKED_BY_DNS_MAX,
  ASKED_MAX,
  createStarter,
  LATE_EVERY_MS,
  LATE_MAX,
  startFrom,
} from '../../src/control/starter.ts';
import { STAGE_INDEX, STAGES, type Stage } from '../../src/policy/stage.ts';
import { createFakeClock } from './fake-clock.ts';
import { NONE } from './stages.ts';

const OPEN: StageBounds = { dialects: NONE, ceiling: undefined };

function starterWith(
  stages: Readonly<Record<string, Stage | 'late'>>,
  change: { listed?: () => readonly string[]; bounds?: StageBounds; refused?: readonly string[] } = {},
) {
  const clock = createFakeClock();
  const begun: [Stage, string, string][] = [];
  const asked: string[] = [];
  const starter = createStarter({
    clock,
    waitMs: 2_000,
    bounds: () => change.bounds ?? OPEN,
    listed: change.listed ?? (() => []),
    mayAsk: (address) => !(change.refused ?? []).includes(address),
    async first(addresses) {
      asked.push(...addresses);
      const found = addresses.map((address) => stages[address]).filter((stage) => stage !== undefined);
      const late = found.includes('late');
      await new Promise<void>((resolve) => clock.after(late ? 5_000 : 100, resolve));
      return found.map((stage) => (stage === 'late' ? 'enforce' : stage));
    },
    async begin(stage, origin, by) {
      begun.push([stage, origin, by]);
    },
  });
  const seen = (address: string, reached = true) => starter.seen({ address, reached });
  return { clock, starter, begun, asked, seen };
}

t.test('the least stage that fences report; the clock starts with the first frame', async (t) => {
  const { clock, begun, seen, starter } = starterWith({ '10.0.0.1': 'enforce', '10.0.0.2': 'label' });
  await clock.pass(3_600_000);
  t.strictSame(begun, [], 'the app is not there yet, so nobody waits and nobody is asked');
  seen('10.0.0.1');
  seen('10.0.0.2');
  await clock.pass(99);
  t.strictSame(begun, []);
  await clock.pass(1);
  t.strictSame(begun, [['label', 'peers', 'the fences of the first peers are 1 at label, 1 at enforce']]);
  await starter.ended();
  t.equal(clock.planned(), 0);
});

t.test('nobody answers: the lowest, before the first frame has waited too long', async (t) => {
  const { clock, begun, seen } = starterWith({});
  seen('10.0.0.1');
  await clock.pass(1_799);
  t.strictSame(begun, []);
  await clock.pass(1);
  t.strictSame(begun, [['observe', 'default', 'none of 1 peers that were asked has a fence that answers']]);
  const alone = starterWith({});
  alone.seen('10.0.0.1', false);
  await alone.clock.pass(2_000);
  t.strictSame(alone.asked, [], 'somebody who may be made up is not asked');
  t.strictSame(alone.begun, [['observe', 'default', 'no peer was there to ask']]);
});

t.test('an answer that comes too late changes nothing, and one that hangs does not hold up the rest', async (t) => {
  const { clock, begun, seen } = starterWith({ '10.0.0.1': 'late', '10.0.0.2': 'accept' });
  seen('10.0.0.1');
  seen('10.0.0.2');
  await clock.pass(60_000);
  t.match(begun, [['accept', 'peers']]);
  t.equal(begun.length, 1);
  seen('10.0.0.3');
  await clock.pass(60_000);
  t.equal(begun.length, 1, 'and later frames begin nothing');
});

t.test('who is asked: DNS-listed ones and those that were reached, admitted, each once, so many', async (t) => {
  const many = Array.from({ length: 20 }, (_, i) => `10.0.1.${i}`);
  const { clock, asked, seen } = starterWith({}, { listed: () => many, refused: ['10.0.1.0', '10.9.9.9'] });
  seen('10.9.9.9');
  for (let i = 0; i < 20; i++) {
    seen('10.0.0.1');
    seen(`10.0.2.${i}`);
  }
  await clock.pass(2_000);
  t.equal(asked.length, ASKED_MAX);
  t.equal(new Set(asked).size, ASKED_MAX);
  t.strictSame(asked.slice(0, ASKED_BY_DNS_MAX), many.slice(1, ASKED_BY_DNS_MAX + 1));
  t.notOk(asked.includes('10.9.9.9') || asked.includes('10.0.1.0'), 'who is not admitted, or ourselves, is not asked');
});

t.test('DNS that answers while frames wait is asked from then on', async (t) => {
  let listed: readonly string[] = [];
  const { clock, asked, begun, starter, seen } = starterWith({ '10.0.0.5': 'enforce' }, { listed: () => listed });
  starter.look();
  await clock.pass(1_000);
  t.strictSame(asked, [], 'not before a frame waits');
  seen('10.0.0.1', false);
  listed = ['10.0.0.5'];
  starter.look();
  await clock.pass(100);
  t.strictSame(asked, ['10.0.0.5']);
  t.match(begun, [['enforce', 'peers']]);
});

t.test('stopped, it lets go of who waits for it and decides nothing', async (t) => {
  const { clock, begun, seen, starter } = starterWith({ '10.0.0.1': 'enforce' });
  seen('10.0.0.1');
  starter.stop();
  await starter.ended();
  await clock.pass(60_000);
  t.strictSame(begun, []);
});

t.test('from every set of reports: next to all of them where that is possible, never out of bounds', async (t) => {
  const low: StageBounds = { dialects: NONE, ceiling: { stage: 'accept', why: 'egress' } };
  const translating: StageBounds = { dialects: { ...NONE, wire: 'own' }, ceiling: undefined };
  for (let mask = 0; mask < 16; mask++) {
    const stages = STAGES.filter((_, i) => (mask & (1 << i)) !== 0);
    const open = startFrom(stages, stages.length, OPEN).stage;
    const distance = stages.map((stage) => Math.abs(STAGE_INDEX[stage] - STAGE_INDEX[open]));
    const span = stages.length === 0 ? 0 : STAGE_INDEX[stages.at(-1) as Stage] - STAGE_INDEX[stages[0] as Stage];
    if (span <= 2) t.ok(Math.max(0, ...distance) <= 1, `${stages} -> ${open}`);
    if (span <= 1) t.equal(open, stages[0] ?? 'observe', 'the least');
    t.equal(/MORE THAN ONE STAGE APART/.test(startFrom(stages, 4, OPEN).by), span > 1, 'said loudly');
    t.ok(['observe', 'accept'].includes(startFrom(stages, 4, low).stage), 'the ceiling');
    t.not(startFrom(stages, 4, translating).stage, 'observe', 'the floor');
  }
  t.match(startFrom(['enforce'], 1, low), { stage: 'accept', by: /; enforce cannot be here$/ });
});

t.test('a fence that answers after the start is still heard, once, and the asking ends', async (t) => {
  const stages: Record<string, Stage | 'late'> = {};
  const { clock, begun, seen } = starterWith(stages);
  seen('10.0.0.1');
  await clock.pass(1_800);
  t.equal(begun.length, 1);
  await clock.pass(3 * LATE_EVERY_MS);
  t.equal(begun.length, 1, 'nobody answers yet');
  stages['10.0.0.1'] = 'enforce';
  await clock.pass(LATE_EVERY_MS + 200);
  t.strictSame(begun.slice(1), [['enforce', 'peers', 'the fences of the first peers are 1 at enforce, asked late']]);
  stages['10.0.0.1'] = 'label';
  await clock.pass(10 * LATE_EVERY_MS);
  t.equal(begun.length, 2, "what they say later is nobody's start");
  t.equal(clock.planned(), 0);
});

t.test('who was heard while the app was still on its way is asked late', async (t) => {
  const { clock, begun, asked, seen } = starterWith({ '10.0.0.1': 'enforce' }, { refused: ['10.0.0.3'] });
  seen('10.0.0.1', false);
  seen('10.0.0.3', false);
  for (let i = 0; i < 2 * ASKED_MAX; i++) seen(`10.0.1.${i}`, false);
  await clock.pass(1_800);
  t.strictSame(asked, [], 'not while frames wait: whoever the app dials comes first');
  t.match(begun, [['observe', 'default', /no peer was there/]]);
  await clock.pass(LATE_EVERY_MS + 200);
  t.strictSame(begun.slice(1), [['enforce', 'peers', 'the fences of the first peers are 1 at enforce, asked late']]);
  t.equal(asked.length, ASKED_MAX);
  t.notOk(asked.includes('10.0.0.3'), 'nobody who may not be asked');
});

t.test('nobody whose datagrams can be made up takes the place of one that DNS lists', async (t) => {
  const listed: string[] = [];
  const { clock, begun, seen } = starterWith({ '10.0.2.1': 'label' }, { listed: () => listed });
  for (let i = 0; i < ASKED_MAX; i++) seen(`10.0.1.${i}`, false);
  await clock.pass(1_800);
  listed.push('10.0.2.1');
  await clock.pass(LATE_EVERY_MS + 200);
  t.strictSame(begun.slice(1), [['label', 'peers', 'the fences of the first peers are 1 at label, asked late']]);
});

t.test('the late asking is bounded, and ends with the starter', async (t) => {
  const lonely = starterWith({});
  lonely.seen('10.0.0.1');
  await lonely.clock.pass(1_800 + (LATE_MAX + 2) * (LATE_EVERY_MS + 100));
  t.equal(lonely.asked.length, 1 + LATE_MAX);
  t.equal(lonely.clock.planned(), 0);
  const stopped = starterWith({});
  stopped.seen('10.0.0.1');
  await stopped.clock.pass(1_800);
  stopped.starter.stop();
  await stopped.clock.pass(3 * LATE_EVERY_MS);
  t.equal(stopped.asked.length, 1);
});

t.test('a stranger that nothing names and any datagram can make up does not start the clock', async (t) => {
  const { clock, begun, seen, starter } = starterWith({ '10.0.0.1': 'enforce' }, { refused: ['192.0.2.1'] });
  seen('192.0.2.1', false);
  await starter.ended();
  await clock.pass(60_000);
  t.strictSame(begun, [], 'the app is not there yet');
  t.equal(clock.planned(), 0);
  seen('10.0.0.1');
  await clock.pass(100);
  t.match(begun, [['enforce', 'peers']]);
});
