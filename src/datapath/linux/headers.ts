/**
 * UDP datagrams with headers built by hand, so that a raw socket can send them from any address and port, whole or in fragments:
 *
 *   IPv4  0x45 tos len16 id16 frag16 ttl 17 sum16 src[4] dst[4] · UDP sport dport len16 sum16 · payload
 *   IPv6  0x60… len16 next hop src[16] dst[16] [44: 17 0 offset16 id32] · UDP … · payload
 *
 * The headers are written in front of the payload, where it is. Addresses are in the 16-byte form of wire/address.ts; both ends are of one
 * family. DF is clear: routers may fragment (RFC 791). Checksums are sums of 16-bit words with the low byte first, which RFC 1071 allows.
 */

export const IPV4_HEADER_BYTES = 20;
export const IPV6_HEADER_BYTES = 40;
export const UDP_HEADER_BYTES = 8;
const FRAGMENT_HEADER_BYTES = 8;

const PROTOCOL_UDP = 17;
const NEXT_FRAGMENT = 44;
const MORE_FRAGMENTS_V4 = 0x2000;
const HOP_LIMIT = 64;
/** First words of the headers: version and what is zero, hop limit and protocol. */
const VERSION_4 = 0x4500_0000;
const VERSION_6 = 0x6000_0000;
const HOPS_AND_UDP = (HOP_LIMIT << 8) | PROTOCOL_UDP;

/** The largest datagram that the 16-bit lengths of either family can say. */
const LENGTH_MAX = 65_535;
/** IPv6 and IPv4 minimum MTUs: a smaller figure from the kernel is not believed, or fragments would have no room. */
const MTU_MIN = 576;

export type Family = 4 | 6;

/** Where a datagram comes from and goes to, as headers have it; what of their checksums never changes is summed up already. */
export interface Flow {
  readonly family: Family;
  /** Source and destination, each 32 bits as they lie in memory. */
  readonly addresses: Int32Array;
  /** Source port in the upper half, destination port in the lower. */
  readonly ports: number;
  /** Of the UDP checksum: addresses, ports and protocol. */
  readonly sum: number;
  /** Of the IPv4 header checksum: all but length, identification and fragment. */
  readonly headerSum: number;
  /** Small whole packets have neither a UDP checksum nor an identification of their own. */
  readonly bare: boolean;
}

/** Every link carries this much (RFC 8200 for IPv6, and no IPv4 link in use carries less). */
export const MTU_EVERYWHERE = 1_280;

/** The identification of bare packets; of others the kernel chooses one for each. */
const BARE_ID = 1;
const KERNELS_ID = 0;

/**
 * `source` and `destination`: 16 bytes each. `stays`: what is sent goes no further than this host's own lo, and the kernel has checked it
 * when it came: over IPv4 it needs neither a checksum (RFC 768) nor, as it is never cut, an identification of its own (RFC 6864). That
 * holds up to MTU_EVERYWHERE; what is larger could be cut after all, where the kernel sends it elsewhere (DNAT, an address that has just
 * moved), and pieces of several would be put together, with no checksum to tell.
 */
export function createFlow(
  source: Uint8Array,
  sourcePort: number,
  destination: Uint8Array,
  destinationPort: number,
  family: Family,
  stays: boolean,
): Flow {
  const skip = family === 4 ? 12 : 0;
  const bytes = Uint8Array.from([...source.subarray(skip, 16), ...destination.subarray(skip, 16)]);
  const ends = sumWords(new DataView(bytes.buffer), 0, bytes.length);
  return {
    family,
    addresses: new Int32Array(bytes.buffer),
    ports: (sourcePort << 16) | destinationPort,
    sum: ends + swapped(sourcePort) + swapped(destinationPort) + swapped(PROTOCOL_UDP),
    headerSum: ends + swapped(VERSION_4 >>> 16) + swapped(HOPS_AND_UDP),
    bare: stays && family === 4,
  };
}

/** Whether a UDP payload of `bytes` can be sent at all. */
export function fitsDatagram(family: Family, bytes: number): boolean {
  return bytes + UDP_HEADER_BYTES + (family === 4 ? IPV4_HEADER_BYTES : 0) <= LENGTH_MAX;
}

