import t from 'tap';
import {
  createSnapshot,
  type Decision,
  decide,
  type PolicySettings,
  type Rewrite,
  verdictAt,
} from '../../src/policy/decide.ts';
import type { Direction, FrameState, PeerView } from '../../src/policy/facts.ts';
import { DIALECTS, type Dialect, STAGES, type Stage, type Takes, wireDialect } from '../../src/policy/stage.ts';

const STRANGER: PeerView = { admitted: false, proven: false, foreign: false };
const ADMITTED: PeerView = { ...STRANGER, admitted: true };
const PROVEN: PeerView = { ...STRANGER, proven: true };
const FOREIGN: PeerView = { ...ADMITTED, foreign: true };

const PRE_LABEL: PolicySettings = {
  stage: 'accept',
  sends: 'none',
  takes: 'none',
  wire: 'none',
  unterminatedTls: 'reject',
  shield: true,
};
const NATIVE: PolicySettings = { ...PRE_LABEL, sends: 'own', takes: 'own' };

/** `pass:<rewrite>`, or the reason. */
function said({ verdict, reason, rewrite }: Decision): string {
  return verdict === 'pass' ? `pass:${rewrite}` : String(reason);
}

type Row = readonly [Stage, FrameState, admitted: string, proven: string, foreign: string, stranger: string];

/** The inbound half of the design's table, for an app that predates labels. */
const INBOUND: readonly Row[] = [
  ['observe', 'own', 'pass:keep', 'pass:keep', 'pass:keep', 'pass:keep'],
  ['observe', 'none', 'pass:keep', 'pass:keep', 'pass:keep', 'pass:keep'],
  ['observe', 'foreign', 'pass:keep', 'pass:keep', 'pass:keep', 'pass:keep'],
  ['observe', 'label_double', 'pass:keep', 'pass:keep', 'pass:keep', 'pass:keep'],
  ['observe', 'opaque', 'pass:keep', 'pass:keep', 'pass:keep', 'pass:keep'],
  ['accept', 'own', 'pass:strip', 'pass:strip', 'pass:strip', 'pass:strip'],
  ['accept', 'none', 'pass:keep', 'peer_not_admitted', 'peer_foreign', 'peer_not_admitted'],
  ['accept', 'foreign', 'label_foreign', 'label_foreign', 'label_foreign', 'label_foreign'],
  ['accept', 'label_double', 'label_double', 'label_double', 'label_double', 'label_double'],
  ['accept', 'opaque', 'tls_unterminated', 'tls_unterminated', 'tls_unterminated', 'tls_unterminated'],
  ['label', 'own', 'pass:strip', 'pass:strip', 'pass:strip', 'pass:strip'],
  ['label', 'none', 'pass:keep', 'peer_not_admitted', 'peer_foreign', 'peer_not_admitted'],
  ['label', 'foreign', 'label_foreign', 'label_foreign', 'label_foreign', 'label_foreign'],
  ['label', 'label_empty', 'label_empty', 'label_empty', 'label_empty', 'label_empty'],
  ['label', 'opaque', 'tls_unterminated', 'tls_unterminated', 'tls_unterminated', 'tls_unterminated'],
  ['enforce', 'own', 'pass:strip', 'pass:strip', 'pass:strip', 'pass:strip'],
  ['enforce', 'none', 'label_missing', 'label_missing', 'label_missing', 'label_missing'],
  ['enforce', 'foreign', 'label_foreign', 'label_foreign', 'label_foreign', 'label_foreign'],
  ['enforce', 'label_truncated', 'label_truncated', 'label_truncated', 'label_truncated', 'label_truncated'],
  ['enforce', 'opaque', 'tls_unterminated', 'tls_unterminated', 'tls_unterminated', 'tls_unterminated'],
];

