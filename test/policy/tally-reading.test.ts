import t from 'tap';
import { DIRECTIONS, KINDS, LABEL_STATES } from '../../src/policy/facts.ts';
import { REJECT_REASONS } from '../../src/policy/reason.ts';
import { STAGES } from '../../src/policy/stage.ts';
import { createTally, TALLY_BYTES } from '../../src/policy/tally.ts';
import { type Counts, readTallies } from '../../src/policy/tally-reading.ts';
import { TRANSPORTS } from '../../src/wire/transport.ts';

/** The rows of a family that hold something, with what they hold. */
function held<Row>({ rows, values }: Counts<Row>): unknown[] {
  return rows.flatMap((row, i) => (values[i] === 0 ? [] : [{ ...row, value: values[i] }]));
}

t.test('each counter is told by its own row, and by no other', async (t) => {
  for (const direction of DIRECTIONS) {
    for (const transport of TRANSPORTS) {
      for (const kind of KINDS) {
        const where = { direction, transport, kind };
        const wrong: unknown[] = [];
        const check = (got: unknown, wanted: unknown) => {
          if (JSON.stringify(got) !== JSON.stringify(wanted)) wrong.push({ got, wanted });
        };
        for (const reason of REJECT_REASONS) {
          const buffer = new ArrayBuffer(TALLY_BYTES);
          const tally = createTally(buffer);
          tally.cut(where, reason);
          tally.wouldReject(
            where,
            STAGES.map((stage) => ({ stage, reason })),
          );
          const { all, rejected, wouldReject } = readTallies([buffer]);
          check(rejected, [{ ...where, reason, value: 1 }]);
          check(held(all.rejected), rejected);
          check(
            wouldReject,
            STAGES.map((stage) => ({ ...where, reason, stage, value: 1 })),
          );
          check(held(all.wouldReject), wouldReject);
        }
        for (const labelState of LABEL_STATES) {
          const buffer = new ArrayBuffer(TALLY_BYTES);
          createTally(buffer).limited(where, labelState, 'streams_limit');
          const { all, frames } = readTallies([buffer]);
          check(frames, [{ ...where, labelState, verdict: 'reject', value: 1 }]);
          check(held(all.frames), frames);
        }
        t.strictSame(wrong, []);
      }
    }
  }
});

t.test('readings share their rows, and a later one leaves an earlier one as it is', async (t) => {
  const buffer = new ArrayBuffer(TALLY_BYTES);
  const tally = createTally(buffer);
  const before = readTallies([buffer]);
  tally.cut({ direction: 'inbound', transport: 'native', kind: 'packet' }, 'label_foreign');
  const after = readTallies([buffer]);
  t.equal(after.all.wouldReject.rows, before.all.wouldReject.rows);
  t.strictSame([before.rejected.length, after.rejected.length], [0, 1]);
  t.strictSame(held(before.all.rejected), []);
});
