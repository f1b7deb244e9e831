/** A stand-in for the kernel's side of datagram batches: it follows the addresses in them as the kernel would, so layouts are tested too. */
import type { FenceContext } from '../../../src/datapath/engine.ts';
import { createDatagramBatches, type DatagramBatches } from '../../../src/datapath/linux/datagram-batch.ts';
import type { LocalAddresses } from '../../../src/datapath/linux/local-addresses.ts';
import type { PacketFlow } from '../../../src/datapath/linux/packet-flows.ts';
import type { PacketSender } from '../../../src/datapath/linux/packet-sender.ts';
import { createPacketPath } from '../../../src/datapath/linux/packets.ts';
import { ReceiveQueue } from '../../../src/datapath/linux/receive-queue.ts';
import { sockaddr } from '../../../src/datapath/linux/sockaddr.ts';
import type { Syscalls } from '../../../src/datapath/linux/syscalls.ts';
import type { DropReason } from '../../../src/policy/tally.ts';
import { parseAddress } from '../../../src/wire/address.ts';

export interface Place {
  readonly address: string;
  readonly port: number;
}

/** What waits in a socket. */
export interface Queued {
  readonly source: Place;
  /** The original destination, as the control message of intercepted traffic tells it. */
  readonly destination?: Place;
  readonly payload: Uint8Array;
}

/** What was given to sendmmsg, or to sendto. */
export interface SentDatagram {
  readonly fd: number;
  readonly bytes: Buffer;
  /** The sockaddr; empty: none. */
  readonly name: Buffer;
}

export interface KernelKit {
  readonly calls: Syscalls;
  readonly queue: Queued[];
  readonly sent: SentDatagram[];
  /** Asked for each datagram that is to be sent: the errno that it is refused with. */
  refuse: (n: number) => string | undefined;
}

const BLOCK_SPACING = 2 ** 33;

/** `more`: further calls that the test needs. */
export function createKernelKit(more: Partial<Syscalls> = {}): KernelKit {
  const blocks: Uint8Array[] = [];
  const queue: Queued[] = [];
  const sent: SentDatagram[] = [];
  let errno = '';
  let asked = 0;
  const at = (address: bigint) => {
    const block = blocks[Math.floor(Number(address) / BLOCK_SPACING)] as Uint8Array;
    const offset = Number(address) % BLOCK_SPACING;
    return Buffer.from(block.buffer, block.byteOffset + offset, block.length - offset);
  };
  const name = ({ address, port }: Place) => sockaddr(parseAddress(address) as Uint8Array, port);
  const recvmmsg = (_fd: number, headers: number, count: number) => {
    if (queue.length === 0) {
      errno = 'EAGAIN';
      return -1;
    }
    const got = queue.splice(0, count);
    got.forEach(({ source, destination, payload }, i) => {
      const header = at(BigInt(headers + 64 * i));
      const from = name(source);
      if (header.readUInt32LE(8) < from.length) throw new Error('no room for a name');
      at(header.readBigUInt64LE(0)).set(from);
      header.writeUInt32LE(from.length, 8);
      const iov = at(header.readBigUInt64LE(16));
      if (Number(iov.readBigUInt64LE(8)) < payload.length) throw new Error('no room for a payload');
      at(iov.readBigUInt64LE(0)).set(payload);
      header.writeUInt32LE(payload.length, 56);
      writeControl(header, header.readUInt32LE(40), destination === undefined ? undefined : name(destination));
    });
    return got.length;
  };
  const writeControl = (header: Buffer, room: number, original: Buffer | undefined) => {
    header.writeUInt32LE(0, 40);
    if (original === undefined || room < 16 + original.length) return;
    const control = at(header.readBigUInt64LE(32));
    const v4 = original.readUInt16LE(0) === 2;
    control.writeBigUInt64LE(BigInt(16 + original.length), 0);
    control.writeInt32LE(v4 ? 0 : 41, 8);
    control.writeInt32LE(v4 ? 20 : 74, 12);
    control.set(original, 16);
    header.writeUInt32LE((16 + original.length + 7) & ~7, 40);
  };
  const kit: KernelKit = { calls: undefined as never, queue, sent, refuse: () => undefined };
  const give = (fd: number, bytes: Buffer, to: Buffer): boolean => {
    const refused = kit.refuse(asked++);
    if (refused !== undefined) errno = refused;
    else sent.push({ fd, bytes: Buffer.from(bytes), name: Buffer.from(to) });
    return refused === undefined;
  };
  const sendmmsg = (fd: number, headers: number, count: number) => {
    for (let i = 0; i < count; i++) {
      const header = at(BigInt(headers + 64 * i));
      const iov = at(header.readBigUInt64LE(16));
      const bytes = at(iov.readBigUInt64LE(0)).subarray(0, Number(iov.readBigUInt64LE(8)));
      const nameBytes = header.readUInt32LE(8);
      const to = nameBytes === 0 ? Buffer.alloc(0) : at(header.readBigUInt64LE(0)).subarray(0, nameBytes);
      if (!give(fd, bytes, to)) return i === 0 ? -1 : i;
    }
    return count;
  };
  const send = (fd: number, from: number, length: number) =>
    give(fd, at(BigInt(from)).subarray(0, length), Buffer.alloc(0)) ? length : -1;
  const calls = {
    address(buffer: Uint8Array) {
      blocks.push(buffer);
      // Not at the start of a page, nor below what 32 bits can say.
      return BigInt((blocks.length - 1) * BLOCK_SPACING);
    },
    errno: () => errno,
    setInt: () => undefined,
    sendto: (fd: number, bytes: Buffer, length: number, to: Buffer) =>
      give(fd, Buffer.from(bytes.subarray(0, length)), to) ? length : -1,
    streams: { recvmmsg, sendmmsg, send },
    ...more,
  };
  blocks.push(Buffer.alloc(0));
  (kit as { calls: Syscalls }).calls = calls as unknown as Syscalls;
  return kit;
}

