/**
 * Sends datagrams from any address and port through raw sockets, fragmented by hand when they are larger than the route's MTU (a raw
 * socket refuses those). Needs CAP_NET_RAW.
 */
import { randomBytes } from 'node:crypto';
import type { DropReason } from '../../policy/tally.ts';
import { StartError } from '../engine.ts';
import { createDatagramBuilder, type Family, type Flow, fitsDatagram, packetBytes } from './headers.ts';
import { createMtuOracle, type MtuOracle } from './mtu.ts';
import { MARK_FENCE } from './rules.ts';
import { SOCKADDR_MAX_BYTES, writeSockaddr } from './sockaddr.ts';
import {
  AF_INET,
  AF_INET6,
  IP_NODEFRAG,
  IPPROTO_RAW,
  SO_MARK,
  SO_SNDBUF,
  SOCK_RAW,
  SOL_IP,
  SOL_SOCKET,
  type Syscalls,
} from './syscalls.ts';

/** Send buffer that is asked for; the kernel caps it at net.core.wmem_max. */
const SEND_BUFFER_BYTES = 4 * 1024 * 1024;
/** Every link carries this much (RFC 8200 for IPv6, and no IPv4 link in use carries less), so smaller packets need no look at the route. */
const MTU_EVERYWHERE = 1_280;

/** What became of a datagram. */
export interface SendResult {
  readonly failure: DropReason | undefined;
  /** The errno's name behind a failure. */
  readonly errno: string;
  /** It was larger than the route's MTU. */
  readonly oversize: boolean;
}

export interface PacketSender {
  /** `key` is the destination as text. */
  send(flow: Flow, key: string, scope: number, prefix: Uint8Array, body: Uint8Array, nowMs: number): SendResult;
  close(): void;
}

const SENT: SendResult = { failure: undefined, errno: '', oversize: false };
const SENT_IN_PIECES: SendResult = { failure: undefined, errno: '', oversize: true };
const NEVER_FITS: SendResult = { failure: 'send_failed', errno: 'EMSGSIZE', oversize: true };

/** One sender a family. Throws a SystemError (EPERM without CAP_NET_RAW), or a StartError where the kernel refuses the mark. */
export function createPacketSender(calls: Syscalls, family: Family): PacketSender {
  const fd = openRaw(calls, family);
  const oracle: MtuOracle = createMtuOracle(calls, family);
  const builder = createDatagramBuilder(randomBytes(4).readUInt32LE());
  const place = Buffer.alloc(SOCKADDR_MAX_BYTES);
  return {
    send(flow, key, scope, prefix, body, nowMs) {
      const bytes = prefix.length + body.length;
      if (!fitsDatagram(family, bytes)) return NEVER_FITS;
      const whole = packetBytes(family, bytes);
      const mtu = whole <= MTU_EVERYWHERE ? undefined : oracle.mtu(key, flow.destination, nowMs);
      const oversize = mtu !== undefined && whole > mtu;
      const to = place.subarray(0, writeSockaddr(place, flow.destination, 0, scope));
      const sent = builder.build(flow, prefix, body, mtu ?? Number.POSITIVE_INFINITY, (packet, length) => {
        return calls.sendto(fd, packet, length, to) >= 0;
      });
      if (sent) return oversize ? SENT_IN_PIECES : SENT;
      const errno = calls.errno();
      return { failure: failureOf(errno), errno, oversize };
    },
    close() {
      calls.close(fd);
      oracle.close();
    },
  };
}

function openRaw(calls: Syscalls, family: Family): number {
  const fd = calls.socket(family === 4 ? AF_INET : AF_INET6, SOCK_RAW, IPPROTO_RAW);
  const optional = (level: number, option: number, value: number) => {
    try {
      calls.setInt(fd, level, option, value);
    } catch {
      // It works without, less well.
    }
  };
  setMark(calls, fd);
  optional(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES);
  // Without it netfilter reassembles our fragments, and on kernels before 6.9 forgets whose they are.
  if (family === 4) optional(SOL_IP, IP_NODEFRAG, 1);
  return fd;
}

/** Not optional: without it the rules would bring some of our own fragments back to us, and streams and the self-test need it too. */
function setMark(calls: Syscalls, fd: number): void {
  try {
    calls.setInt(fd, SOL_SOCKET, SO_MARK, MARK_FENCE);
  } catch (cause) {
    calls.close(fd);
    const why = 'the kernel refuses SO_MARK with CAP_NET_RAW: the transparent path needs Linux 5.17, or CAP_NET_ADMIN';
    throw new StartError('mark_refused', why, { cause });
  }
}

function failureOf(errno: string): DropReason {
  if (errno === 'EAGAIN' || errno === 'ENOBUFS' || errno === 'ENOMEM') return 'backlog_full';
  if (errno === 'ENETUNREACH' || errno === 'EHOSTUNREACH') return 'peer_unreachable';
  return 'send_failed';
}
