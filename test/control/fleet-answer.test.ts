import fc from 'fast-check';
import t from 'tap';
import { readAdminAnswer } from '../../src/control/fleet-answer.ts';
import { PROPERTY } from '../property.ts';

const FENCE = { label: 'c0ffee', member: 'a', stage: 'label', starting: false };
const body = (fence: unknown, more: object = {}) => JSON.stringify({ version: '1', fences: [fence], ...more });

t.test('a fence, whatever else it says', async (t) => {
  t.strictSame(readAdminAnswer(body({ ...FENCE, since: 'today', steps: [{}] })), {
    outcome: 'fences',
    fences: [FENCE],
  });
  const unknown = { ...FENCE, member: null, starting: true };
  t.strictSame(readAdminAnswer(body(unknown)), { outcome: 'fences', fences: [unknown] });
});

t.test('what is no JSON', async (t) => {
  for (const text of ['', '<html>', '{"fences":', '{"fences": [}]']) {
    t.strictSame(readAdminAnswer(text), { outcome: 'unknown', problem: 'not_json' }, text);
  }
});

const SHAPES: Readonly<Record<string, string>> = {
  nothing: 'null',
  'a number': '7',
  'a list': '[]',
  'no fences': '{}',
  'none of them': JSON.stringify({ fences: [] }),
  'fences that are no list': JSON.stringify({ fences: { 0: FENCE, length: 1 } }),
  'too many': JSON.stringify({ fences: Array.from({ length: 1_025 }, () => FENCE) }),
  null: body(null),
  'a stage that does not exist': body({ ...FENCE, stage: 'trust-me' }),
  'a stage of the prototype': body({ ...FENCE, stage: 'constructor' }),
  'no stage': body({ ...FENCE, stage: undefined }),
  'a label that is no hex': body({ ...FENCE, label: 'traces' }),
  'half a byte': body({ ...FENCE, label: 'abc' }),
  'no label': body({ ...FENCE, label: '' }),
  'a label too long': body({ ...FENCE, label: 'ab'.repeat(256) }),
  capitals: body({ ...FENCE, label: 'AB' }),
  'no member': body({ ...FENCE, member: undefined }),
  'a member that is a number': body({ ...FENCE, member: 7 }),
  'a name without end': body({ ...FENCE, member: 'a'.repeat(1_025) }),
  'starting, perhaps': body({ ...FENCE, starting: 'no' }),
  'one bad fence among good ones': JSON.stringify({ fences: [FENCE, FENCE, { ...FENCE, stage: 7 }] }),
  'a pit of lists': `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
};

t.test('what is no fence', async (t) => {
  for (const [name, text] of Object.entries(SHAPES)) {
    t.strictSame(readAdminAnswer(text), { outcome: 'unknown', problem: 'not_a_fence' }, name);
  }
});

t.test('anything at all has an answer of a closed list', async (t) => {
  const made = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((fences) => `{"fences": [${fences}]}`),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(made, (text) => {
        const { outcome } = readAdminAnswer(text);
        if (outcome !== 'unknown') throw new Error(outcome);
      }),
      PROPERTY,
    ),
  );
});
