import t from 'tap';
import { DIALECTS, STAGES, TAKES } from '../../src/policy/stage.ts';
import {
  ANSWER_IN_KIND,
  deliver,
  explore,
  type Member,
  REAL,
  REJECT_FALL_BACK,
  type Ring,
  type Rule,
  type State,
} from './model.ts';

/** Every app that a fence can stand in front of. */
const FENCED: Member[] = DIALECTS.flatMap((sends) => TAKES.map((takes) => ({ fenced: true, sends, takes })));
const PRE_LABEL: Member = { fenced: false, sends: 'none', takes: 'none' };
const STRICT: Member = { fenced: false, sends: 'own', takes: 'own' };

const PAIRS: Ring[] = DIALECTS.flatMap((wire) =>
  FENCED.flatMap((a) => FENCED.map((b): Ring => ({ members: [a, b], wire, admitted: true }))),
);

function describe(ring: Ring, state: State, from: 0 | 1): string {
  const one = (side: 0 | 1) => {
    const { fenced, sends, takes } = ring.members[side];
    const { proven, last } = state.memory[side];
    return `${fenced ? state.stages[side] : 'bare'}(${sends}/${takes}, ${proven ? 'proven' : 'unproven'}, last ${last})`;
  };
  return `wire ${ring.wire}: ${one(from)} -> ${one(from === 0 ? 1 : 0)}`;
}

/** Every frame that is lost in a reachable state. */
function losses(rings: readonly Ring[], rule: Rule): { lost: string[]; delivered: number; stages: Set<string> } {
  const lost: string[] = [];
  const stages = new Set<string>();
  let delivered = 0;
  for (const ring of rings) {
    for (const state of explore(ring, rule)) {
      stages.add(state.stages.join('-'));
      for (const from of [0, 1] as const) {
        if (deliver(ring, state, from, rule).taken) delivered++;
        else lost.push(describe(ring, state, from));
      }
    }
  }
  return { lost, delivered, stages };
}

const ONE_APART = STAGES.flatMap((a, i) => STAGES.filter((_, j) => Math.abs(i - j) <= 1).map((b) => `${a}-${b}`));

t.test('no fenced pair of one ring ever loses a frame, whatever its apps speak', async (t) => {
  const { lost, delivered, stages } = losses(PAIRS, REAL);
  t.strictSame(lost.slice(0, 5), []);
  t.strictSame([...stages].sort(), [...ONE_APART].sort(), 'every pair of stages at most one apart was reached');
  t.ok(delivered > 10_000, `${delivered} deliveries in ${PAIRS.length} rings`);
});

t.test('nor with any memory that a fence could have in those stages', async (t) => {
  let checked = 0;
  const lost: string[] = [];
  for (const ring of PAIRS) {
    const pairs = new Map(explore(ring, REAL).map(({ stages }) => [stages.join(), stages]));
    for (const stages of pairs.values()) {
      for (const bits of [0, 1, 2, 3]) {
        const remembered = (proven: boolean) => ({ proven, last: 'unknown' as const });
        const state: State = { stages, memory: [remembered((bits & 1) !== 0), remembered((bits & 2) !== 0)] };
        for (const from of [0, 1] as const) {
          checked++;
          if (!deliver(ring, state, from, REAL).taken) lost.push(describe(ring, state, from));
        }
      }
    }
  }
  t.strictSame(lost.slice(0, 5), []);
  t.ok(checked > 4_000, `${checked} deliveries`);
});

t.test('bare members keep their ring where the design lets them coexist', async (t) => {
  const beside = (bare: Member, wire: 'none' | 'own') =>
    FENCED.flatMap((member): Ring[] => [
      { members: [member, bare], wire, admitted: true },
      { members: [bare, member], wire, admitted: true },
    ]);
  const cases = [
    ['pre-label at observe and accept', beside(PRE_LABEL, 'none'), ['accept', 'observe']],
    ['strict labelled at label and enforce of a bare wire', beside(STRICT, 'none'), ['enforce', 'label']],
    ['strict labelled at every stage of a labelled wire', beside(STRICT, 'own'), [...STAGES].sort()],
  ] as const;
  for (const [name, rings, expected] of cases) {
    const { lost, delivered } = losses(rings, REAL);
    t.strictSame(lost.slice(0, 5), [], name);
    t.ok(delivered > 20, `${name}: ${delivered} deliveries`);
    const fencedSide = rings.flatMap((ring) =>
      explore(ring, REAL).map(({ stages }) => stages[ring.members[0].fenced ? 0 : 1]),
    );
    t.strictSame([...new Set(fencedSide)].sort(), expected, name);
  }
});

t.test('the model can fail: answering in the dialect that the peer last spoke loses frames', async (t) => {
  const { lost } = losses(PAIRS, ANSWER_IN_KIND);
  t.ok(lost.length > 0, `${lost.length} lost, such as ${lost[0]}`);
  const enforced = /-> enforce\(none\/none, \w+, last none\)/;
  t.ok(
    lost.some((line) => enforced.test(line)),
    'both sides latch to none, and the one that enforces cuts the other',
  );
});

t.test('the model can fail: rejecting a fall-back before enforce loses frames', async (t) => {
  const { lost } = losses(PAIRS, REJECT_FALL_BACK);
  t.ok(lost.length > 0, `${lost.length} lost, such as ${lost[0]}`);
  t.ok(
    lost.every((line) => /-> (accept|label)\(/.test(line) && /-> \w+\(\w+\/\w+, proven/.test(line)),
    'each one is of a rolled-back neighbour that was proven before',
  );
});

/** Whether a frame arrives in one state that the conditions of the design forbid. */
function arrives(ring: Ring, stages: State['stages'], from: 0 | 1): boolean {
  const memory = { proven: false, last: 'unknown' } as const;
  return deliver(ring, { stages, memory: [memory, memory] }, from, REAL).taken;
}

t.test('the model can fail: each condition of the design is needed', async (t) => {
  const app: Member = { fenced: true, sends: 'none', takes: 'none' };
  const pair: Ring = { members: [app, app], wire: 'none', admitted: true };
  t.notOk(arrives(pair, ['accept', 'enforce'], 0), 'two stages apart: enforce rejects what accept sends');
  t.notOk(arrives(pair, ['observe', 'label'], 1), 'two stages apart: a pre-label app at observe gets a label');
  t.notOk(arrives({ ...pair, admitted: false }, ['accept', 'accept'], 0), 'rules that do not name a member');
  const bare = (member: Member): Ring => ({ members: [app, member], wire: 'none', admitted: true });
  t.notOk(arrives(bare(PRE_LABEL), ['label', 'observe'], 0), 'a bare pre-label member drops what label sends');
  t.notOk(arrives(bare(PRE_LABEL), ['enforce', 'observe'], 1), 'and enforce rejects it');
  t.notOk(arrives(bare(STRICT), ['accept', 'observe'], 0), 'a bare strict member drops what accept sends');
  const native: Member = { fenced: true, sends: 'own', takes: 'own' };
  t.notOk(
    arrives({ ...pair, members: [native, app] }, ['observe', 'accept'], 1),
    'a native label at observe on a bare wire',
  );
});
