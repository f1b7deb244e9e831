/** Numbers out of a capture, in either byte order. The caller has checked the length; what is missing reads as zero. */

export function u16be(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function u32be(bytes: Uint8Array, at: number): number {
  return ((u16be(bytes, at) << 16) | u16be(bytes, at + 2)) >>> 0;
}

/** How a file's writer ordered its numbers. */
export interface ByteOrder {
  u16(bytes: Uint8Array, at: number): number;
  u32(bytes: Uint8Array, at: number): number;
}

export const BIG_ENDIAN: ByteOrder = { u16: u16be, u32: u32be };

const u16le = (bytes: Uint8Array, at: number): number => ((bytes[at + 1] ?? 0) << 8) | (bytes[at] ?? 0);

export const LITTLE_ENDIAN: ByteOrder = {
  u16: u16le,
  u32: (bytes, at) => ((u16le(bytes, at + 2) << 16) | u16le(bytes, at)) >>> 0,
};
