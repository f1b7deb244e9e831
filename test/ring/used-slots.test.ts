import fc from 'fast-check';
import t from 'tap';
import { UsedSlots, usedSlotsBytes } from '../../src/ring/used-slots.ts';

const OFFSET = 8;

t.test('what was added is visited once, in order, also by another view of the buffer', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.array(fc.nat(319), { maxLength: 60 }), (eights, picked) => {
        const slots = eights * 8;
        const buffer = new SharedArrayBuffer(OFFSET + usedSlotsBytes(slots) + 4);
        const used = new UsedSlots(buffer, OFFSET, slots);
        const added = picked.filter((slot) => slot < slots);
        for (const slot of added) used.add(slot);
        const seen: number[] = [];
        new UsedSlots(buffer, OFFSET, slots).each((slot) => seen.push(slot));
        const wanted = [...new Set(added)].sort((a, b) => a - b);
        const outside = [...new Int32Array(buffer, 0, OFFSET / 4), new Int32Array(buffer).at(-1)];
        return JSON.stringify(seen) === JSON.stringify(wanted) && outside.every((word) => word === 0);
      }),
    ),
  );
});

t.test('the last bit of a word, which makes it negative, is a slot as the others', async (t) => {
  const used = new UsedSlots(new ArrayBuffer(usedSlotsBytes(64)), 0, 64);
  for (let slot = 0; slot < 64; slot++) used.add(slot);
  const seen: number[] = [];
  used.each((slot) => seen.push(slot));
  t.same(
    seen,
    Array.from({ length: 64 }, (_, slot) => slot),
  );
});
