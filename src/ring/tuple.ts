/** (name, address, port): what gossip calls a member, and the key that finds it. */
import { formatAddress } from '../wire/address.ts';
import type { Tuple } from './quarantine.ts';

/** A name's length in characters that the tables take: Kubernetes names have at most 253. Longer ones are left out, counted. */
export const NAME_MAX_CHARS = 512;

/** Bytes that are shown of an address that is none. */
const ODD_ADDRESS_BYTES = 16;

const V4_BYTES = 4;
const V6_BYTES = 16;

/** Gossip's address bytes as text: 4 or 16 bytes as an IP address (IPv4-mapped as IPv4), others, which memberlist takes too, as `0x` and hexadecimal digits. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === V4_BYTES) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  if (bytes.length === V6_BYTES) return formatAddress(bytes);
  const shown = Array.from(bytes.subarray(0, ODD_ADDRESS_BYTES), (byte) => byte.toString(16).padStart(2, '0'));
  return `0x${shown.join('')}`;
}

/** What a message or a row that names `name` says of where it is. */
export function tupleOf(name: string, { Addr, Port }: { readonly Addr: Uint8Array; readonly Port: number }): Tuple {
  return { name, address: addressText(Addr), port: Port };
}

/** One text a tuple; the name comes last, so that no name can look like another tuple. */
export function tupleKey({ name, address, port }: Tuple): string {
  return `${endpointKey(address, port)} ${name}`;
}

/** One text an address and port. */
export function endpointKey(address: string, port: number): string {
  return `${address} ${port}`;
}