/** The outbound half, for an app that predates labels on a bare wire. */
const OUTBOUND: readonly Row[] = [
  ['observe', 'none', 'pass:keep', 'pass:keep', 'pass:keep', 'pass:keep'],
  ['observe', 'foreign', 'pass:keep', 'pass:keep', 'pass:keep', 'pass:keep'],
  ['accept', 'none', 'pass:keep', 'pass:keep', 'peer_foreign', 'peer_not_admitted'],
  ['accept', 'own', 'pass:strip', 'pass:strip', 'peer_foreign', 'peer_not_admitted'],
  ['accept', 'foreign', 'label_foreign', 'label_foreign', 'label_foreign', 'label_foreign'],
  ['label', 'none', 'pass:add', 'pass:add', 'peer_foreign', 'peer_not_admitted'],
  ['label', 'own', 'pass:keep', 'pass:keep', 'peer_foreign', 'peer_not_admitted'],
  ['label', 'label_double', 'label_double', 'label_double', 'label_double', 'label_double'],
  ['enforce', 'none', 'pass:add', 'pass:add', 'peer_foreign', 'peer_not_admitted'],
  ['enforce', 'own', 'pass:keep', 'pass:keep', 'peer_foreign', 'peer_not_admitted'],
  ['enforce', 'foreign', 'label_foreign', 'label_foreign', 'label_foreign', 'label_foreign'],
];

for (const [direction, rows] of [
  ['inbound', INBOUND],
  ['outbound', OUTBOUND],
] as const) {
  t.test(`the stage table, ${direction}, row by row`, async (t) => {
    for (const [stage, state, admitted, proven, foreign, stranger] of rows) {
      const snapshot = createSnapshot({ ...PRE_LABEL, stage });
      const facts = { direction, state };
      t.equal(said(decide(facts, ADMITTED, snapshot)), admitted, `${stage}, ${state}, an admitted peer`);
      t.equal(said(decide(facts, PROVEN, snapshot)), proven, `${stage}, ${state}, a proven peer outside the rules`);
      t.equal(said(decide(facts, FOREIGN, snapshot)), foreign, `${stage}, ${state}, an admitted address gone foreign`);
      t.equal(said(decide(facts, STRANGER, snapshot)), stranger, `${stage}, ${state}, a stranger`);
    }
  });
}

t.test('equal settings share a snapshot, and decisions that say the same are one', async (t) => {
  const settings = { ...PRE_LABEL, stage: 'accept' } as const;
  const snapshot = createSnapshot(settings);
  t.equal(createSnapshot({ ...settings }), snapshot);
  t.not(createSnapshot({ ...settings, shield: !settings.shield }), snapshot);
  const said = new Set(snapshot.table.map((decision) => JSON.stringify(decision)));
  t.equal(new Set(snapshot.table).size, said.size);
  t.ok(snapshot.table.every((decision) => Object.isFrozen(decision)));
});

t.test('the app always gets its own dialect from accept on', async (t) => {
  const rows: [Takes, Dialect, Rewrite][] = [
    ['none', 'none', 'keep'],
    ['none', 'own', 'strip'],
    ['own', 'none', 'add'],
    ['own', 'own', 'keep'],
    ['any', 'none', 'keep'],
    ['any', 'own', 'keep'],
  ];
  for (const [takes, state, rewrite] of rows) {
    for (const sends of DIALECTS) {
      for (const wire of DIALECTS) {
        for (const stage of ['accept', 'label'] as const) {
          const snapshot = createSnapshot({ ...PRE_LABEL, stage, sends, takes, wire });
          const decision = decide({ direction: 'inbound', state }, ADMITTED, snapshot);
          t.equal(
            said(decision),
            `pass:${rewrite}`,
            `${stage}: takes ${takes}, sends ${sends}, wire ${wire}, ${state}`,
          );
        }
      }
    }
  }
});

t.test(
  "accept puts the wire's dialect on the wire, label and enforce the own label, whatever the app sends",
  async (t) => {
    for (const sends of DIALECTS) {
      for (const wire of DIALECTS) {
        for (const stage of ['accept', 'label', 'enforce'] as const) {
          const snapshot = createSnapshot({ ...PRE_LABEL, stage, sends, wire });
          const target = stage === 'accept' ? wire : 'own';
          const rewrite = target === sends ? 'keep' : target === 'own' ? 'add' : 'strip';
          const decision = decide({ direction: 'outbound', state: sends }, ADMITTED, snapshot);
          t.equal(said(decision), `pass:${rewrite}`, `${stage}: sends ${sends}, wire ${wire}`);
          t.equal(wireDialect(stage, wire), target);
        }
      }
    }
  },
);

