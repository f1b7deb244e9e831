/**
 * UDP datagrams with headers built by hand, so that a raw socket can send them from any address and port, whole or in fragments:
 *
 *   IPv4  0x45 tos len16 id16 frag16 ttl 17 sum16 src[4] dst[4] · UDP sport dport len16 sum16 · payload
 *   IPv6  0x60… len16 next hop src[16] dst[16] [44: 17 0 offset16 id32] · UDP … · payload
 *
 * Addresses are in the 16-byte form of wire/address.ts; both ends are of one family. DF is clear: routers may fragment (RFC 791).
 */

import { ADDRESS_BYTES } from '../../wire/address.ts';

export const IPV4_HEADER_BYTES = 20;
export const IPV6_HEADER_BYTES = 40;
export const UDP_HEADER_BYTES = 8;
const FRAGMENT_HEADER_BYTES = 8;

const PROTOCOL_UDP = 17;
const NEXT_FRAGMENT = 44;
const MORE_FRAGMENTS_V4 = 0x2000;
const HOP_LIMIT = 64;

/** The largest datagram that the 16-bit lengths of either family can say. */
const LENGTH_MAX = 65_535;
/** IPv6 and IPv4 minimum MTUs: a smaller figure from the kernel is not believed, or fragments would have no room. */
const MTU_MIN = 576;

export type Family = 4 | 6;

export interface Flow {
  readonly family: Family;
  readonly source: Uint8Array;
  readonly sourcePort: number;
  readonly destination: Uint8Array;
  readonly destinationPort: number;
}

/** Whether a UDP payload of `bytes` can be sent at all. */
export function fitsDatagram(family: Family, bytes: number): boolean {
  return bytes + UDP_HEADER_BYTES + (family === 4 ? IPV4_HEADER_BYTES : 0) <= LENGTH_MAX;
}

