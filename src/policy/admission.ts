/** Who an unlabelled peer is: the identity rules. CIDRs now; names and DNS come with adoption. */
import { BlockList, isIPv4, isIPv6 } from 'node:net';

export interface Admission {
  /** False when there are no rules, so that everyone is admitted: callers say that loudly. */
  readonly hasRules: boolean;
  /** Whether the rules name `address` (text, without a zone; IPv4-mapped IPv6 counts as IPv4). */
  admits(address: string): boolean;
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

/** Builds the rules from CIDRs that parseCidr gave. */
export function createAdmission(cidrs: readonly Cidr[]): Admission {
  const list = new BlockList();
  for (const { address, prefix, family } of cidrs) list.addSubnet(address, prefix, family);
  const hasRules = cidrs.length > 0;
  return {
    hasRules,
    admits(address) {
      if (!hasRules) return true;
      const zone = address.indexOf('%');
      const bare = zone < 0 ? address : address.slice(0, zone);
      // BlockList counts IPv4-mapped IPv6 as IPv4; what is no address is never shown to it, and not admitted.
      if (isIPv4(bare)) return list.check(bare, 'ipv4');
      return isIPv6(bare) && list.check(bare, 'ipv6');
    },
  };
}