/** One datagram that the transparent path sent, before its headers. */
export interface SentPacket {
  readonly flow: PacketFlow;
  readonly bytes: Buffer;
}

export interface PacketPathKit {
  readonly sent: SentPacket[];
  readonly batches: DatagramBatches;
  /** Brings them to the path in one batch; returns how many it took. */
  handle(...datagrams: (Queued & { readonly destination: Place })[]): number;
}

/** What becomes of what the path sends; `undefined`: it is sent. */
export interface SendOutcome {
  readonly reason?: DropReason;
  readonly errno?: string;
  readonly oversize?: boolean;
}

/** The transparent path over a stand-in kernel and sender. */
export function createPacketPathKit(
  context: FenceContext,
  local: Pick<LocalAddresses, 'has' | 'inbound'>,
  options: { onTestDatagram?: (family: 4 | 6) => boolean; outcome?: SendOutcome } = {},
): PacketPathKit {
  const kernel = createKernelKit();
  const batches = createDatagramBatches(kernel.calls);
  const { onTestDatagram = () => false, outcome = {} } = options;
  const path = createPacketPath(context, {
    proxyPort: 17_946,
    received: batches.received,
    local: { ...local, several: () => false, revision: () => 1 },
    onTestDatagram,
  });
  const queue = new ReceiveQueue(kernel.calls, 3);
  const sent: SentPacket[] = [];
  const sender: PacketSender = {
    send(flow, at, bytes) {
      const copy = Buffer.from(batches.received.memory.subarray(at, at + bytes));
      sent.push({ flow, bytes: copy });
      if (outcome.oversize === true) path.events.onOversize(flow);
      if (outcome.reason === undefined) path.events.onSent(flow);
      else path.events.onFailed(flow, bytes, outcome.reason, outcome.errno ?? '');
    },
    flush: () => undefined,
    close: () => undefined,
  };
  return {
    sent,
    batches,
    handle(...datagrams) {
      kernel.queue.push(...datagrams);
      return path.receive(queue, sender);
    },
  };
}

/** Where a flow comes from and where it goes, as text, with the ports. */
export function endsOf(flow: PacketFlow): { readonly from: string; readonly to: string } {
  const [source, target] = flow.inbound ? [flow, flow.own] : [flow.own, flow];
  return { from: `${source.address} ${source.port}`, to: `${target.address} ${target.port}` };
}
