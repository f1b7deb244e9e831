/** Addresses as node's sockets write them, and as the rest of the house does. */
import { isIPv6 } from 'node:net';
import type { Endpoint } from './engine.ts';

const V4_MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** An Endpoint from what a socket says: without a zone, IPv4-mapped IPv6 as IPv4. */
export function endpointOf(socketAddress: string, port: number): Endpoint {
  const zone = socketAddress.indexOf('%');
  const bare = zone < 0 ? socketAddress : socketAddress.slice(0, zone);
  return { address: V4_MAPPED.exec(bare)?.[1] ?? bare, port };
}

/** `address` in the form that a socket of the family of `local` takes: IPv4 towards an IPv6 socket is written IPv4-mapped. */
export function socketAddressFor(address: string, local: string): string {
  return isIPv6(local) && !isIPv6(address) ? `::ffff:${address}` : address;
}
