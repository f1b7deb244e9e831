/**
 * The stage table of the design, in both directions. A snapshot holds the decision for every combination of facts, made once when
 * the policy changes, so that `decide` is a look-up on every data path and allocates nothing.
 */
import { DIRECTIONS, type Facts, FRAME_STATES, isMalformed, type PeerView } from './facts.ts';
import { type RejectReason, SHIELD_REASONS, type ShieldReason } from './reason.ts';
import { type Dialect, type Dialects, STAGE_INDEX, STAGES, type Stage, wireDialect } from './stage.ts';

/** What happens to the label of a frame that passes. */
export type Rewrite = 'keep' | 'add' | 'strip';

/** The verdict of one stage. */
export type StageVerdict =
  | { readonly verdict: 'pass'; readonly rewrite: Rewrite }
  | { readonly verdict: 'reject'; readonly reason: RejectReason };

/** The current stage's verdict, and what each later stage would have done. Shared and frozen: never change one. */
export interface Decision {
  readonly verdict: 'pass' | 'reject';
  /** Undefined when it passes. */
  readonly reason: RejectReason | undefined;
  /** `keep` when it is rejected. */
  readonly rewrite: Rewrite;
  /** Each later stage that would reject the frame, with its reason. */
  readonly wouldReject: readonly { readonly stage: Stage; readonly reason: RejectReason }[];
  /** Each later stage that would send this passing outbound frame in a dialect that the peer has not proved to take. */
  readonly wouldStrand: readonly Stage[];
  /** An unlabelled frame of a peer that lately showed the own label: a restarted or rolled-back neighbour. Counted, never cut. */
  readonly fallback: boolean;
}

export interface PolicySettings extends Dialects {
  readonly stage: Stage;
  /** What a TLS connection that the fence does not terminate meets from `accept` on. */
  readonly unterminatedTls: 'pass' | 'reject';
  /** Whether frames that are known to crash or exhaust receivers are rejected from `accept` on. */
  readonly shield: boolean;
}

/** All that `decide` needs, immutable. */
export interface Snapshot {
  readonly settings: PolicySettings;
  readonly table: readonly Decision[];
}

/** A PeerView as a number: which of these hold. */
export const VIEW = { admitted: 1, proven: 2, foreign: 4 } as const;

/** Every view there is, at its number. */
export const PEER_VIEWS: readonly PeerView[] = Array.from({ length: 8 }, (_, bits) =>
  Object.freeze({
    admitted: (bits & VIEW.admitted) !== 0,
    proven: (bits & VIEW.proven) !== 0,
    foreign: (bits & VIEW.foreign) !== 0,
  }),
);

/** Position of a state in FRAME_STATES. */
export const STATE_INDEX = Object.fromEntries(FRAME_STATES.map((state, i) => [state, i])) as Record<
  Facts['state'],
  number
>;

const HARMS = [undefined, ...SHIELD_REASONS] as const;
const HARM_INDEX = new Map<ShieldReason | undefined, number>(HARMS.map((harm, i) => [harm, i]));

function tableIndex({ direction, state, harm }: Facts, { admitted, proven, foreign }: PeerView): number {
  const bits = (admitted ? VIEW.admitted : 0) | (proven ? VIEW.proven : 0) | (foreign ? VIEW.foreign : 0);
  const inside = harm === undefined ? 0 : (HARM_INDEX.get(harm) as number);
  const place = (direction === 'inbound' ? 0 : FRAME_STATES.length) + STATE_INDEX[state];
  return (inside * DIRECTIONS.length * FRAME_STATES.length + place) * PEER_VIEWS.length + bits;
}

/** The one decision of every data path: pure, total, without allocation. */
export function decide(facts: Facts, view: PeerView, snapshot: Snapshot): Decision {
  // The table holds every index that tableIndex can give (createSnapshot).
  return snapshot.table[tableIndex(facts, view)] as Decision;
}

/** What was made before, as many as there are different settings: a table is large, and a hundred fences have the same. */
const made = new Map<string, Snapshot>();

/** Decides every combination of facts for `settings`. Equal settings share a snapshot. */
export function createSnapshot(settings: PolicySettings): Snapshot {
  const { stage, sends, takes, wire, unterminatedTls, shield } = settings;
  const key = `${stage} ${sends} ${takes} ${wire} ${unterminatedTls} ${shield}`;
  const snapshot = made.get(key) ?? decideEverything(settings);
  made.set(key, snapshot);
  return snapshot;
}

