/** Keeps the rules of quarantine: what the tables say of foreigners, as plain data that stays the same object until it changes. */
import { createIdentity, type IdentityRules } from '../policy/identity.ts';
import type { ForeignTable } from './foreign.ts';
import type { Member, Members } from './members.ts';
import type { MergeWatch } from './merge.ts';
import { NO_QUARANTINE_RULES, type QuarantineRules, type Tuple } from './quarantine.ts';
import { tupleKey } from './tuple.ts';

/** How old the rules may be, ms: what an address proves changes without a word of gossip. */
const RULES_AGE_MS = 1_000;

/** How long rules last although tuples changed sides, ms: a flood of new tuples must not make them anew with every message. */
const CHANGED_AGE_MS = 100;

/** Tuples for which rules last a millisecond longer: making them costs two or three microseconds each, so it takes a twentieth of the time. */
const TUPLES_PER_MS = 20;

type Tuples = ReadonlyMap<string, Tuple>;

/**
 * What of the identity rules makes a member a foreigner: not its absence from DNS, which lags behind the ring and has only members that
 * are ready, so that an own member would be stripped.
 */
function strippingRules({ cidrs, names, dns }: IdentityRules): IdentityRules {
  return { cidrs: dns === undefined ? cidrs : [], names };
}

/** The rules at a time. `identity` gives the same object until it changes. During the warm-up no tuple is foreign yet: the order is not known (merge.ts). */
export function createRulesKeeper(
  identityRules: () => IdentityRules,
  members: Members,
  foreign: ForeignTable,
  merge: MergeWatch,
  proven: (address: string, nowMs: number) => boolean,
): (nowMs: number) => QuarantineRules {
  let known = identityRules();
  let rules: QuarantineRules = { ...NO_QUARANTINE_RULES, identity: strippingRules(known) };
  let { outsideName } = createIdentity(rules.identity);
  let last: readonly [foreigners: Tuples, own: Tuples] = [new Map(), new Map()];
  let madeMs = Number.NEGATIVE_INFINITY;
  let madeAt = -1;

  /** A member outside of both kinds of rules is known to be outside of the addresses. */
  const strips = ({ outside, name }: Member): boolean =>
    outside === 'address' && known.dns !== undefined ? outsideName(name) : outside !== undefined;
  const collect = (nowMs: number): readonly [foreigners: Tuples, own: Tuples] => {
    const foreigners = new Map<string, Tuple>();
    const own = new Map<string, Tuple>();
    if (!merge.warmingUp(nowMs)) {
      for (const [key, sighting] of foreign.entries()) {
        if (merge.isForeigner(key, sighting, nowMs)) foreigners.set(key, sighting);
      }
    }
    for (const member of members.all()) {
      if (!strips(member)) continue;
      const side = proven(member.address, nowMs) || members.isApp(member.name) ? own : foreigners;
      side.set(tupleKey(member), member);
    }
    if (foreigners.size > 0) addSharing(merge.ownTuples(), foreigners, own);
    return [foreigners, own];
  };

  return (nowMs) => {
    const latest = identityRules();
    if (latest !== known) {
      known = latest;
      rules = { ...rules, identity: strippingRules(latest) };
      outsideName = createIdentity(rules.identity).outsideName;
      madeMs = Number.NEGATIVE_INFINITY;
    }
    const changedAgeMs = CHANGED_AGE_MS + last[0].size / TUPLES_PER_MS;
    if (nowMs - madeMs < (madeAt === merge.changes ? RULES_AGE_MS : changedAgeMs)) return rules;
    madeAt = merge.changes;
    madeMs = nowMs;
    const made = collect(nowMs);
    if (sameKeys(made[0], last[0]) && sameKeys(made[1], last[1])) return rules;
    last = made;
    rules = { foreign: plain(made[0]), own: plain(made[1]), identity: rules.identity };
    return rules;
  };
}

/** Own tuples that share a name or an address with a foreigner. */
function addSharing(ownTuples: Iterable<Tuple>, foreigners: Tuples, own: Map<string, Tuple>): void {
  const names = new Set<string>();
  const addresses = new Set<string>();
  for (const { name, address } of foreigners.values()) {
    names.add(name);
    addresses.add(address);
  }
  for (const tuple of ownTuples) {
    if (!names.has(tuple.name) && !addresses.has(tuple.address)) continue;
    const key = tupleKey(tuple);
    if (!foreigners.has(key)) own.set(key, tuple);
  }
}

/** The order of the tables is no change. */
function sameKeys(a: Tuples, b: Tuples): boolean {
  if (a.size !== b.size) return false;
  for (const key of a.keys()) if (!b.has(key)) return false;
  return true;
}

function plain(tuples: Tuples): Tuple[] {
  return Array.from(tuples.values(), ({ name, address, port }) => ({ name, address, port }));
}
