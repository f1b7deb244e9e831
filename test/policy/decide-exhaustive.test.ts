import t from 'tap';
import { createSnapshot, decide, type PolicySettings } from '../../src/policy/decide.ts';
import { DIRECTIONS, FRAME_STATES } from '../../src/policy/facts.ts';
import { SHIELD_REASONS } from '../../src/policy/reason.ts';
import { DIALECTS, STAGES, TAKES } from '../../src/policy/stage.ts';
import { MALFORMED_REASONS } from '../../src/wire/reason.ts';

const VIEWS = [0, 1, 2, 3, 4, 5, 6, 7].map((bits) => ({
  admitted: (bits & 1) !== 0,
  proven: (bits & 2) !== 0,
  foreign: (bits & 4) !== 0,
}));

/** Every policy that can be configured, in every stage. */
const EVERY_POLICY: PolicySettings[] = STAGES.flatMap((stage) =>
  DIALECTS.flatMap((sends) =>
    TAKES.flatMap((takes) =>
      DIALECTS.flatMap((wire) =>
        (['pass', 'reject'] as const).map((unterminatedTls) => ({
          stage,
          sends,
          takes,
          wire,
          unterminatedTls,
          shield: true,
        })),
      ),
    ),
  ),
);
const EVERY_FRAME = DIRECTIONS.flatMap((direction) =>
  FRAME_STATES.flatMap((state) => VIEWS.map((view) => ({ facts: { direction, state }, view }))),
);

t.test('exhaustively: observe passes and keeps everything', async (t) => {
  let frames = 0;
  for (const settings of EVERY_POLICY.filter(({ stage }) => stage === 'observe')) {
    const snapshot = createSnapshot(settings);
    for (const { facts, view } of EVERY_FRAME) {
      frames++;
      const decision = decide(facts, view, snapshot);
      if (decision.verdict !== 'pass' || decision.rewrite !== 'keep') t.fail(JSON.stringify({ facts, view, settings }));
    }
  }
  t.equal(frames, 2 * 3 * 2 * 2 * EVERY_FRAME.length);
});

t.test(
  'exhaustively: what a stage counts as would-reject is what that stage rejects, given the same memory',
  async (t) => {
    let rejections = 0;
    for (const settings of EVERY_POLICY) {
      const now = createSnapshot(settings);
      const later = STAGES.slice(STAGES.indexOf(settings.stage) + 1);
      const snapshots = later.map((stage) => ({ stage, snapshot: createSnapshot({ ...settings, stage }) }));
      for (const { facts, view } of EVERY_FRAME) {
        const rejected = snapshots.flatMap(({ stage, snapshot }) => {
          const { verdict, reason } = decide(facts, view, snapshot);
          return verdict === 'reject' ? [{ stage, reason }] : [];
        });
        rejections += rejected.length;
        const counted = decide(facts, view, now).wouldReject;
        if (JSON.stringify(counted) !== JSON.stringify(rejected))
          t.strictSame(counted, rejected, JSON.stringify(facts));
      }
    }
    t.ok(rejections > 1000, `${rejections} rejections compared`);
  },
);

t.test('exhaustively: malformed and foreign never pass from accept on, own always does inbound', async (t) => {
  for (const settings of EVERY_POLICY.filter(({ stage }) => stage !== 'observe')) {
    for (const { facts, view } of EVERY_FRAME) {
      const { verdict, reason, rewrite } = decide(facts, view, createSnapshotOnce(settings));
      const bad = facts.state === 'foreign' || (MALFORMED_REASONS as readonly string[]).includes(facts.state);
      if (bad && (verdict !== 'reject' || rewrite !== 'keep')) t.fail(JSON.stringify({ facts, settings }));
      if (facts.direction === 'inbound' && facts.state === 'own' && verdict !== 'pass')
        t.fail(JSON.stringify(settings));
      if ((verdict === 'reject') !== (reason !== undefined)) t.fail('a rejection has a reason, and nothing else has');
    }
  }
  t.pass('no exception found');
});

const made = new Map<PolicySettings, ReturnType<typeof createSnapshot>>();
function createSnapshotOnce(settings: PolicySettings) {
  const snapshot = made.get(settings) ?? createSnapshot(settings);
  made.set(settings, snapshot);
  return snapshot;
}

t.test('exhaustively: harm turns what would pass into a rejection from accept on, and nothing else', async (t) => {
  let rejected = 0;
  for (const settings of EVERY_POLICY.filter(({ takes }) => takes === 'none')) {
    const snapshot = createSnapshotOnce(settings);
    const off = createSnapshot({ ...settings, shield: false });
    for (const { facts, view } of EVERY_FRAME) {
      const harmless = decide(facts, view, snapshot);
      for (const harm of SHIELD_REASONS) {
        const decision = decide({ ...facts, harm }, view, snapshot);
        const cut = settings.stage !== 'observe' && harmless.verdict === 'pass';
        if (cut) rejected++;
        const expected = cut ? { verdict: 'reject', reason: harm, rewrite: 'keep' } : harmless;
        const { verdict, reason, rewrite } = decision;
        if (verdict !== expected.verdict || reason !== expected.reason || rewrite !== expected.rewrite)
          t.strictSame(decision, expected, JSON.stringify({ facts, harm, settings }));
        const { fallback } = decision;
        if (fallback !== harmless.fallback) t.fail('harm says nothing of the dialect');
        const without = decide({ ...facts, harm }, view, off);
        if (without.verdict !== harmless.verdict || without.reason !== harmless.reason) t.fail('the shield is off');
      }
    }
  }
  t.ok(rejected > 1000, `${rejected} rejections`);
});

t.test('exhaustively: what a later stage would do about harm is counted in observe', async (t) => {
  for (const settings of EVERY_POLICY.filter(({ stage, takes }) => stage === 'observe' && takes === 'none')) {
    const snapshot = createSnapshotOnce(settings);
    for (const { facts, view } of EVERY_FRAME) {
      const harmful = { ...facts, harm: 'shield_bomb' } as const;
      const expected = STAGES.slice(1).map((stage) => {
        const { reason } = decide(harmful, view, createSnapshotOnce(stageOf(settings, stage)));
        return { stage, reason };
      });
      const { wouldReject, wouldStrand } = decide(harmful, view, snapshot);
      if (JSON.stringify(wouldReject) !== JSON.stringify(expected)) t.strictSame(wouldReject, expected);
      if (wouldStrand.length > 0) t.fail('what is rejected is not stranded');
    }
  }
  t.pass('no exception found');
});

/** The policy in EVERY_POLICY that differs by its stage alone. */
function stageOf(settings: PolicySettings, stage: PolicySettings['stage']): PolicySettings {
  const { sends, takes, wire, unterminatedTls } = settings;
  const same = EVERY_POLICY.find(
    (other) =>
      other.stage === stage &&
      other.sends === sends &&
      other.takes === takes &&
      other.wire === wire &&
      other.unterminatedTls === unterminatedTls,
  );
  if (same === undefined) throw new Error('every policy is there');
  return same;
}
