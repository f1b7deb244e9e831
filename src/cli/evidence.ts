/** What is known of the other members of a fence's ring, and what that says of each step: read from every source, about once a second. */
import type { FenceConfig } from '../config/types.ts';
import type { ProbeTarget } from '../control/prober.ts';
import type { Admission } from '../policy/admission.ts';
import type { Stage } from '../policy/stage.ts';
import type { Evidence, FenceReport, ProbeReport } from '../ring/evidence.ts';
import { type Fallback, fallbacksOf } from '../ring/fallbacks.ts';
import { gatherEvidence, type Target } from '../ring/gather.ts';
import type { PeerRecord, PeerTable } from '../ring/peers.ts';
import { answerLifeMs, readiness, type Situation } from '../ring/readiness.ts';
import { dropsUnasked } from '../ring/readiness-members.ts';
import type { Step } from '../ring/readiness-types.ts';
import { type Removable, removable } from '../ring/removable.ts';
import type { Ring } from '../ring/ring-types.ts';
import { escapeText } from '../wire/escape.ts';

/** How old what is said may be, ms: gathering walks every table, some 20 ms for 10,000 members. */
const FRESH_MS = 1_000;

/** Names that are kept waiting for in words; more have a common cause. */
const DNS_UNKNOWN_MAX = 8;

export interface EvidenceParts {
  readonly memory: FenceConfig['memory'];
  /** How often members are asked now, ms. */
  probeIntervalMs(): number;
  /** What can change while the fence runs; dialects and admission are the same value until they do. */
  stage(): Stage;
  dialects(): Situation['dialects'];
  admission(): Admission;
  now(): number;
  /** Undefined while inspection is off. */
  readonly ring: Pick<Ring, 'members' | 'tableMs' | 'evictions'> | undefined;
  readonly peers: Pick<PeerTable, 'records' | 'lastLossMs'>;
  /** What DNS says (cli/admission.ts): addresses that should be members, and each configured name. */
  readonly dns: {
    listed(): readonly string[];
    leaves(address: string): boolean;
    names(): readonly { readonly name: string; readonly lastSuccessMs: number }[];
  };
  probe(target: Target): ProbeReport | undefined;
  fence(target: Target): FenceReport | undefined;
  /** Whether the admin API at the address was asked what fence is there, or nobody's is asked. */
  fenceAsked(address: string): boolean;
  /** Our own app's addresses, as formatAddress writes them, and its gossip port. */
  readonly local: { has(address: string): boolean; readonly port: number };
  /** Gossip was seen to be encrypted, and there are no keys. */
  sealedWithoutKeys(): boolean;
}

export interface FenceEvidence {
  /** At most about a second old, as everything here. */
  situation(): Situation;
  evidence(): readonly Evidence[];
  /** What stands against going to `to` from the present stage. */
  step(to: Stage): Step;
  /** What is asked for next is looked at anew. */
  renew(): void;
  /** Peers that fell back from the own label to none, the latest first. */
  fallbacks(): readonly Fallback[];
  /** How many addresses are known to have several members behind them. */
  ambiguous(): number;
  /** Whether the fence could be taken away. */
  removable(): Removable;
  /** Members to ask: those of ours that gossip or DNS names, admitted or not. */
  targets(): readonly Target[];
  /** Those to ask by labelled pings: at observe nobody, because no step ahead waits for an answer; later, who is admitted and, once its fence was asked, not known to drop them. */
  pingTargets(): readonly ProbeTarget[];
}

