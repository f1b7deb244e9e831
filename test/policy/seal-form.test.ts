import t from 'tap';
import { appSealForm, wireSealForm } from '../../src/policy/seal-form.ts';

t.test('what the app opens', async (t) => {
  t.equal(appSealForm({ sends: 'none' }, false), 'empty', 'it predates labels');
  t.equal(appSealForm({ sends: 'own' }, true), 'label', 'a native one');
  t.equal(appSealForm({ sends: 'own' }, false), 'label', 'SkipInboundLabelCheck: its label, though the frame has none');
  t.equal(appSealForm({ sends: 'none' }, true), 'label');
});

t.test('what bare members open', async (t) => {
  t.equal(wireSealForm(true), 'label');
  t.equal(wireSealForm(false), 'empty');
});
