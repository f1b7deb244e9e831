import fc from 'fast-check';
import t from 'tap';
import { type Used, UseOrder } from '../../src/datapath/use-order.ts';

class Thing implements Used<Thing> {
  older: Thing | undefined;
  newer: Thing | undefined;
  readonly name: number;
  constructor(name: number) {
    this.name = name;
  }
}

/** What it holds, the least recently used first; empties it. */
function emptied(order: UseOrder<Thing>): number[] {
  const names: number[] = [];
  for (let oldest = order.oldest(); oldest !== undefined; oldest = order.oldest()) {
    names.push(oldest.name);
    order.remove(oldest);
  }
  return names;
}

t.test('whatever is added, used and removed, the order is that of a list', async (t) => {
  const step = fc.record({ what: fc.constantFrom('add', 'touch', 'remove'), name: fc.nat({ max: 7 }) });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const things = Array.from({ length: 8 }, (_, name) => new Thing(name));
        const order = new UseOrder<Thing>();
        let expected: number[] = [];
        for (const { what, name } of steps) {
          const thing = things[name] as Thing;
          const has = expected.includes(name);
          if (has === (what === 'add')) continue;
          expected = expected.filter((one) => one !== name);
          if (what === 'remove') order.remove(thing);
          else {
            expected.push(name);
            if (what === 'add') order.add(thing);
            else order.touch(thing);
          }
          if (order.size !== expected.length || order.oldest()?.name !== expected[0]) return false;
        }
        return emptied(order).join() === expected.join() && order.size === 0;
      }),
    ),
  );
});