function decideEverything(settings: PolicySettings): Snapshot {
  const table = new Array<Decision>(HARMS.length * DIRECTIONS.length * FRAME_STATES.length * PEER_VIEWS.length);
  const places = DIRECTIONS.flatMap((direction) => FRAME_STATES.map((state) => ({ direction, state })));
  const shared = new Map<string, Decision>();
  for (const facts of HARMS.flatMap((harm) => places.map((place) => ({ ...place, harm })))) {
    for (const view of PEER_VIEWS) {
      table[tableIndex(facts, view)] = shareDecision(decideAll(facts, view, settings), shared);
    }
  }
  return Object.freeze({ settings: Object.freeze({ ...settings }), table: Object.freeze(table) });
}

/** The first of those that say the same: of thousands a few dozen differ. */
function shareDecision(decision: Decision, shared: Map<string, Decision>): Decision {
  const { reason, rewrite, wouldReject, wouldStrand, fallback } = decision;
  let key = `${reason} ${rewrite} ${fallback} ${wouldStrand}`;
  for (const later of wouldReject) key += ` ${later.stage} ${later.reason}`;
  const known = shared.get(key);
  if (known !== undefined) return known;
  shared.set(key, Object.freeze(decision));
  return decision;
}

function decideAll(facts: Facts, view: PeerView, settings: PolicySettings): Decision {
  const now = verdictAt(settings.stage, facts, view, settings);
  const wouldReject: { stage: Stage; reason: RejectReason }[] = [];
  const wouldStrand: Stage[] = [];
  for (const stage of STAGES.slice(STAGE_INDEX[settings.stage] + 1)) {
    const later = verdictAt(stage, facts, view, settings);
    if (later.verdict === 'reject') wouldReject.push({ stage, reason: later.reason });
    else if (now.verdict === 'pass' && strands(stage, facts, view, settings)) wouldStrand.push(stage);
  }
  return {
    verdict: now.verdict,
    reason: now.verdict === 'reject' ? now.reason : undefined,
    rewrite: now.verdict === 'pass' ? now.rewrite : 'keep',
    wouldReject,
    wouldStrand,
    fallback: facts.direction === 'inbound' && facts.state === 'none' && view.proven,
  };
}

/** What one stage does with a frame: a row of the design's stage table, then the shield. */
export function verdictAt(stage: Stage, facts: Facts, view: PeerView, settings: PolicySettings): StageVerdict {
  if (stage === 'observe') return { verdict: 'pass', rewrite: 'keep' };
  const byLabel = labelVerdict(stage, facts, view, settings);
  if (byLabel.verdict === 'reject' || facts.harm === undefined || !settings.shield) return byLabel;
  return { verdict: 'reject', reason: facts.harm };
}

function labelVerdict(
  stage: Exclude<Stage, 'observe'>,
  facts: Facts,
  view: PeerView,
  settings: PolicySettings,
): StageVerdict {
  const { direction, state } = facts;
  if (isMalformed(state)) return { verdict: 'reject', reason: state };
  if (state === 'foreign') return { verdict: 'reject', reason: 'label_foreign' };
  if (state === 'opaque') {
    if (settings.unterminatedTls === 'reject') return { verdict: 'reject', reason: 'tls_unterminated' };
    return direction === 'outbound' ? outboundPeer(view, 'keep') : admitted(view, 'keep');
  }
  if (direction === 'outbound') return outboundPeer(view, rewriteTo(wireDialect(stage, settings.wire), state));
  if (state === 'own') return { verdict: 'pass', rewrite: settings.takes === 'none' ? 'strip' : 'keep' };
  if (stage === 'enforce') return { verdict: 'reject', reason: 'label_missing' };
  return admitted(view, settings.takes === 'own' ? 'add' : 'keep');
}

/** The peer passes by identity unless a foreigner lately answered at its address. */
function admitted(view: PeerView, rewrite: Rewrite): StageVerdict {
  if (view.foreign) return { verdict: 'reject', reason: 'peer_foreign' };
  return view.admitted ? { verdict: 'pass', rewrite } : { verdict: 'reject', reason: 'peer_not_admitted' };
}

/** What the app sends passes to a peer that is admitted or proven. */
function outboundPeer(view: PeerView, rewrite: Rewrite): StageVerdict {
  return view.proven ? { verdict: 'pass', rewrite } : admitted(view, rewrite);
}

function rewriteTo(target: Dialect, state: Dialect): Rewrite {
  if (target === state) return 'keep';
  return target === 'own' ? 'add' : 'strip';
}

function strands(stage: Stage, { direction, state }: Facts, view: PeerView, { wire }: PolicySettings): boolean {
  if (stage === 'observe' || direction === 'inbound' || (state !== 'own' && state !== 'none')) return false;
  return wireDialect(stage, wire) === 'own' && !view.proven;
}
