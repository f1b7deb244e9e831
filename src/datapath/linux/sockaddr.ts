/**
 * Socket addresses as the kernel lays them out, to and from the 16-byte form of wire/address.ts:
 *   sockaddr_in   family u16 host order · port u16 · address[4] · zero[8]
 *   sockaddr_in6  family u16 host order · port u16 · flow u32 · address[16] · scope u32 host order
 */
import { ADDRESS_BYTES, isV4Mapped } from '../../wire/address.ts';
import { AF_INET, AF_INET6 } from './syscalls.ts';

export const SOCKADDR_IN_BYTES = 16;
export const SOCKADDR_IN6_BYTES = 28;

/** Room for either. */
export const SOCKADDR_MAX_BYTES = SOCKADDR_IN6_BYTES;

/** Writes the sockaddr for 16 address bytes into `out` (SOCKADDR_MAX_BYTES); returns its length. */
export function writeSockaddr(out: Buffer, address: Uint8Array, port: number, scope = 0): number {
  if (isV4Mapped(address)) {
    out.fill(0, 0, SOCKADDR_IN_BYTES);
    out.writeUInt16LE(AF_INET, 0);
    out.writeUInt16BE(port, 2);
    out.set(address.subarray(12, ADDRESS_BYTES), 4);
    return SOCKADDR_IN_BYTES;
  }
  out.fill(0, 0, SOCKADDR_IN6_BYTES);
  out.writeUInt16LE(AF_INET6, 0);
  out.writeUInt16BE(port, 2);
  out.set(address.subarray(0, ADDRESS_BYTES), 8);
  out.writeUInt32LE(scope, 24);
  return SOCKADDR_IN6_BYTES;
}

/** The sockaddr for 16 address bytes, a new buffer. */
export function sockaddr(address: Uint8Array, port: number): Buffer {
  const out = Buffer.alloc(SOCKADDR_MAX_BYTES);
  return out.subarray(0, writeSockaddr(out, address, port));
}

export interface ReadSockaddr {
  /** Written by readSockaddr: 16 bytes. */
  readonly address: Uint8Array;
  port: number;
  scope: number;
}

/** An empty place for readSockaddr; one is enough for a loop. */
export function sockaddrPlace(): ReadSockaddr {
  return { address: new Uint8Array(ADDRESS_BYTES), port: 0, scope: 0 };
}

/** Reads the sockaddr at `at` into `place`; false when it is of no IP family. */
export function readSockaddr(bytes: Buffer, at: number, place: ReadSockaddr): boolean {
  const family = bytes.readUInt16LE(at);
  place.port = bytes.readUInt16BE(at + 2);
  if (family === AF_INET) {
    place.address.fill(0, 0, 10).fill(0xff, 10, 12);
    place.address.set(bytes.subarray(at + 4, at + 8), 12);
    place.scope = 0;
    return true;
  }
  if (family !== AF_INET6) return false;
  place.address.set(bytes.subarray(at + 8, at + 8 + ADDRESS_BYTES));
  place.scope = bytes.readUInt32LE(at + 24);
  return true;
}
