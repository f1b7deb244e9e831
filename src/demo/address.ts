/** Between `Addr` as gossip carries it (4 or 16 bytes) and text. */
import type { Endpoint } from '../datapath/engine.ts';
import { ADDRESS_BYTES, formatAddress, isV4Mapped, parseAddress } from '../wire/address.ts';

/** 4 bytes for IPv4, 16 for IPv6, as memberlist advertises them. Throws a TypeError when `text` is no address: it is our own. */
export function addressBytes(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw new TypeError(`${text} is no IP address`);
  return isV4Mapped(bytes) ? bytes.slice(12) : bytes;
}

/** Undefined when `bytes` is no address or `port` is 0. */
export function endpointOf(bytes: Uint8Array, port: number): Endpoint | undefined {
  if (port === 0) return undefined;
  if (bytes.length === 4) return { address: bytes.join('.'), port };
  return bytes.length === ADDRESS_BYTES ? { address: formatAddress(bytes), port } : undefined;
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.address === b.address && a.port === b.port;
}
