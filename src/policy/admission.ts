/**
 * Who an unlabelled peer is: the identity rules. An address is named by a CIDR or by DNS, either; where there are name patterns, an
 * address at which gossip knows members of other names only is not admitted all the same. What changes while a fence runs (DNS, gossip)
 * is filled in by the composition root, so that every thread decides by the same plain data.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { formatAddress, isV4Mapped, parseAddress } from '../wire/address.ts';

/** The rules and what is known for them now. Plain data: structured-clone safe. */
export interface AdmissionRules {
  readonly cidrs: readonly Cidr[];
  /** Whether DNS names are configured: then an empty answer admits nobody, and not everybody. */
  readonly byDns: boolean;
  /** Addresses that DNS vouches for, of no account without `byDns`: those of the last good answers, and those that left one within the grace. As formatAddress writes them. */
  readonly dns: readonly string[];
  /** Whether name patterns are configured. */
  readonly byName: boolean;
  /** Addresses at which gossip knows living members, all of them outside of the name patterns. */
  readonly misnamed: readonly string[];
  /** Addresses with several members behind them (NAT, a host network): what one of them shows is not held against the others. */
  readonly shared: readonly string[];
}

export const NO_ADMISSION_RULES: AdmissionRules = {
  cidrs: [],
  byDns: false,
  dns: [],
  byName: false,
  misnamed: [],
  shared: [],
};

export interface Admission {
  /** Of no other rules in this thread: whoever keeps what it said keeps this with it. */
  readonly revision: number;
  /** False when there are no rules, so that everyone is admitted: callers say that loudly. */
  readonly hasRules: boolean;
  /** Whether the rules name `address` (text, without a zone; IPv4-mapped IPv6 counts as IPv4). */
  admits(address: string): boolean;
  /** Whether several members are known to be behind `address`. */
  shared(address: string): boolean;
}

export interface Cidr {
  readonly address: string;
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
}

/** Reads `10.0.0.0/8`, `fd00::/8` or a bare address (a host); undefined when it is neither. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text);
  const address = match?.[1] ?? '';
  const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined;
  if (family === undefined || address.includes('%')) return undefined;
  const widest = family === 'ipv4' ? 32 : 128;
  const prefix = match?.[2] === undefined ? widest : Number(match[2]);
  return prefix > widest ? undefined : { address, prefix, family };
}

/** An IPv4-mapped network as the IPv4 one that it means; anything else as it is. */
function unmap(cidr: Cidr): Cidr {
  const bytes = cidr.family === 'ipv6' && cidr.prefix >= 96 ? parseAddress(cidr.address) : undefined;
  if (bytes === undefined || !isV4Mapped(bytes)) return cidr;
  return { address: formatAddress(bytes), prefix: cidr.prefix - 96, family: 'ipv4' };
}

/** What was said of so many addresses is kept: an answer of BlockList takes microseconds. */
const VERDICTS_MAX = 1_024;

let revisions = 0;

/** Builds the rules. */
export function createAdmission(rules: AdmissionRules): Admission {
  const { cidrs, byDns, byName } = rules;
  // One list a family: in a shared one ::/0 would name every IPv4 address as well (BlockList maps IPv4 to IPv6).
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const { address, prefix, family } of cidrs.map(unmap)) lists[family].addSubnet(address, prefix, family);
  const dns = new Set(byDns ? rules.dns : []);
  const [misnamed, shared] = [new Set(rules.misnamed), new Set(rules.shared)];
  const byAddress = cidrs.length > 0 || byDns;
  const hasRules = byAddress || byName;
  const named = (canonical: string, family: 'ipv4' | 'ipv6') =>
    !byAddress || dns.has(canonical) || lists[family].check(canonical, family);
  const judge = (address: string): boolean => {
    const canonical = canonicalAddress(address);
    // What is no address is never shown to a list, and not admitted.
    if (canonical === undefined || misnamed.has(canonical)) return false;
    return named(canonical, isIPv4(canonical) ? 'ipv4' : 'ipv6');
  };
  const verdicts = new Map<string, boolean>();
  return {
    revision: ++revisions,
    hasRules,
    admits(address) {
      if (!hasRules) return true;
      const said = verdicts.get(address);
      if (said !== undefined) return said;
      if (verdicts.size >= VERDICTS_MAX) verdicts.clear();
      const verdict = judge(address);
      verdicts.set(address, verdict);
      return verdict;
    },
    shared: (address) => shared.size > 0 && shared.has(canonicalAddress(address) ?? ''),
  };
}

/** The one way to write an address: IPv4-mapped IPv6 as IPv4; undefined when it is none. */
export function canonicalAddress(address: string): string | undefined {
  if (isIPv4(address)) return address;
  const bytes = parseAddress(address);
  return bytes === undefined ? undefined : formatAddress(bytes);
}