/** Bytes of the packet that carries a payload of `bytes` in one piece. */
export function packetBytes(family: Family, bytes: number): number {
  return bytes + UDP_HEADER_BYTES + (family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
}

/** Builds packets in memory of its own; what it hands out is valid until its next call. */
export interface DatagramBuilder {
  /**
   * Calls `send` with each packet of a datagram whose payload is `prefix` and `body`: one, or fragments when it is larger than `mtu`.
   * Stops when `send` returns false. The payload must fit (fitsDatagram). Returns whether every packet was taken.
   */
  build(
    flow: Flow,
    prefix: Uint8Array,
    body: Uint8Array,
    mtu: number,
    send: (bytes: Buffer, length: number) => boolean,
  ): boolean;
}

/** Room in front of the datagram for the longest headers. */
const HEADROOM = IPV6_HEADER_BYTES + FRAGMENT_HEADER_BYTES;

/** `firstId`: where the identifications of fragments start; random, so that they cannot be guessed from a restart. */
export function createDatagramBuilder(firstId: number): DatagramBuilder {
  const whole = Buffer.alloc(HEADROOM + LENGTH_MAX + 1);
  const piece = Buffer.alloc(HEADROOM + LENGTH_MAX + 1);
  let id = firstId >>> 0;
  return {
    build(flow, prefix, body, mtu, send) {
      const length = UDP_HEADER_BYTES + prefix.length + body.length;
      writeDatagram(whole, HEADROOM, flow, prefix, body);
      const headerBytes = flow.family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
      const limit = Math.max(mtu, MTU_MIN);
      if (headerBytes + length <= limit) {
        const packet = whole.subarray(HEADROOM - headerBytes, HEADROOM + length);
        // Identification 0: the kernel chooses one for a packet that is no fragment.
        if (flow.family === 4) writeIpv4(packet, flow, length, 0, 0);
        else writeIpv6(packet, flow, length, PROTOCOL_UDP);
        return send(packet, packet.length);
      }
      id = (id + 1) >>> 0;
      const fragmentHeader = flow.family === 4 ? 0 : FRAGMENT_HEADER_BYTES;
      const room = (limit - headerBytes - fragmentHeader) & ~7;
      for (let at = 0; at < length; at += room) {
        const size = Math.min(room, length - at);
        const more = at + size < length;
        const bodyAt = headerBytes + fragmentHeader;
        whole.copy(piece, bodyAt, HEADROOM + at, HEADROOM + at + size);
        if (flow.family === 4) writeIpv4(piece, flow, size, id, (at >> 3) | (more ? MORE_FRAGMENTS_V4 : 0));
        else writeFragment6(piece, flow, size, id, at | (more ? 1 : 0));
        if (!send(piece, bodyAt + size)) return false;
      }
      return true;
    },
  };
}

function writeDatagram(out: Buffer, at: number, flow: Flow, prefix: Uint8Array, body: Uint8Array): void {
  const length = UDP_HEADER_BYTES + prefix.length + body.length;
  out.writeUInt16BE(flow.sourcePort, at);
  out.writeUInt16BE(flow.destinationPort, at + 2);
  out.writeUInt16BE(length, at + 4);
  out.writeUInt16BE(0, at + 6);
  out.set(prefix, at + UDP_HEADER_BYTES);
  out.set(body, at + UDP_HEADER_BYTES + prefix.length);
  const skip = flow.family === 4 ? 12 : 0;
  let sum = PROTOCOL_UDP + length;
  sum += sumWords(flow.source, skip, ADDRESS_BYTES) + sumWords(flow.destination, skip, ADDRESS_BYTES);
  sum += sumWords(out, at, at + length);
  // RFC 768: an all-zero checksum means none, so a computed zero is sent as its other form.
  out.writeUInt16BE(fold(sum) || 0xffff, at + 6);
}

function writeIpv4(out: Buffer, flow: Flow, payloadBytes: number, id: number, fragment: number): void {
  out[0] = 0x45;
  out[1] = 0;
  out.writeUInt16BE(IPV4_HEADER_BYTES + payloadBytes, 2);
  // 0 would make the kernel choose one for each fragment.
  out.writeUInt16BE(fragment === 0 ? 0 : (id % 0xffff) + 1, 4);
  out.writeUInt16BE(fragment, 6);
  out[8] = HOP_LIMIT;
  out[9] = PROTOCOL_UDP;
  out.writeUInt16BE(0, 10);
  out.set(flow.source.subarray(12, 16), 12);
  out.set(flow.destination.subarray(12, 16), 16);
  out.writeUInt16BE(fold(sumWords(out, 0, IPV4_HEADER_BYTES)), 10);
}

function writeIpv6(out: Buffer, flow: Flow, payloadBytes: number, next: number): void {
  out.writeUInt32BE(0x6000_0000, 0);
  out.writeUInt16BE(payloadBytes, 4);
  out[6] = next;
  out[7] = HOP_LIMIT;
  out.set(flow.source, 8);
  out.set(flow.destination, 24);
}

function writeFragment6(out: Buffer, flow: Flow, payloadBytes: number, id: number, offsetAndMore: number): void {
  writeIpv6(out, flow, FRAGMENT_HEADER_BYTES + payloadBytes, NEXT_FRAGMENT);
  out[IPV6_HEADER_BYTES] = PROTOCOL_UDP;
  out[IPV6_HEADER_BYTES + 1] = 0;
  out.writeUInt16BE(offsetAndMore, IPV6_HEADER_BYTES + 2);
  out.writeUInt32BE(id, IPV6_HEADER_BYTES + 4);
}

/** Sum of 16-bit words; an odd last byte counts as the high one. At most 64 KiB, so the sum stays exact. */
function sumWords(bytes: Uint8Array, from: number, to: number): number {
  let sum = 0;
  let i = from;
  for (; i + 1 < to; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] as number);
  return i < to ? sum + ((bytes[i] as number) << 8) : sum;
}

/** One's complement of the folded sum (RFC 1071). */
function fold(total: number): number {
  let sum = total;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}
