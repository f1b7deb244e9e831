/**
 * Sends datagrams from any address and port through raw sockets: in batches, or fragmented by hand, one by one, when they are larger than
 * the route's MTU (a raw socket refuses those). Whole ones to an app on this host go by a packet socket on lo instead, where it takes them
 * (lo-filter.ts): Linux net/packet/af_packet.c `packet_snd` hands them to the device, while net/ipv4/raw.c `raw_sendmsg` looks up and makes
 * a route for each and takes them through the output rules. Needs CAP_NET_RAW. (A UDP socket bound to the peer's address and port costs a little less,
 * but as long as it is open nobody here can bind that port to the wildcard address, and peers' port is the app's own: it could not restart.)
 */
import { randomBytes } from 'node:crypto';
import { StartError } from '../engine.ts';
import type { DatagramBatches, ReceiveBatch } from './datagram-batch.ts';
import {
  createFragmenter,
  ETHERNET_HEADER_BYTES,
  type Family,
  fitsDatagram,
  KERNELS_ID,
  MTU_EVERYWHERE,
  packetBytes,
  writeEthernet,
  writeHeaders,
} from './headers.ts';
import { createMtuOracle } from './mtu.ts';
import { failureOf, Outlet, type SenderEvents } from './outlet.ts';
import type { PacketFlow } from './packet-flows.ts';
import { MARK_FENCE } from './rules.ts';
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  IP_NODEFRAG,
  IPPROTO_RAW,
  SO_MARK,
  SO_SNDBUF,
  SOCK_RAW,
  SOL_IP,
  SOL_SOCKET,
  type Syscalls,
  SystemError,
} from './syscalls.ts';

/** Send buffer that is asked for; the kernel caps it at net.core.wmem_max. */
const SEND_BUFFER_BYTES = 4 * 1024 * 1024;

/** sockaddr_ll: family u16, protocol u16, interface i32, 12 bytes of zeros; in every network namespace lo is interface 1 (LOOPBACK_IFINDEX). */
const LO_NAME = Uint8Array.of(AF_PACKET, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

export interface PacketSender {
  /** Sends the payload of `bytes` at `at` of the receive batch's memory, with HEADROOM_BYTES before it, which stays as it is until the flush. */
  send(flow: PacketFlow, at: number, bytes: number, nowMs: number): void;
  flush(): void;
  close(): void;
}

/** One sender a family. Throws a SystemError (EPERM without CAP_NET_RAW), or a StartError where the kernel refuses the mark. */
export function createPacketSender(
  calls: Syscalls,
  family: Family,
  batches: DatagramBatches,
  events: SenderEvents,
): PacketSender {
  return new RawSender(calls, family, batches, events);
}

class RawSender implements PacketSender {
  readonly #calls: Syscalls;
  readonly #family: Family;
  readonly #received: ReceiveBatch;
  readonly #events: SenderEvents;
  readonly #far: Outlet;
  /** The same as `far` where there are no packet sockets. */
  readonly #home: Outlet;
  readonly #oracle;
  readonly #fragmenter = createFragmenter(randomBytes(4).readUInt32LE());
  #id = randomBytes(2).readUInt16LE();

  constructor(calls: Syscalls, family: Family, { received, sends, home }: DatagramBatches, events: SenderEvents) {
    this.#calls = calls;
    this.#family = family;
    this.#received = received;
    this.#events = events;
    this.#far = new Outlet(calls, openRaw(calls, family), sends, events);
    const fd = openHome(calls);
    this.#home = fd === undefined ? this.#far : new Outlet(calls, fd, home, events);
    this.#oracle = createMtuOracle(calls, family);
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
    const { view } = this.#received;
    if (flow.home && this.#home !== this.#far) {
      const from = writeHeaders(view, at, bytes, flow, this.#nextId());
      this.#home.add(flow, writeEthernet(view, from, this.#family), ETHERNET_HEADER_BYTES + whole, bytes);
      return;
    }
    const from = writeHeaders(view, at, bytes, flow, KERNELS_ID);
    this.#far.add(flow, from, whole, bytes).to(flow.toName, 0, flow.toNameBytes);
  }

  flush(): void {
    this.#far.flush();
    this.#home.flush();
  }

  close(): void {
    this.#far.close();
    if (this.#home !== this.#far) this.#home.close();
    this.#oracle.close();
  }

  /** 1 to 0xffff: no kernel takes it for a wish. */
  #nextId(): number {
    this.#id = (this.#id % 0xffff) + 1;
    return this.#id;
  }

  #fragments(flow: PacketFlow, at: number, bytes: number, mtu: number): void {
    this.flush();
    this.#events.onOversize(flow);
    const to = Buffer.from(flow.toName.buffer, flow.toName.byteOffset, flow.toNameBytes);
    const sent = this.#fragmenter.cut(this.#received.view, at, bytes, flow, mtu, (packet, length) => {
      return this.#calls.sendto(this.#far.fd, packet, length, to) >= 0;
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
  prepare(calls, fd);
  // Without it netfilter reassembles our fragments, and on kernels before 6.9 forgets whose they are.
  if (family === 4) optional(calls, fd, SOL_IP, IP_NODEFRAG, 1);
  return fd;
}

/** A packet socket on lo that receives nothing, as it has no protocol; undefined where the kernel has none for us. */
function openHome(calls: Syscalls): number | undefined {
  let fd = -1;
  try {
    fd = calls.socket(AF_PACKET, SOCK_RAW, 0);
    calls.bind(fd, LO_NAME);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (fd >= 0) calls.close(fd);
    return undefined;
  }
  prepare(calls, fd);
  return fd;
}

function prepare(calls: Syscalls, fd: number): void {
  setMark(calls, fd);
  optional(calls, fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES);
}

function optional(calls: Syscalls, fd: number, level: number, option: number, value: number): void {
  try {
    calls.setInt(fd, level, option, value);
  } catch {
    // It works without, less well.
  }
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
