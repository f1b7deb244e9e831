/**
 * Memory for recvmmsg: one block that holds the headers, the names, the control data and the payloads of a batch, linked by addresses
 * that stay good as long as the block is referenced. Layouts (64-bit): mmsghdr 64 bytes {name 0, namelen u32 8, iov 16, iovlen 24,
 * control 32, controllen 40, flags 48, msg_len u32 56}, iovec 16 {base, len}, cmsghdr {len u64, level i32, type i32, data}.
 */
import { type ReadSockaddr, readSockaddr, SOCKADDR_MAX_BYTES, sockaddrPlace } from './sockaddr.ts';
import { IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR, SOL_IP, SOL_IPV6, type Syscalls } from './syscalls.ts';

const MMSGHDR_BYTES = 64;
const IOVEC_BYTES = 16;
const NAME_BYTES = 32;
const CONTROL_BYTES = 64;
const CMSG_HEADER_BYTES = 16;
/** No UDP payload is longer, so nothing is ever cut off. */
const PAYLOAD_BYTES = 65_536;

/** One datagram of a batch, valid until the next receive; the same object every time. */
export interface Received {
  readonly source: ReadSockaddr;
  /** Where it was sent to before tproxy. */
  readonly destination: ReadSockaddr;
  /** A view of the batch's memory. */
  payload: Buffer;
}

export interface ReceiveBatch {
  /** Receives without blocking and calls `each` for every datagram; returns how many there were, or -1 (see errno). */
  receive(fd: number, each: (datagram: Received) => void): number;
  readonly size: number;
}

/** `size`: how many datagrams one call takes at most. */
export function createReceiveBatch(calls: Syscalls, size: number): ReceiveBatch {
  const iovAt = size * MMSGHDR_BYTES;
  const namesAt = iovAt + size * IOVEC_BYTES;
  const controlAt = namesAt + size * NAME_BYTES;
  const payloadAt = controlAt + size * CONTROL_BYTES;
  const block = Buffer.from(new ArrayBuffer(payloadAt + size * PAYLOAD_BYTES));
  const base = calls.address(block);
  const point = (at: number, to: number) => block.writeBigUInt64LE(base + BigInt(to), at);
  for (let i = 0; i < size; i++) {
    const header = i * MMSGHDR_BYTES;
    point(header, namesAt + i * NAME_BYTES);
    point(header + 16, iovAt + i * IOVEC_BYTES);
    block.writeBigUInt64LE(1n, header + 24);
    point(header + 32, controlAt + i * CONTROL_BYTES);
    point(iovAt + i * IOVEC_BYTES, payloadAt + i * PAYLOAD_BYTES);
    block.writeBigUInt64LE(BigInt(PAYLOAD_BYTES), iovAt + i * IOVEC_BYTES + 8);
  }
  const received: Received = { source: sockaddrPlace(), destination: sockaddrPlace(), payload: Buffer.alloc(0) };
  /** The kernel overwrites these lengths, so they are set before every call. */
  const reset = (count: number) => {
    for (let i = 0; i < count; i++) {
      block.writeUInt32LE(SOCKADDR_MAX_BYTES, i * MMSGHDR_BYTES + 8);
      block.writeUInt32LE(CONTROL_BYTES, i * MMSGHDR_BYTES + 40);
    }
  };
  let used = size;
  return {
    size,
    receive(fd, each) {
      reset(used);
      const count = calls.recvmmsg(fd, block, size);
      used = Math.max(0, count);
      for (let i = 0; i < count; i++) {
        const header = i * MMSGHDR_BYTES;
        if (!readSockaddr(block, namesAt + i * NAME_BYTES, received.source)) continue;
        const control = controlAt + i * CONTROL_BYTES;
        if (!readDestination(block, control, block.readUInt32LE(header + 40), received.destination)) continue;
        const at = payloadAt + i * PAYLOAD_BYTES;
        received.payload = block.subarray(at, at + block.readUInt32LE(header + 56));
        each(received);
      }
      return count;
    },
  };
}

/** Finds the original destination among the control messages. */
function readDestination(block: Buffer, at: number, bytes: number, place: ReadSockaddr): boolean {
  let offset = 0;
  while (offset + CMSG_HEADER_BYTES <= bytes) {
    const length = block.readUInt32LE(at + offset);
    const level = block.readInt32LE(at + offset + 8);
    const type = block.readInt32LE(at + offset + 12);
    if ((level === SOL_IP && type === IP_RECVORIGDSTADDR) || (level === SOL_IPV6 && type === IPV6_RECVORIGDSTADDR)) {
      return readSockaddr(block, at + offset + CMSG_HEADER_BYTES, place);
    }
    if (length < CMSG_HEADER_BYTES) return false;
    offset += (length + 7) & ~7;
  }
  return false;
}
