/** Keeps the rules of quarantine: what the tables say of foreigners, as plain data that stays the same object until it changes. */
import type { IdentityRules } from '../policy/identity.ts';
import type { ForeignTable } from './foreign.ts';
import type { Members } from './members.ts';
import type { MergeWatch } from './merge.ts';
import { NO_QUARANTINE_RULES, type QuarantineRules, type Tuple } from './quarantine.ts';
import { tupleKey } from './tuple.ts';

/** How old the rules may be, ms: what an address proves changes without a word of gossip. */
const RULES_AGE_MS = 1_000;

/** How long rules last although tuples changed sides, ms: a flood of new tuples must not make them anew with every message. */
const CHANGED_AGE_MS = 100;

/** The rules at a time. During the warm-up no tuple is foreign yet: the order is not known (merge.ts). */
export function createRulesKeeper(
  identity: IdentityRules,
  members: Members,
  foreign: ForeignTable,
  merge: MergeWatch,
  proven: (address: string, nowMs: number) => boolean,
): (nowMs: number) => QuarantineRules {
  let rules: QuarantineRules = { ...NO_QUARANTINE_RULES, identity };
  let shape = shapeOf(rules);
  let madeMs = Number.NEGATIVE_INFINITY;
  let madeAt = -1;

  const make = (nowMs: number): QuarantineRules => {
    const foreigners: Tuple[] = [];
    const own: Tuple[] = [];
    if (!merge.warmingUp(nowMs)) {
      for (const sighting of foreign.values()) if (merge.isForeigner(sighting, nowMs)) foreigners.push(plain(sighting));
    }
    for (const member of members.all()) {
      if (member.outside === undefined) continue;
      (proven(member.address, nowMs) || members.isApp(member.name) ? own : foreigners).push(plain(member));
    }
    if (foreigners.length === 0) return { foreign: foreigners, own, identity };
    const names = new Set(foreigners.map(({ name }) => name));
    const addresses = new Set(foreigners.map(({ address }) => address));
    const keys = new Set(foreigners.map(tupleKey));
    for (const tuple of merge.ownTuples()) {
      const shares = names.has(tuple.name) || addresses.has(tuple.address);
      if (shares && !keys.has(tupleKey(tuple))) own.push(plain(tuple));
    }
    return { foreign: foreigners, own, identity };
  };

  return (nowMs) => {
    if (nowMs - madeMs < (madeAt === merge.changes ? RULES_AGE_MS : CHANGED_AGE_MS)) return rules;
    madeAt = merge.changes;
    madeMs = nowMs;
    const made = make(nowMs);
    const madeShape = shapeOf(made);
    if (madeShape !== shape) [rules, shape] = [made, madeShape];
    return rules;
  };
}

/** The order of the tables is no change. */
function shapeOf({ foreign, own }: QuarantineRules): string {
  return JSON.stringify([foreign.map(tupleKey).sort(), own.map(tupleKey).sort()]);
}

function plain({ name, address, port }: Tuple): Tuple {
  return { name, address, port };
}
