/** Who an unlabelled peer is: the identity rules. CIDRs now; names and DNS come with adoption. */
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { formatAddress, isV4Mapped, parseAddress } from '../wire/address.ts';

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

/** An IPv4-mapped network as the IPv4 one that it means; anything else as it is. */
function unmap(cidr: Cidr): Cidr {
  const bytes = cidr.family === 'ipv6' && cidr.prefix >= 96 ? parseAddress(cidr.address) : undefined;
  if (bytes === undefined || !isV4Mapped(bytes)) return cidr;
  return { address: formatAddress(bytes), prefix: cidr.prefix - 96, family: 'ipv4' };
}

/** Builds the rules from CIDRs that parseCidr gave. */
export function createAdmission(cidrs: readonly Cidr[]): Admission {
  // One list a family: in a shared one ::/0 would name every IPv4 address as well (BlockList maps IPv4 to IPv6).
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const { address, prefix, family } of cidrs.map(unmap)) lists[family].addSubnet(address, prefix, family);
  const hasRules = cidrs.length > 0;
  return {
    hasRules,
    admits(address) {
      if (!hasRules) return true;
      if (isIPv4(address)) return lists.ipv4.check(address, 'ipv4');
      const bytes = parseAddress(address);
      // What is no address is never shown to a list, and not admitted.
      if (bytes === undefined) return false;
      const text = formatAddress(bytes);
      return isV4Mapped(bytes) ? lists.ipv4.check(text, 'ipv4') : lists.ipv6.check(text, 'ipv6');
    },
  };
}
