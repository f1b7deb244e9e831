/**
 * Memory that recvmmsg and sendmmsg share with the kernel. Layouts (64-bit): mmsghdr 64 bytes {name 0, namelen u32 8, iov 16, iovlen 24,
 * control 32, controllen 40, flags 48, msg_len u32 56}, iovec 16 {base, len}.
 */
import type { Syscalls } from './syscalls.ts';

export const MMSGHDR_BYTES = 64;
export const IOVEC_BYTES = 16;
export const NAME_BYTES = 32;
/** Room for one control message: a cmsghdr of 16 bytes and a sockaddr_in6. */
export const CONTROL_BYTES = 64;

/** A block whose address stays good as long as this is referenced. */
export interface Block {
  readonly memory: Buffer;
  /** The same as 32-bit words, by their index; and as numbers of any size, anywhere. */
  readonly words: Int32Array;
  readonly view: DataView;
  /** The address of its first byte. */
  readonly base: number;
}

/** `bytes` of zeros. */
export function createBlock(calls: Syscalls, bytes: number): Block {
  const memory = Buffer.from(new ArrayBuffer(bytes));
  const { buffer } = memory;
  return { memory, words: new Int32Array(buffer), view: new DataView(buffer), base: Number(calls.address(memory)) };
}

/** Links `size` headers to one iovec, name and control message each. */
export function linkHeaders(
  { memory, base }: Block,
  size: number,
  iovAt: number,
  namesAt: number,
  controlAt: number,
): void {
  for (let i = 0; i < size; i++) {
    const header = i * MMSGHDR_BYTES;
    memory.writeBigUInt64LE(BigInt(base + namesAt + i * NAME_BYTES), header);
    memory.writeBigUInt64LE(BigInt(base + iovAt + i * IOVEC_BYTES), header + 16);
    memory.writeBigUInt64LE(1n, header + 24);
    memory.writeBigUInt64LE(BigInt(base + controlAt + i * CONTROL_BYTES), header + 32);
  }
}
