/** IPv4 and IPv6 headers, as far as the payload. Checksums are not looked at: captures of one's own traffic rarely have right ones. */
import { formatAddress } from '../address.ts';
import { u16be, u32be } from './bytes.ts';
import { IPV6_EXTENSIONS_MAX } from './limits.ts';

export const PROTOCOL = { tcp: 6, udp: 17 } as const;

const V4_HEADER_BYTES = 20;
const V6_HEADER_BYTES = 40;
const EXTENSION = { hopByHop: 0, routing: 43, fragment: 44, authentication: 51, destination: 60 } as const;
const EXTENSION_BYTES = 8;

export interface Fragment {
  readonly id: number;
  /** Where the payload stands in the whole one. */
  readonly offset: number;
  readonly more: boolean;
}

export interface IpPacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** What was captured of the payload: a view. Padding of the link is not part of it. */
  readonly payload: Uint8Array;
  /** What a snapshot length left out of it. */
  readonly missing: number;
  readonly fragment: Fragment | undefined;
}

/** `cut`: the capture ends inside the headers. */
export type IpFault = 'cut' | 'ip_malformed';

/** Reads the IP packet at `at`. Total. */
export function decodeIp(bytes: Uint8Array, at: number): IpPacket | IpFault {
  const first = bytes[at];
  if (first === undefined) return 'cut';
  if (first >> 4 === 4) return decodeV4(bytes, at, first);
  return first >> 4 === 6 ? decodeV6(bytes, at) : 'ip_malformed';
}

function decodeV4(bytes: Uint8Array, at: number, first: number): IpPacket | IpFault {
  if (bytes.length < at + V4_HEADER_BYTES) return 'cut';
  const headerBytes = (first & 0xf) * 4;
  // Segmentation by the device leaves 0 as the length of what it has not cut yet.
  const total = u16be(bytes, at + 2) || bytes.length - at;
  if (headerBytes < V4_HEADER_BYTES || total < headerBytes) return 'ip_malformed';
  if (bytes.length < at + headerBytes) return 'cut';
  const flags = u16be(bytes, at + 6);
  const more = (flags & 0x2000) !== 0;
  const offset = (flags & 0x1fff) * 8;
  return {
    source: v4Text(bytes, at + 12),
    destination: v4Text(bytes, at + 16),
    protocol: bytes[at + 9] ?? 0,
    ...cutTo(bytes, at + headerBytes, total - headerBytes),
    fragment: more || offset > 0 ? { id: u16be(bytes, at + 4), offset, more } : undefined,
  };
}

function decodeV6(bytes: Uint8Array, at: number): IpPacket | IpFault {
  if (bytes.length < at + V6_HEADER_BYTES) return 'cut';
  const length = u16be(bytes, at + 4);
  const end = length === 0 ? bytes.length : at + V6_HEADER_BYTES + length;
  let next = bytes[at + 6] ?? 0;
  let payloadAt = at + V6_HEADER_BYTES;
  let fragment: Fragment | undefined;
  for (let i = 0; i < IPV6_EXTENSIONS_MAX && isExtension(next); i++) {
    if (end < payloadAt + EXTENSION_BYTES) return 'ip_malformed';
    if (bytes.length < payloadAt + EXTENSION_BYTES) return 'cut';
    const units = bytes[payloadAt + 1] ?? 0;
    let size = (units + 1) * 8;
    if (next === EXTENSION.authentication) size = (units + 2) * 4;
    if (next === EXTENSION.fragment) {
      size = EXTENSION_BYTES;
      const flags = u16be(bytes, payloadAt + 2);
      fragment = { id: u32be(bytes, payloadAt + 4), offset: flags & 0xfff8, more: (flags & 1) !== 0 };
    }
    next = bytes[payloadAt] ?? 0;
    payloadAt += size;
    // What follows the header of a later fragment is payload, whatever it says of its next header.
    if (fragment !== undefined && fragment.offset > 0) break;
  }
  if (payloadAt > end) return 'ip_malformed';
  if (payloadAt > bytes.length) return 'cut';
  // A fragment that is all there is (RFC 6946).
  const whole = fragment !== undefined && !fragment.more && fragment.offset === 0;
  return {
    source: formatAddress(bytes, at + 8),
    destination: formatAddress(bytes, at + 24),
    protocol: next,
    ...cutTo(bytes, payloadAt, end - payloadAt),
    fragment: whole ? undefined : fragment,
  };
}

function isExtension(header: number): boolean {
  return (
    header === EXTENSION.hopByHop ||
    header === EXTENSION.routing ||
    header === EXTENSION.fragment ||
    header === EXTENSION.authentication ||
    header === EXTENSION.destination
  );
}

function cutTo(bytes: Uint8Array, at: number, size: number): Pick<IpPacket, 'payload' | 'missing'> {
  const payload = bytes.subarray(at, at + size);
  return { payload, missing: size - payload.length };
}

function v4Text(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}
