/**
 * Quarantine (design, "What it learns"): which entries of gossip are stripped so that a merged ring heals. A set is plain data, so
 * that it crosses to worker threads; it is made anew whenever the foreign tuples change.
 */

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
  readonly foreign: readonly Tuple[];
}

export interface QuarantineSet {
  /** Whether an alive entry (name, address bytes of 4 or 16, port) is a foreigner's. */
  foreignAlive(name: string, address: Uint8Array, port: number): boolean;
  /** Whether the name belongs to a foreigner and to no own member. */
  foreignName(name: string): boolean;
  /** Whether the address (text) is a foreign tuple's. */
  foreignAddress(address: string): boolean;
}
