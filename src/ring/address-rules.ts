/**
 * What gossip says of addresses, for admission: where only members of other names live, and where several members do. As plain data
 * that stays the same object until it changes.
 */
import { createIdentity, type IdentityRules } from '../policy/identity.ts';
import type { ForeignTable } from './foreign.ts';
import type { Member, Members } from './members.ts';
import type { MergeWatch } from './merge.ts';
import { tupleKey } from './tuple.ts';

/** How long what was made of the tables may be kept although nothing was said, ms: what is foreign changes by what addresses prove. */
const AGE_MS = 10_000;

/** How long it is kept although something was said, ms: making it walks every member. */
const CHANGED_AGE_MS = 1_000;

/** Plain data, sorted. */
export interface AddressRules {
  /** Addresses with living members, none of whose names is within the identity rules. */
  readonly misnamed: readonly string[];
  /** Addresses with several members: two living ones of ours, or one of ours and a foreigner that speaks from there on another port. */
  readonly shared: readonly string[];
}

export const NO_ADDRESS_RULES: AddressRules = { misnamed: [], shared: [] };

/** The rules at a time, at most CHANGED_AGE_MS old. `identity` gives the same object until it changes. */
export function createAddressKeeper(
  members: Members,
  foreign: ForeignTable,
  merge: MergeWatch,
  identity: () => IdentityRules,
): (nowMs: number) => AddressRules {
  let rules = NO_ADDRESS_RULES;
  let madeMs = Number.NEGATIVE_INFINITY;
  let madeAt = '';
  return (nowMs) => {
    if (nowMs - madeMs < CHANGED_AGE_MS) return rules;
    const at = `${members.changes} ${merge.changes}`;
    if (at === madeAt && nowMs - madeMs < AGE_MS) return rules;
    madeAt = at;
    madeMs = nowMs;
    const isForeign = (key: string): boolean => {
      const sighting = foreign.get(key);
      return sighting !== undefined && merge.isForeigner(key, sighting, nowMs);
    };
    const { outsideName } = createIdentity({ cidrs: [], names: identity().names });
    const made = {
      misnamed: misnamed(members, outsideName),
      shared: shared(members, foreign, isForeign),
    };
    if (!same(made.misnamed, rules.misnamed) || !same(made.shared, rules.shared)) rules = made;
    return rules;
  };
}

function* living(members: Members): Generator<Member> {
  for (const member of members.all()) if (member.state === 'alive' || member.state === 'suspect') yield member;
}

function misnamed(members: Members, outsideName: (name: string) => boolean): string[] {
  const named = new Map<string, boolean>();
  for (const { name, address } of living(members)) {
    named.set(address, named.get(address) === true || !outsideName(name));
  }
  return [...named].flatMap(([address, right]) => (right ? [] : [address])).sort();
}

/** Two names at one address and port are one member that was named anew, or an address of ours that went to another of ours. */
function shared(members: Members, foreign: ForeignTable, isForeign: (key: string) => boolean): string[] {
  const own = new Map<string, Set<number>>();
  const strangers = new Map<string, Set<number>>();
  for (const [key, sighting] of foreign.entries()) {
    if (sighting.spokeMs > 0 && isForeign(key)) add(strangers, sighting);
  }
  for (const member of living(members)) {
    if (foreign.size === 0 || !isForeign(tupleKey(member))) add(own, member);
  }
  const isShared = ([address, ports]: [string, ReadonlySet<number>]): boolean => {
    const others = strangers.get(address);
    return ports.size > 1 || (others !== undefined && ![...ports].some((port) => others.has(port)));
  };
  return [...own]
    .filter(isShared)
    .map(([address]) => address)
    .sort();
}

function add(ports: Map<string, Set<number>>, { address, port }: { readonly address: string; readonly port: number }) {
  const known = ports.get(address);
  if (known === undefined) ports.set(address, new Set([port]));
  else known.add(port);
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((address, i) => address === b[i]);
}
