/** A filter on a UDP socket (SO_ATTACH_FILTER, which needs no right), and what the kernel says of the socket's drops. */
import { INSTRUCTION_BYTES } from './classic-bpf.ts';
import { DROPS_AT, socketMemory } from './socket-memory.ts';
import { SO_ATTACH_FILTER, SO_DETACH_FILTER, SOL_SOCKET, type Syscalls, SystemError } from './syscalls.ts';

/** struct sock_fprog {u16 len, padding, struct sock_filter *filter}. */
const PROGRAM_BYTES = 16;

/** The calls that are needed here. */
export type FilterCalls = Pick<Syscalls, 'setBytes' | 'getBytes' | 'address'>;

/** Puts `program` on the socket, in place of another; undefined, or the errno of the refusal (ENOMEM: net.core.optmem_max is too small). */
export function attachFilter(calls: FilterCalls, fd: number, program: Buffer): string | undefined {
  const place = Buffer.alloc(PROGRAM_BYTES);
  place.writeUInt16LE(program.length / INSTRUCTION_BYTES);
  // The kernel copies the instructions before the call returns.
  place.writeBigUInt64LE(calls.address(program), 8);
  return refusal(() => calls.setBytes(fd, SOL_SOCKET, SO_ATTACH_FILTER, place));
}

/** Takes the filter off; undefined, or the errno of the refusal (ENOENT: there was none). */
export function detachFilter(calls: FilterCalls, fd: number): string | undefined {
  return refusal(() => calls.setBytes(fd, SOL_SOCKET, SO_DETACH_FILTER, Buffer.alloc(4)));
}

function refusal(call: () => void): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return error.code;
  }
}

/**
 * Datagrams that the kernel dropped at this socket since it was opened, by its filter, for a wrong checksum, or because its receive
 * buffer was full; counts modulo 2^32. Undefined where the kernel does not say.
 */
export function dropsAt(calls: FilterCalls, fd: number): number | undefined {
  return socketMemory(calls, fd)?.readUInt32LE(DROPS_AT);
}
