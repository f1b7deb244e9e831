/**
 * Sends datagrams from any address and port through raw sockets: in batches, or fragmented by hand, one by one, when they are larger than
 * the route's MTU (a raw socket refuses those). Needs CAP_NET_RAW. (A UDP socket bound to the peer's address and port costs a little less,
 * but as long as it is open nobody here can bind that port to the wildcard address, and peers' port is the app's own: it could not restart.)
 */
import { randomBytes } from 'node:crypto';
import type { DropReason } from '../../policy/tally.ts';
import { StartError } from '../engine.ts';
import type { ReceiveBatch, Refused, SendBatch } from './datagram-batch.ts';
import { createFragmenter, type Family, fitsDatagram, MTU_EVERYWHERE, packetBytes, writeHeaders } from './headers.ts';
import { createMtuOracle, type MtuOracle } from './mtu.ts';
import type { PacketFlow } from './packet-flows.ts';
import { MARK_FENCE } from './rules.ts';
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

/** What became of one datagram, told once for each that was given to `send`, in `send` or by the next flush. */
export interface SenderEvents {
  onSent(flow: PacketFlow): void;
  /** `bytes`: its payload. */
  onFailed(flow: PacketFlow, bytes: number, reason: DropReason, errno: string): void;
  /** It is larger than the route's MTU; told besides. */
  onOversize(flow: PacketFlow): void;
}

export interface PacketSender {
  /** Sends the payload of `bytes` at `at` of the receive batch's memory, with HEADROOM_BYTES before it, which stays as it is until the flush. */
  send(flow: PacketFlow, at: number, bytes: number, nowMs: number): void;
  flush(): void;
  close(): void;
}

export interface SenderBatches {
  readonly received: ReceiveBatch;
  readonly sends: SendBatch;
}

/** One sender a family. Throws a SystemError (EPERM without CAP_NET_RAW), or a StartError where the kernel refuses the mark. */
export function createPacketSender(
  calls: Syscalls,
  family: Family,
  batches: SenderBatches,
  events: SenderEvents,
): PacketSender {
  return new RawSender(calls, family, batches, events);
}

class RawSender implements PacketSender, Refused {
  readonly #calls: Syscalls;
  readonly #family: Family;
  readonly #received: ReceiveBatch;
  readonly #sends: SendBatch;
  readonly #events: SenderEvents;
  readonly #fd: number;
  readonly #oracle: MtuOracle;
  readonly #fragmenter = createFragmenter(randomBytes(4).readUInt32LE());
  /** What is in the batch; entries beyond its count are of before. */
  readonly #flows: PacketFlow[] = [];
  readonly #bytes: Int32Array;

  constructor(calls: Syscalls, family: Family, { received, sends }: SenderBatches, events: SenderEvents) {
    this.#calls = calls;
    this.#family = family;
    this.#received = received;
    this.#sends = sends;
    this.#events = events;
    this.#bytes = new Int32Array(sends.size);
    this.#fd = openRaw(calls, family);
    try {
      this.#oracle = createMtuOracle(calls, family);
    } catch (error) {
      calls.close(this.#fd);
      throw error;
    }
  }

  send(flow: PacketFlow, at: number, bytes: number, nowMs: number): void {
    if (!fitsDatagram(this.#family, bytes)) {
      this.#events.onOversize(flow);
      this.#events.onFailed(flow, bytes, 'send_failed', 'EMSGSIZE');
      return;
    }
    const whole = packetBytes(this.#family, bytes);
    // Smaller packets need no look at the route.
    const mtu = whole <= MTU_EVERYWHERE ? undefined : this.#oracle.mtu(flow.to, flow.destination, nowMs);
    if (mtu !== undefined && whole > mtu) {
      this.#fragments(flow, at, bytes, mtu);
      return;
    }
    const sends = this.#sends;
    if (sends.count === sends.size) this.flush();
    this.#flows[sends.count] = flow;
    this.#bytes[sends.count] = bytes;
    const from = writeHeaders(this.#received.view, at, bytes, flow);
    sends.add(from, whole);
    sends.to(flow.toName, 0, flow.toNameBytes);
  }

  flush(): void {
    const { count } = this.#sends;
    if (count === 0) return;
    const failed = count - this.#sends.flush(this.#fd, this);
    // Those that were refused have been told, and are marked.
    for (let i = 0; i < count; i++)
      if (failed === 0 || this.#bytes[i] !== -1) this.#events.onSent(this.#flows[i] as PacketFlow);
  }

  close(): void {
    this.#calls.close(this.#fd);
    this.#oracle.close();
  }

  onRefused(errno: string, first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      this.#events.onFailed(this.#flows[i] as PacketFlow, this.#bytes[i] as number, failureOf(errno), errno);
      this.#bytes[i] = -1;
    }
  }

  /** Of a raw socket nothing can be told of what was sent before. */
  onLateError(): void {}

  #fragments(flow: PacketFlow, at: number, bytes: number, mtu: number): void {
    this.flush();
    this.#events.onOversize(flow);
    const to = Buffer.from(flow.toName.buffer, flow.toName.byteOffset, flow.toNameBytes);
    const sent = this.#fragmenter.cut(this.#received.view, at, bytes, flow, mtu, (packet, length) => {
      return this.#calls.sendto(this.#fd, packet, length, to) >= 0;
    });
    if (sent) this.#events.onSent(flow);
    else {
      const errno = this.#calls.errno();
      this.#events.onFailed(flow, bytes, failureOf(errno), errno);
    }
  }
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
