/**
 * The address that a peer asked, of a socket that listens on all: its answers must leave from there, or whoever asked does not know them.
 * Control messages in 32-bit words (cmsghdr: len u64, level, type; in_pktinfo: ifindex, spec_dst, addr; in6_pktinfo: addr[16], ifindex).
 */
import type { ReceiveBatch } from './datagram-batch.ts';
import type { Session } from './listen-session.ts';
import { SOL_IP, SOL_IPV6, type Syscalls } from './syscalls.ts';

const IP_PKTINFO = 8;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;

const LENGTH_WORD = 0;
const LEVEL_WORD = 2;
const TYPE_WORD = 3;
const DATA_WORD = 4;
const PKTINFO_BYTES = 28;
const PKTINFO6_BYTES = 36;
const CONTROL_WORDS = 10;

/** Asks for it. Throws a SystemError. */
export function tellAskedAddress(calls: Syscalls, fd: number, family: 4 | 6): void {
  if (family === 4) calls.setInt(fd, SOL_IP, IP_PKTINFO, 1);
  else calls.setInt(fd, SOL_IPV6, IPV6_RECVPKTINFO, 1);
}

/** Notes the address that datagram `i` was sent to as the one that `session` asked, as the control message of its answers. */
export function noteAskedAddress(batch: ReceiveBatch, i: number, session: Session): void {
  const { words } = batch;
  const at = batch.controlAt(i) >> 2;
  const bytes = batch.controlLength(i);
  const level = words[at + LEVEL_WORD];
  const type = words[at + TYPE_WORD];
  if (bytes >= PKTINFO_BYTES && level === SOL_IP && type === IP_PKTINFO) {
    session.asked ??= new Int32Array(CONTROL_WORDS);
    const out = session.asked;
    out[LENGTH_WORD] = PKTINFO_BYTES;
    out[LEVEL_WORD] = SOL_IP;
    out[TYPE_WORD] = IP_PKTINFO;
    // spec_dst, also of what was broadcast; no interface, so that the answer's route is looked up as any other's.
    out[DATA_WORD + 1] = words[at + DATA_WORD + 1] as number;
  } else if (bytes >= PKTINFO6_BYTES && level === SOL_IPV6 && type === IPV6_PKTINFO) {
    // A group is nobody's source.
    if (((words[at + DATA_WORD] as number) & 0xff) === 0xff) return;
    session.asked ??= new Int32Array(CONTROL_WORDS);
    const out = session.asked;
    out[LENGTH_WORD] = PKTINFO6_BYTES;
    out[LEVEL_WORD] = SOL_IPV6;
    out[TYPE_WORD] = IPV6_PKTINFO;
    for (let k = 0; k < 4; k++) out[DATA_WORD + k] = words[at + DATA_WORD + k] as number;
  }
}

/** Bytes of such a control message, with the kernel's padding. */
export function askedControlBytes(asked: Int32Array): number {
  return ((asked[LENGTH_WORD] as number) + 7) & ~7;
}
