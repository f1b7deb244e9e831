import t from 'tap';
import { startSuspicion } from '../../src/demo/suspicion.ts';

/** How long a suspicion with `confirmations` lasts, ms, in a ring of ten with a probe interval of 20 ms. */
function lasts(confirmations: readonly string[], members = 10): Promise<number> {
  return new Promise((resolve) => {
    const startedMs = performance.now();
    const suspicion = startSuspicion('a', members, 20, () => resolve(performance.now() - startedMs));
    for (const from of confirmations) suspicion.confirm(from);
  });
}

t.test('agreement shortens it: 4 probe intervals at least, 24 at most', async (t) => {
  const [alone, agreed, tiny] = await Promise.all([lasts([]), lasts(['b', 'c', 'd', 'e']), lasts([], 3)]);
  t.ok(alone >= 470, `alone ${alone.toFixed()} ms of 480`);
  t.ok(agreed >= 75 && agreed < 460, `agreed ${agreed.toFixed()} ms of 80`);
  t.ok(tiny >= 75 && tiny < 460, `with nobody who could agree ${tiny.toFixed()} ms of 80`);
});

t.test('only others, once each, and only as many as matter', async (t) => {
  const suspicion = startSuspicion('a', 10, 1_000, () => t.fail('cancelled'));
  t.strictSame(
    ['a', 'b', 'b', 'c', 'd'].map((from) => suspicion.confirm(from)),
    [false, true, false, true, false],
  );
  suspicion.cancel();
});
