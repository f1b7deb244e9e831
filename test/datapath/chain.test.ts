import fc from 'fast-check';
import t from 'tap';
import { Chain, type Linked } from '../../src/datapath/chain.ts';

class Link implements Linked<Link> {
  linked = false;
  before: Link | undefined;
  after: Link | undefined;
}

function walked(chain: Chain<Link>, forwards: boolean, bound: number): Link[] {
  const out: Link[] = [];
  for (let one = forwards ? chain.first : chain.last; one !== undefined && out.length <= bound; ) {
    out.push(one);
    one = forwards ? one.after : one.before;
  }
  return out;
}

t.test('a chain is a list, both ways, and what was taken out reaches nobody', async (t) => {
  const steps = fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 60 });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(steps, (numbers) => {
        const links = Array.from({ length: 8 }, () => new Link());
        const chain = new Chain<Link>();
        let model: Link[] = [];
        for (const number of numbers) {
          const link = links[number] as Link;
          if (link.linked) {
            chain.remove(link);
            model = model.filter((one) => one !== link);
            if (link.before !== undefined || link.after !== undefined) throw new Error('it still reaches others');
          } else {
            chain.append(link);
            model.push(link);
          }
          const same = (walk: Link[], wanted: Link[]) =>
            walk.length === wanted.length && walk.every((one, i) => one === wanted[i]);
          if (!same(walked(chain, true, 8), model)) throw new Error('forwards');
          if (!same(walked(chain, false, 8), model.toReversed())) throw new Error('backwards');
          if (links.some((one) => one.linked !== model.includes(one))) throw new Error('linked');
        }
      }),
    ),
  );
});
