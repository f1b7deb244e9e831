import t from 'tap';
import { FRAME_STATES, isMalformed, LABEL_STATES, labelStateOf } from '../../src/policy/facts.ts';
import {
  LIMITED_REASONS,
  REASON_INDEX,
  REASON_SENTENCES,
  REFUSED_REASONS,
  REJECT_REASONS,
  SHIELD_REASONS,
} from '../../src/policy/reason.ts';
import { DROP_REASONS } from '../../src/policy/tally.ts';
import { MALFORMED_REASONS } from '../../src/wire/reason.ts';

t.test('the list of reasons is closed: malformed, refused, shielded and limited, each once', async (t) => {
  t.strictSame(REJECT_REASONS, [...MALFORMED_REASONS, ...REFUSED_REASONS, ...SHIELD_REASONS, ...LIMITED_REASONS]);
  t.equal(new Set(REJECT_REASONS).size, REJECT_REASONS.length);
  for (const reason of [...REJECT_REASONS, ...DROP_REASONS]) t.match(reason, /^[a-z]+(_[a-z]+)*$/);
  for (const reason of DROP_REASONS)
    t.notOk((REJECT_REASONS as readonly string[]).includes(reason), `${reason}: a fault`);
});

t.test('every reason has its number and a sentence of its own', async (t) => {
  for (const [i, reason] of REJECT_REASONS.entries()) {
    t.equal(REASON_INDEX[reason], i);
    t.match(REASON_SENTENCES[reason], /^[A-Z].{20,}\.$/, reason);
  }
  t.strictSame(Object.keys(REASON_SENTENCES).sort(), [...REJECT_REASONS].sort());
  t.equal(new Set(Object.values(REASON_SENTENCES)).size, REJECT_REASONS.length);
});

t.test('every malformed reason is a frame state, and is told as malformed', async (t) => {
  for (const state of FRAME_STATES) {
    const malformed = (MALFORMED_REASONS as readonly string[]).includes(state);
    t.equal(isMalformed(state), malformed, state);
    t.equal(labelStateOf(state), malformed ? 'malformed' : state);
  }
  const shown = new Set(FRAME_STATES.map(labelStateOf));
  t.strictSame([...shown].sort(), [...LABEL_STATES].sort(), 'and every label state can be seen');
});
