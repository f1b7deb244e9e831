import fc from 'fast-check';
import t from 'tap';
import { BoundedTable } from '../../src/ring/bounded.ts';
import { PROPERTY } from '../property.ts';

t.test('what was touched longest ago goes first, counted', async (t) => {
  const table = new BoundedTable<number>(2);
  t.ok(table.put('a', 1, false));
  t.ok(table.put('b', 2, false));
  t.ok(table.put('a', 3, false), 'again: the newest now');
  t.ok(table.put('c', 4, false));
  t.strictSame([table.get('a'), table.get('b'), table.get('c')], [3, undefined, 4]);
  t.strictSame([table.size, table.evictions], [2, 1]);
  t.ok(table.delete('a'));
  t.notOk(table.delete('a'));
  t.notOk(table.has('a'));
});

t.test('what is kept makes room for what is kept only', async (t) => {
  const table = new BoundedTable<string>(2);
  table.put('a', 'a', true);
  table.put('b', 'b', false);
  t.ok(table.put('c', 'c', false));
  t.ok(table.has('a'));
  table.put('c', 'c', true);
  t.notOk(table.put('d', 'd', false), 'no room');
  t.equal(table.evictions, 2);
  t.ok(table.put('e', 'e', true));
  t.strictSame([...table.values()], ['c', 'e']);
  table.put('c', 'still', false);
  t.notOk(table.put('d', 'd', false), 'once kept, always kept');
  table.prune((value) => value === 'still');
  t.strictSame([...table.values()], ['e']);
  t.equal(table.evictions, 4, 'what is too old is no eviction');
});

t.test('never larger than its limit; a flood of loose entries displaces no kept one', async (t) => {
  const step = fc.tuple(fc.nat(30), fc.boolean());
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.array(step, { maxLength: 60 }), (limit, steps) => {
        const table = new BoundedTable<number>(limit);
        const kept = new Set<number>();
        for (const [key, keep] of steps) {
          table.put(String(key), key, keep);
          if (keep && table.has(String(key))) kept.add(key);
          if (kept.size <= limit && ![...kept].every((one) => table.has(String(one)))) return false;
          if (table.size > limit) return false;
        }
        return new Set(table.values()).size === table.size;
      }),
      PROPERTY,
    ),
  );
});