t.test('TLS that is let through by configuration passes by identity alone', async (t) => {
  for (const stage of ['accept', 'label', 'enforce'] as const) {
    const snapshot = createSnapshot({ ...PRE_LABEL, stage, unterminatedTls: 'pass' });
    const at = (direction: 'inbound' | 'outbound', view: PeerView) =>
      said(decide({ direction, state: 'opaque' }, view, snapshot));
    t.equal(at('inbound', ADMITTED), 'pass:keep');
    t.equal(at('inbound', PROVEN), 'peer_not_admitted');
    t.equal(at('inbound', FOREIGN), 'peer_foreign');
    t.equal(at('outbound', ADMITTED), 'pass:keep');
    t.equal(at('outbound', PROVEN), 'pass:keep');
    t.equal(at('outbound', FOREIGN), 'peer_foreign');
    t.equal(at('outbound', STRANGER), 'peer_not_admitted');
  }
});

t.test('an unlabelled frame of a proven peer is a fall-back: counted, and never cut for it', async (t) => {
  for (const stage of STAGES) {
    const snapshot = createSnapshot({ ...NATIVE, stage });
    const member = { admitted: true, proven: true, foreign: false };
    const fallen = decide({ direction: 'inbound', state: 'none' }, member, snapshot);
    t.equal(fallen.fallback, true, stage);
    t.equal(fallen.verdict, stage === 'enforce' ? 'reject' : 'pass', stage);
    t.equal(decide({ direction: 'inbound', state: 'own' }, member, snapshot).fallback, false);
    t.equal(decide({ direction: 'inbound', state: 'none' }, ADMITTED, snapshot).fallback, false);
    t.equal(decide({ direction: 'outbound', state: 'none' }, member, snapshot).fallback, false);
  }
});

t.test('a label that a peer has not proved to take would strand it, at each later stage that sends one', async (t) => {
  const stranded = (settings: PolicySettings, state: FrameState, view: PeerView, direction: Direction = 'outbound') =>
    decide({ direction, state }, view, createSnapshot(settings)).wouldStrand;
  t.strictSame(stranded({ ...PRE_LABEL, stage: 'observe' }, 'none', ADMITTED), ['label', 'enforce']);
  t.strictSame(stranded({ ...PRE_LABEL, stage: 'accept' }, 'none', ADMITTED), ['label', 'enforce']);
  t.strictSame(stranded({ ...PRE_LABEL, stage: 'label' }, 'none', ADMITTED), ['enforce']);
  t.strictSame(stranded({ ...PRE_LABEL, stage: 'enforce' }, 'none', ADMITTED), []);
  t.strictSame(stranded({ ...NATIVE, stage: 'observe', wire: 'own' }, 'own', ADMITTED), ['accept', 'label', 'enforce']);
  t.strictSame(stranded(PRE_LABEL, 'none', PROVEN), [], 'a proven peer takes it');
  t.strictSame(stranded(PRE_LABEL, 'none', STRANGER), [], 'what is rejected now is not stranded later');
  t.strictSame(stranded(PRE_LABEL, 'none', ADMITTED, 'inbound'), [], 'nothing inbound is');
  t.strictSame(stranded({ ...PRE_LABEL, unterminatedTls: 'pass' }, 'opaque', ADMITTED), [], 'TLS carries no label');
});

t.test('a snapshot is immutable and shows its settings; decisions are shared', async (t) => {
  const settings = { ...PRE_LABEL };
  const snapshot = createSnapshot(settings);
  settings.stage = 'enforce';
  t.equal(snapshot.settings.stage, 'accept', 'the settings are a copy');
  t.ok(Object.isFrozen(snapshot) && Object.isFrozen(snapshot.table) && Object.isFrozen(snapshot.settings));
  const facts = { direction: 'inbound', state: 'none' } as const;
  t.equal(decide(facts, ADMITTED, snapshot), decide(facts, { ...ADMITTED }, snapshot), 'one object');
  t.ok(Object.isFrozen(decide(facts, ADMITTED, snapshot)));
  t.strictSame(verdictAt('accept', facts, ADMITTED, PRE_LABEL), { verdict: 'pass', rewrite: 'keep' });
});
