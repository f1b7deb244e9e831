/** The rejections of one place and some reasons, read from a tally that is being written. */
import t from 'tap';
import { createRejectedCount } from '../../src/policy/rejected-count.ts';
import { createTally, TALLY_BYTES } from '../../src/policy/tally.ts';

t.test('counts what it was asked for, and nothing else', async (t) => {
  const buffer = new SharedArrayBuffer(TALLY_BYTES);
  const tally = createTally(buffer);
  const where = { direction: 'inbound', transport: 'native', kind: 'packet' } as const;
  const count = createRejectedCount(buffer, where, ['label_foreign', 'label_double']);
  t.equal(count(), 0);
  tally.cut(where, 'label_foreign');
  tally.cut(where, 'label_double');
  tally.cut(where, 'label_double');
  tally.cut(where, 'label_missing');
  tally.cut({ ...where, direction: 'outbound' }, 'label_foreign');
  tally.cut({ ...where, kind: 'stream' }, 'label_foreign');
  t.equal(count(), 3);
});