/** Starts to watch now; nothing in it has timers. */
export function composeEvidence(parts: EvidenceParts): FenceEvidence {
  const watchedSinceMs = parts.now();
  const membersEvictedMs = watchGrowth(() => parts.ring?.evictions().members ?? 0, parts.now);
  let last: Look | undefined;

  const look = (): Look => {
    const nowMs = parts.now();
    const given = { stage: parts.stage(), dialects: parts.dialects(), admission: parts.admission() };
    // What was just taken must not be judged by what was said before: the stage, and what a reload brings along with one.
    const same =
      last?.situation.stage === given.stage &&
      last.situation.dialects === given.dialects &&
      last.admission === given.admission;
    const fresh = last !== undefined && same && nowMs - last.situation.nowMs < FRESH_MS;
    if (!fresh || last === undefined) last = lookNow(parts, nowMs, given, watchedSinceMs, membersEvictedMs());
    return last;
  };
  return {
    situation: () => look().situation,
    evidence: () => look().situation.evidence,
    step(to) {
      const { steps, situation } = look();
      const known = steps.get(to) ?? readiness(to, situation);
      steps.set(to, known);
      return known;
    },
    renew() {
      last = undefined;
    },
    fallbacks() {
      const seen = look();
      const { records, situation, admission } = seen;
      seen.fallbacks ??= fallbacksOf(records, situation.evidence, (address) => admission.shared(address), situation);
      return seen.fallbacks;
    },
    ambiguous() {
      const { records, situation } = look();
      const rows = [...records, ...situation.evidence].filter(({ ambiguous }) => ambiguous);
      return new Set(rows.map(({ address }) => address)).size;
    },
    removable() {
      const seen = look();
      seen.removable ??= removable(seen.situation);
      return seen.removable;
    },
    targets: () => ours(look().situation).map(targetOf),
    pingTargets() {
      const { situation } = look();
      if (situation.stage === 'observe') return [];
      return (
        ours(situation)
          .filter(({ admitted, address }) => admitted && parts.fenceAsked(address))
          // What its fence said since the others were gathered counts as well.
          .map((row) => ({ ...row, fence: parts.fence(targetOf(row)) }))
          .filter((row) => !dropsUnasked(row, situation))
          .map((row) => ({ ...targetOf(row), promising: row.fence?.outcome === 'fence' }))
      );
    },
  };
}

function ours({ evidence }: Situation): readonly Evidence[] {
  return evidence.filter(
    ({ state, inDns, foreignLabel }) => foreignLabel === undefined && (state !== undefined || inDns),
  );
}

function targetOf({ name, address, port }: Evidence): Target {
  return { name, address, port };
}

/** What is known at one moment. */
interface Look {
  readonly situation: Situation;
  readonly admission: Admission;
  readonly records: readonly PeerRecord[];
  readonly steps: Map<Stage, Step>;
  /** Once asked for: anybody may read the admin API as often as they like. */
  fallbacks?: readonly Fallback[];
  removable?: Removable;
}

function lookNow(
  parts: EvidenceParts,
  nowMs: number,
  { stage, dialects, admission }: Pick<Situation, 'stage' | 'dialects'> & Pick<Look, 'admission'>,
  watchedSinceMs: number,
  membersEvictedMs: number,
): Look {
  const { ring, peers, dns, local, probe, fence } = parts;
  const { windowMs } = parts.memory;
  const records = peers.records(nowMs);
  const tableMs = ring?.tableMs() ?? 0;
  const situation = {
    nowMs,
    stage,
    dialects,
    hasRules: admission.hasRules,
    windowMs,
    answerLifeMs: answerLifeMs(parts.probeIntervalMs()),
    evidence: gatherEvidence({
      nowMs,
      windowMs,
      tableMs,
      members: ring?.members(nowMs) ?? [],
      listed: dns.listed(),
      leaves: (address) => dns.leaves(address),
      records,
      admission,
      local,
      probe,
      fence,
    }),
    watchedSinceMs,
    inspects: ring !== undefined,
    tableMs,
    peersEvictedMs: peers.lastLossMs(),
    membersEvictedMs,
    sealedWithoutKeys: parts.sealedWithoutKeys(),
    dnsUnknown: dns
      .names()
      .filter(({ lastSuccessMs }) => lastSuccessMs === 0)
      .slice(0, DNS_UNKNOWN_MAX)
      .map(({ name }) => escapeText(name)),
  };
  return { situation, admission, records, steps: new Map() };
}

/** When a counter was last seen to have grown; 0: never. Seen later than it happened, it counts for longer. */
function watchGrowth(count: () => number, now: () => number): () => number {
  let known = count();
  let grownMs = 0;
  return () => {
    const current = count();
    if (current !== known) [known, grownMs] = [current, now()];
    return grownMs;
  };
}