/** Bytes of the packet that carries a payload of `bytes` in one piece. */
export function packetBytes(family: Family, bytes: number): number {
  return bytes + UDP_HEADER_BYTES + (family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
}

/**
 * Writes the headers of one whole packet in front of its payload, `bytes` at `at`; returns where the packet begins. There must be room for
 * IPV6_HEADER_BYTES and UDP_HEADER_BYTES, and it must fit (fitsDatagram).
 */
export function writeHeaders(memory: DataView, at: number, bytes: number, flow: Flow): number {
  const bare = flow.bare && packetBytes(4, bytes) <= MTU_EVERYWHERE;
  writeUdp(memory, at, bytes, flow, bare);
  const datagramAt = at - UDP_HEADER_BYTES;
  const length = bytes + UDP_HEADER_BYTES;
  if (flow.family === 4) {
    writeIpv4(memory, datagramAt - IPV4_HEADER_BYTES, flow, length, bare ? BARE_ID : KERNELS_ID, 0);
    return datagramAt - IPV4_HEADER_BYTES;
  }
  writeIpv6(memory, datagramAt - IPV6_HEADER_BYTES, flow, length, PROTOCOL_UDP);
  return datagramAt - IPV6_HEADER_BYTES;
}

/** Cuts datagrams into fragments, in memory of its own; what it hands out is valid until its next call. */
export interface Fragmenter {
  /**
   * Calls `send` with each fragment of the datagram whose payload is `bytes` at `at` of `memory`, with UDP_HEADER_BYTES of room before it.
   * Stops when `send` returns false. The payload must fit (fitsDatagram). Returns whether every fragment was taken.
   */
  cut(
    memory: DataView,
    at: number,
    bytes: number,
    flow: Flow,
    mtu: number,
    send: (packet: Buffer, length: number) => boolean,
  ): boolean;
}

/** `firstId`: where the identifications of fragments start; random, so that they cannot be guessed from a restart. */
export function createFragmenter(firstId: number): Fragmenter {
  const piece = Buffer.alloc(IPV6_HEADER_BYTES + FRAGMENT_HEADER_BYTES + LENGTH_MAX + 1);
  const view = new DataView(piece.buffer, piece.byteOffset, piece.length);
  let id = firstId >>> 0;
  return {
    cut(memory, at, bytes, flow, mtu, send) {
      writeUdp(memory, at, bytes, flow, false);
      const datagram = new Uint8Array(
        memory.buffer,
        memory.byteOffset + at - UDP_HEADER_BYTES,
        UDP_HEADER_BYTES + bytes,
      );
      id = (id + 1) >>> 0;
      const bodyAt = flow.family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES + FRAGMENT_HEADER_BYTES;
      const room = (Math.max(mtu, MTU_MIN) - bodyAt) & ~7;
      for (let from = 0; from < datagram.length; from += room) {
        const size = Math.min(room, datagram.length - from);
        const more = from + size < datagram.length;
        piece.set(datagram.subarray(from, from + size), bodyAt);
        // 0 would make the kernel choose one for each fragment.
        const id16 = (id % 0xffff) + 1;
        if (flow.family === 4) writeIpv4(view, 0, flow, size, id16, (from >> 3) | (more ? MORE_FRAGMENTS_V4 : 0));
        else writeFragment6(view, flow, size, id, from | (more ? 1 : 0));
        if (!send(piece, bodyAt + size)) return false;
      }
      return true;
    },
  };
}

/** Writes the UDP header of the payload of `bytes` at `at` in front of it. */
function writeUdp(memory: DataView, at: number, bytes: number, { ports, sum }: Flow, bare: boolean): void {
  const length = UDP_HEADER_BYTES + bytes;
  memory.setUint32(at - 8, ports);
  memory.setUint16(at - 4, length);
  if (bare) {
    memory.setUint16(at - 2, 0);
    return;
  }
  // The length is summed twice: in the pseudo header and in the UDP header. RFC 768: an all-zero checksum means none, so a computed zero
  // is sent as its other form.
  const total = sum + 2 * swapped(length) + sumWords(memory, at, at + bytes);
  memory.setUint16(at - 2, fold(total) || 0xffff, true);
}

function writeIpv4(memory: DataView, at: number, flow: Flow, payload: number, id: number, fragment: number): void {
  const { addresses, headerSum } = flow;
  const length = IPV4_HEADER_BYTES + payload;
  memory.setUint32(at, VERSION_4 | length);
  memory.setUint32(at + 4, (id << 16) | fragment);
  memory.setUint16(at + 8, HOPS_AND_UDP);
  memory.setUint16(at + 10, fold(headerSum + swapped(length) + swapped(id) + swapped(fragment)), true);
  memory.setInt32(at + 12, addresses[0] as number, true);
  memory.setInt32(at + 16, addresses[1] as number, true);
}

function writeIpv6(memory: DataView, at: number, { addresses }: Flow, payload: number, next: number): void {
  memory.setUint32(at, VERSION_6);
  memory.setUint32(at + 4, (payload << 16) | (next << 8) | HOP_LIMIT);
  for (let k = 0; k < addresses.length; k++) memory.setInt32(at + 8 + 4 * k, addresses[k] as number, true);
}

function writeFragment6(memory: DataView, flow: Flow, payload: number, id: number, offsetAndMore: number): void {
  writeIpv6(memory, 0, flow, FRAGMENT_HEADER_BYTES + payload, NEXT_FRAGMENT);
  memory.setUint16(IPV6_HEADER_BYTES, PROTOCOL_UDP << 8);
  memory.setUint16(IPV6_HEADER_BYTES + 2, offsetAndMore);
  memory.setUint32(IPV6_HEADER_BYTES + 4, id);
}

/** A 16-bit word as it lies in memory in network order. */
export function swapped(word: number): number {
  return ((word & 0xff) << 8) | (word >> 8);
}

/** Sum for the checksum, four bytes at a time. An odd end counts as if a zero followed. At most 64 KiB, so the sum stays exact. */
function sumWords(memory: DataView, from: number, to: number): number {
  let sum = 0;
  let i = from;
  for (; i + 4 <= to; i += 4) {
    const word = memory.getInt32(i, true);
    sum += (word & 0xffff) + (word >>> 16);
  }
  if (i + 2 <= to) {
    sum += memory.getUint16(i, true);
    i += 2;
  }
  return i < to ? sum + memory.getUint8(i) : sum;
}

/** One's complement of the folded sum (RFC 1071), low byte first. `total` is below 2 ** 32. */
function fold(total: number): number {
  const once = (total & 0xffff) + (total >>> 16);
  return ~((once & 0xffff) + (once >>> 16)) & 0xffff;
}
