/** What the kernel tells of a socket's memory: SO_MEMINFO (Linux 4.12), nine u32 (linux/sock_diag.h). */
import { SO_MEMINFO, SOL_SOCKET, type Syscalls } from './syscalls.ts';

export const MEMINFO_BYTES = 36;
/** Where each stands: bytes that wait to be read (SK_MEMINFO_RMEM_ALLOC), room for them (RCVBUF), and datagrams that were dropped (DROPS). */
export const TAKEN_AT = 0;
export const ROOM_AT = 4;
export const DROPS_AT = 32;

/** Fills `into` (MEMINFO_BYTES) with it; undefined where the kernel does not tell. */
export function socketMemory(
  calls: Pick<Syscalls, 'getBytes'>,
  fd: number,
  into = Buffer.alloc(MEMINFO_BYTES),
): Buffer | undefined {
  return calls.getBytes(fd, SOL_SOCKET, SO_MEMINFO, into) === MEMINFO_BYTES ? into : undefined;
}
