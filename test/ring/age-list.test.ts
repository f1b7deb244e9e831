import fc from 'fast-check';
import t from 'tap';
import { AgeList } from '../../src/ring/age-list.ts';
import { PROPERTY } from '../property.ts';

t.test('the one touched longest ago stands first', async (t) => {
  const list = new AgeList<number>();
  t.strictSame([list.oldest(), list.oldestKey(), list.size], [undefined, undefined, 0]);
  list.set('a', 1);
  list.set('b', 2);
  list.set('b', 3);
  list.set('a', 4);
  t.strictSame([list.oldestKey(), list.oldest(), list.size], ['b', 3, 2]);
  t.ok(list.delete('b'));
  t.notOk(list.delete('b'));
  t.strictSame([list.get('a'), list.get('b'), list.has('a'), list.has('b')], [4, undefined, true, false]);
});

t.test('as a Map whose entries are deleted and set anew', async (t) => {
  const step = fc.tuple(fc.constantFrom('set', 'delete'), fc.nat(12), fc.nat(99));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const list = new AgeList<number>();
        const map = new Map<string, number>();
        for (const [what, key, value] of steps) {
          const known = map.delete(String(key));
          if (what === 'set') {
            map.set(String(key), value);
            list.set(String(key), value);
          } else if (list.delete(String(key)) !== known) return false;
          if (JSON.stringify([...list.entries()]) !== JSON.stringify([...map])) return false;
          if (list.oldestKey() !== [...map.keys()][0]) return false;
        }
        return list.size === map.size;
      }),
      PROPERTY,
    ),
  );
});

t.test('entries may be deleted while they are walked over', async (t) => {
  const list = new AgeList<number>();
  for (let i = 0; i < 6; i++) list.set(String(i), i);
  for (const [key, value] of list.entries()) if (value % 2 === 0) list.delete(key);
  t.strictSame(
    [...list.entries()].map(([, value]) => value),
    [1, 3, 5],
  );
});

t.test('touching without end leaves nothing behind', async (t) => {
  const list = new AgeList<number>();
  for (let i = 0; i < 500; i++) list.set(String(i), i);
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < 3_000_000; i++) list.set(String(i % 500), i);
  const grown = process.memoryUsage().heapUsed - before;
  t.ok(grown < 40 * 1024 * 1024, `${grown} bytes: a table for every 500 touches would be 150 MB`);
});
