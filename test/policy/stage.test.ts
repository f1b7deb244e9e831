import t from 'tap';
import { needsTranslation, STAGE_INDEX, STAGES, wireDialect } from '../../src/policy/stage.ts';

t.test('the stages are in the order of adoption, and their numbers are that order', async (t) => {
  t.strictSame(STAGES, ['observe', 'accept', 'label', 'enforce']);
  for (const [i, stage] of STAGES.entries()) t.equal(STAGE_INDEX[stage], i, stage);
});

t.test('an app needs no translation only where observe would let it talk to the wire', async (t) => {
  const fits = (sends: 'none' | 'own', takes: 'none' | 'own' | 'any', wire: 'none' | 'own') =>
    !needsTranslation({ sends, takes, wire });
  t.ok(fits('none', 'none', 'none'), 'an app that predates labels, on a bare wire');
  t.ok(fits('none', 'any', 'none'));
  t.notOk(fits('none', 'own', 'none'), 'it would drop what the wire carries');
  t.notOk(fits('own', 'own', 'none'), 'a native label on a bare wire');
  t.notOk(fits('own', 'any', 'none'), 'it would send what the wire drops');
  t.notOk(fits('own', 'none', 'none'));
  t.ok(fits('own', 'own', 'own'), 'a native label on a labelled wire');
  t.ok(fits('own', 'any', 'own'));
  t.notOk(fits('own', 'none', 'own'), "upstream's SkipInboundLabelCheck takes no label");
  t.notOk(fits('none', 'none', 'own'));
  t.notOk(fits('none', 'any', 'own'));
  t.notOk(fits('none', 'own', 'own'));
});

t.test('only accept speaks what the wire speaks; later stages speak the own label', async (t) => {
  t.equal(wireDialect('accept', 'none'), 'none');
  t.equal(wireDialect('accept', 'own'), 'own');
  for (const stage of ['label', 'enforce'] as const) {
    t.equal(wireDialect(stage, 'none'), 'own');
    t.equal(wireDialect(stage, 'own'), 'own');
  }
});
