import t from 'tap';
import { removable } from '../../src/ring/removable.ts';
import { LEG, probe, row, situation } from './evidence-rows.ts';

const native = { sends: 'own', takes: 'own', wire: 'none' } as const;

t.test('when the app and every member speak the label themselves', async (t) => {
  t.match(removable(situation([row()], { stage: 'enforce', dialects: native })), { yes: true });
  t.match(removable(situation([row()], { stage: 'enforce', dialects: { ...native, takes: 'any' } })), { yes: true });
  t.match(removable(situation([row()], { stage: 'observe', dialects: { ...native, wire: 'own' } })), { yes: true });
});

t.test('otherwise it says why not', async (t) => {
  const why = (change: object, rows = [row()]) =>
    removable(situation(rows, { stage: 'enforce', dialects: native, ...change }));
  t.match(why({ dialects: { ...native, sends: 'none' } }), { yes: false, why: /app\.sends/ });
  t.match(why({ dialects: { ...native, takes: 'none' } }), { yes: false, why: /app\.takes/ });
  t.match(why({ stage: 'label' }), { yes: false, why: 'the fence is at label, and not at enforce yet' });
  const silent = row({ name: 'old', probe: probe(LEG.silent) });
  t.match(why({}, [silent]), { yes: false, why: /: old 10\.0\.0\.1: drops labelled pings \(its fence is at label\)$/ });
  t.match(why({}, [silent, row({ ownMs: 0 })]), { yes: false, why: /, and 1 more$/ });
});
