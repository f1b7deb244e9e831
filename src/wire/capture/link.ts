/**
 * From a captured frame to its IP packet. Link types as tcpdump.org lists them (LINKTYPE_…):
 *
 *   Ethernet   to(6) from(6) [tag(4)]… type(2)
 *   cooked v1  kind(2) device(2) length(2) address(8) type(2)               tcpdump -i any, before libpcap 1.10.1
 *   cooked v2  type(2) zero(2) interface(4) device(2) kind(1) length(1) address(8)
 *   null       family(4), in the byte order of the host that captured; loop: big-endian
 *   raw        nothing
 */
import { u16be, u32be } from './bytes.ts';
import { VLAN_TAGS_MAX } from './limits.ts';

/** Link types that are read. `gossip` is none of the registry's: a gossip packet without anything around it, out of hex text. */
export const LINK = {
  null: 0,
  ethernet: 1,
  /** DLT_RAW, which some systems write as it is. */
  rawBsd: 12,
  rawOpenBsd: 14,
  raw: 101,
  loop: 108,
  cooked: 113,
  ipv4: 228,
  ipv6: 229,
  cooked2: 276,
  gossip: -1,
} as const;

export const ETHERTYPE = {
  ipv4: 0x0800,
  ipv6: 0x86dd,
  vlan: 0x8100,
  serviceVlan: 0x88a8,
  oldServiceVlan: 0x9100,
} as const;

/** Address families of null and loop headers: AF_INET is 2 everywhere, AF_INET6 differs by system. */
const FAMILIES: ReadonlySet<number> = new Set([2, 10, 24, 28, 30]);

const ETHERNET_BYTES = 14;
const VLAN_BYTES = 4;
const COOKED_BYTES = 16;
const COOKED2_BYTES = 20;
const FAMILY_BYTES = 4;

/** Why a frame holds no IP packet for us. */
export type LinkFault = 'not_ip' | 'cut' | 'link_unknown';

/** Offset of the IP header in a frame. Total; whether an IP header is there is for ip.ts to see. */
export function findIp(linkType: number, bytes: Uint8Array): number | LinkFault {
  switch (linkType) {
    case LINK.ethernet:
      return bytes.length < ETHERNET_BYTES ? 'cut' : afterType(bytes, ETHERNET_BYTES - 2);
    case LINK.cooked:
      return bytes.length < COOKED_BYTES ? 'cut' : afterType(bytes, COOKED_BYTES - 2);
    case LINK.cooked2:
      if (bytes.length < COOKED2_BYTES) return 'cut';
      return isIp(u16be(bytes, 0)) ? COOKED2_BYTES : 'not_ip';
    case LINK.null:
    case LINK.loop:
      if (bytes.length < FAMILY_BYTES) return 'cut';
      return isFamily(u32be(bytes, 0)) ? FAMILY_BYTES : 'not_ip';
    case LINK.raw:
    case LINK.rawBsd:
    case LINK.rawOpenBsd:
    case LINK.ipv4:
    case LINK.ipv6:
      return 0;
    default:
      return 'link_unknown';
  }
}

/** Follows the type at `at`, over VLAN tags. */
function afterType(bytes: Uint8Array, at: number): number | LinkFault {
  let typeAt = at;
  for (let tags = 0; tags <= VLAN_TAGS_MAX; tags++) {
    if (bytes.length < typeAt + 2) return 'cut';
    const type = u16be(bytes, typeAt);
    if (isIp(type)) return typeAt + 2;
    if (type !== ETHERTYPE.vlan && type !== ETHERTYPE.serviceVlan && type !== ETHERTYPE.oldServiceVlan) return 'not_ip';
    typeAt += VLAN_BYTES;
  }
  return 'not_ip';
}

function isIp(type: number): boolean {
  return type === ETHERTYPE.ipv4 || type === ETHERTYPE.ipv6;
}

/** In either byte order: the file does not say which one its host had. */
function isFamily(value: number): boolean {
  return FAMILIES.has(value) || ((value & 0xffffff) === 0 && FAMILIES.has(value >>> 24));
}
