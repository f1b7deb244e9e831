// The table of engines: a configuration gets what it is to run over, or the test fails.
import t from 'tap';
import { engineInTurn, withEngine } from './engines.ts';

t.test('an engine goes into every fence that can have it', async (t) => {
  const two = { fences: [{ listen: 'a' }, { listen: 'b' }], admin: {} };
  t.strictSame(withEngine(two, 'portable'), {
    fences: [
      { listen: 'a', engine: 'portable' },
      { listen: 'b', engine: 'portable' },
    ],
    admin: {},
  });
  t.strictSame(withEngine({ fences: [{ transparent: {} }] }, 'linux'), {
    fences: [{ transparent: {}, engine: 'linux' }],
  });
  t.throws(() => withEngine({ fences: [{ transparent: {} }] }, 'portable'), /no portable engine/);
  t.throws(() => withEngine('fences: []', 'portable'), /without a list of fences/);
});

t.test('they take turns', async (t) => {
  t.strictSame([0, 1, 2, 3].map(engineInTurn), ['linux', 'portable', 'linux', 'portable']);
});
