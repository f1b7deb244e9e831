/**
 * Quarantine (design, "What it learns"): which entries of gossip are stripped so that a merged ring heals. A set is made of plain
 * data, so that it crosses to worker threads; it is made anew whenever the rules change.
 */
import { createIdentity, type IdentityRules, NO_IDENTITY_RULES } from '../policy/identity.ts';
import { addressText, endpointKey, tupleKey } from './tuple.ts';

/** A member as gossip names it: (name, address, port). */
export interface Tuple {
  /** As decodeText gives it. */
  readonly name: string;
  /** Text; IPv4-mapped IPv6 written as IPv4. */
  readonly address: string;
  readonly port: number;
}

/** Plain data: structured-clone safe. */
export interface QuarantineRules {
  /** Foreign first and not own; and members outside of the identity rules. */
  readonly foreign: readonly Tuple[];
  /** Our own members that share a name or an address with one of `foreign`, or are outside of the identity rules and proven own. */
  readonly own: readonly Tuple[];
  /** Whoever is outside of these is a foreigner as well. */
  readonly identity: IdentityRules;
}

export const NO_QUARANTINE_RULES: QuarantineRules = { foreign: [], own: [], identity: NO_IDENTITY_RULES };

export interface QuarantineSet {
  /** Whether an alive entry (name, address bytes as gossip has them, port) is a foreigner's. */
  foreignAlive(name: string, address: Uint8Array, port: number): boolean;
  /** Whether the name belongs to a foreigner and to no own member. No name, as in the pings of old members, is nobody's. */
  foreignName(name: string): boolean;
  /** Whether the address (text) is a foreigner's and no own member's. */
  foreignAddress(address: string): boolean;
  /** Whether this very address and port are a foreigner's, and no own member's: tells members apart that share an address. */
  foreignEndpoint(address: string, port: number): boolean;
}

/** The set that `rules` describe. Look-ups take constant time but for the name patterns. */
export function createQuarantine({ foreign, own, identity }: QuarantineRules): QuarantineSet {
  const { outside, outsideAddress, outsideName, hasRules } = createIdentity(identity);
  const tuples = new Set(foreign.map(tupleKey));
  const names = new Set(foreign.map(({ name }) => name));
  const addresses = new Set(foreign.map(({ address }) => address));
  const endpoints = new Set(foreign.map(({ address, port }) => endpointKey(address, port)));
  const ownTuples = new Set(own.map(tupleKey));
  const ownNames = new Set(own.map(({ name }) => name));
  const ownAddresses = new Set(own.map(({ address }) => address));
  const ownEndpoints = new Set(own.map(({ address, port }) => endpointKey(address, port)));
  return {
    foreignAlive(name, bytes, port) {
      if (tuples.size === 0 && !hasRules) return false;
      const address = addressText(bytes);
      const key = tupleKey({ name, address, port });
      return !ownTuples.has(key) && (tuples.has(key) || outside(name, address) !== undefined);
    },
    foreignName: (name) => name !== '' && !ownNames.has(name) && (names.has(name) || outsideName(name)),
    foreignAddress: (address) => !ownAddresses.has(address) && (addresses.has(address) || outsideAddress(address)),
    foreignEndpoint(address, port) {
      const key = endpointKey(address, port);
      return endpoints.has(key) && !ownEndpoints.has(key);
    },
  };
}
