/** The way of a datagram through the transparent path: received with its original destination, judged, rewritten, sent on. */
import type { Direction } from '../../policy/facts.ts';
import type { DropReason } from '../../policy/tally.ts';
import type { FenceContext } from '../engine.ts';
import { refuseUnread } from '../judge.ts';
import { createPacketGate, type PacketGate } from '../packet-gate.ts';
import { createTokenBucket } from '../token-bucket.ts';
import type { ReceiveBatch } from './datagram-batch.ts';
import { CONTROL_BYTES } from './datagram-memory.ts';
import { swapped } from './headers.ts';
import type { LocalAddresses } from './local-addresses.ts';
import { Outgoing } from './outgoing.ts';
import { type PacketFlow, PacketFlows } from './packet-flows.ts';
import type { PacketSender, SenderEvents } from './packet-sender.ts';
import { isNamed, Named } from './peer-index.ts';
import { BATCHES_PER_TURN } from './queue-watch.ts';
import type { ReceiveQueue } from './receive-queue.ts';
import { NONCE_BYTES, TEST_ADDRESSES } from './self-test.ts';
import { IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR, SOL_IP, SOL_IPV6 } from './syscalls.ts';

/** Send failures that are reported as faults; the counters have them all. */
const FAULT_BURST = 5;
const FAULTS_PER_SECOND = 0.1;

const CMSG_HEADER_BYTES = 16;
const NOWHERE = -1;

export interface PacketPathOptions {
  readonly proxyPort: number;
  readonly received: ReceiveBatch;
  readonly local: LocalAddresses;
  /** A datagram to a test address, NONCE_BYTES long; true when it was the self-test's. */
  onTestDatagram(family: 4 | 6, payload: Uint8Array): boolean;
}

export interface PacketPath {
  /** What senders tell. */
  readonly events: SenderEvents;
  /**
   * Takes what waits in the socket, a batch at a time, bounded; each goes its way to the end, or waits as a copy (context.doubts). Returns how
   * many there were.
   */
  receive(queue: ReceiveQueue, sender: PacketSender): number;
}

export function createPacketPath(context: FenceContext, options: PacketPathOptions): PacketPath {
  return new Path(context, options);
}

class Path implements PacketPath, SenderEvents {
  readonly events = this;
  readonly #context: FenceContext;
  readonly #options: PacketPathOptions;
  /** As the upper half of a sockaddr's first word has it. */
  readonly #proxyPort: number;
  readonly #flows: PacketFlows;
  readonly #gates: Readonly<Record<Direction, PacketGate>>;
  readonly #outgoing = new Outgoing();
  readonly #faults = createTokenBucket(FAULT_BURST, FAULTS_PER_SECOND);
  /** Sent since it was told last, by direction. */
  #inbound = 0;
  #outbound = 0;
  /** The datagram in hand, for those that are to wait: what keeps them is made once. */
  #hand = 0;
  #handFlow: PacketFlow | undefined;
  #handSender: PacketSender | undefined;
  #arrivedMs = 0;

  constructor(context: FenceContext, options: PacketPathOptions) {
    this.#context = context;
    this.#options = options;
    this.#proxyPort = swapped(options.proxyPort);
    this.#flows = new PacketFlows(options.local);
    this.#gates = {
      inbound: createPacketGate(context, 'inbound', 'native'),
      outbound: createPacketGate(context, 'outbound', 'native'),
    };
  }

  receive(queue: ReceiveQueue, sender: PacketSender): number {
    const { received } = this.#options;
    let taken = 0;
    for (let round = 0; round < BATCHES_PER_TURN; round++) {
      const arrivedMs = this.#context.now();
      this.#arrivedMs = arrivedMs;
      // A failure is "nothing there" or an ICMP error that the socket reports once: whoever called looks again.
      const count = queue.receive(received, true, arrivedMs);
      if (count > 0) {
        taken += count;
        this.#flows.refresh();
        for (let i = 0; i < count; i++) this.#take(i, sender, arrivedMs);
        sender.flush();
        this.#tellForwarded(arrivedMs);
      }
      if (count < received.size) break;
    }
    return taken;
  }

  onSent({ inbound }: PacketFlow): void {
    if (inbound) this.#inbound++;
    else this.#outbound++;
  }

  onFailed({ inbound, to }: PacketFlow, bytes: number, reason: DropReason, errno: string): void {
    const context = this.#context;
    context.tally.dropped(reason === 'peer_unreachable' && inbound ? 'app_unreachable' : reason);
    if (!this.#faults.take(context.now())) return;
    const message = `a datagram of ${bytes} bytes to ${to} was not sent: ${errno}`;
    context.onFault({ code: 'packet_send_failed', message });
  }

  onOversize(): void {
    this.#context.tally.oversize();
  }

  #take(i: number, sender: PacketSender, arrivedMs: number): void {
    const { received } = this.#options;
    const { memory, words } = received;
    const sourceAt = received.nameAt(i);
    const destinationAt = destinationOf(received, i);
    if (destinationAt === NOWHERE || !isNamed(words, sourceAt >> 2)) return;
    if ((words[destinationAt >> 2] as number) >>> 16 === this.#proxyPort) {
      this.#refuseDirect(i);
      return;
    }
    const flow = this.#flows.find(memory, words, sourceAt, destinationAt);
    const at = received.payloadAt(i);
    const length = received.lengthOf(i);
    if (length === NONCE_BYTES && this.#isTest(flow, memory.subarray(at, at + length))) return;
    this.#hand = i;
    this.#handFlow = flow;
    this.#handSender = sender;
    const gate = flow.inbound ? this.#gates.inbound : this.#gates.outbound;
    if (!gate.pass(memory, at, length, flow.peer, arrivedMs, this.#keep)) return;
    this.#send(flow, gate, at, sender, arrivedMs);
  }

  #send(flow: PacketFlow, gate: PacketGate, payloadAt: number, sender: PacketSender, nowMs: number): void {
    const out = this.#outgoing;
    if (out.place(gate, this.#options.received.memory, payloadAt)) {
      sender.send(flow, out.at, out.length, nowMs);
      return;
    }
    this.onOversize();
    this.onFailed(flow, out.length, 'send_failed', 'EMSGSIZE');
  }

  #isTest({ to }: PacketFlow, payload: Uint8Array): boolean {
    const family = to === TEST_ADDRESSES[4] ? 4 : to === TEST_ADDRESSES[6] ? 6 : undefined;
    return family !== undefined && this.#options.onTestDatagram(family, payload);
  }

  #refuseDirect(i: number): void {
    const { received } = this.#options;
    const { address, port } = new Named(received.memory, received.nameAt(i));
    const where = { direction: 'inbound', transport: 'native', kind: 'packet' } as const;
    const frame = { ...where, labelState: 'none', peer: { address, port }, bytes: received.lengthOf(i) } as const;
    refuseUnread(this.#context, frame, 'not_intercepted');
  }

  #tellForwarded(arrivedMs: number): void {
    const { tally, now } = this.#context;
    const seconds = Math.max(0, now() - arrivedMs) / 1_000;
    if (this.#inbound > 0) tally.forwarded('inbound', 'packet', seconds, this.#inbound);
    if (this.#outbound > 0) tally.forwarded('outbound', 'packet', seconds, this.#outbound);
    this.#inbound = 0;
    this.#outbound = 0;
  }

  /** A copy of the datagram in hand, because its memory is the next batch's, and how it goes on. */
  readonly #keep = (): (() => void) => {
    const { received } = this.#options;
    const at = received.payloadAt(this.#hand);
    const bytes = Buffer.from(received.memory.subarray(at, at + received.lengthOf(this.#hand)));
    const flow = this.#handFlow as PacketFlow;
    const sender = this.#handSender as PacketSender;
    const arrivedMs = this.#arrivedMs;
    return () => this.#again(flow, bytes, sender, arrivedMs);
  };

  /** Judges a datagram that waited, and sends it: through the memory of the batch, which nobody uses meanwhile. */
  #again(flow: PacketFlow, bytes: Buffer, sender: PacketSender, arrivedMs: number): void {
    const { received } = this.#options;
    const nowMs = this.#context.now();
    const at = received.payloadAt(0);
    received.memory.set(bytes, at);
    const gate = flow.inbound ? this.#gates.inbound : this.#gates.outbound;
    if (!gate.pass(received.memory, at, bytes.length, flow.peer, nowMs)) return;
    this.#send(flow, gate, at, sender, nowMs);
    sender.flush();
    this.#tellForwarded(arrivedMs);
  }
}

/** Where among the control messages of datagram `i` its original destination is, as a sockaddr; NOWHERE when it has none. */
function destinationOf(received: ReceiveBatch, i: number): number {
  const { words } = received;
  const at = received.controlAt(i);
  const bytes = Math.min(received.controlLength(i), CONTROL_BYTES);
  let offset = 0;
  while (offset + CMSG_HEADER_BYTES <= bytes) {
    const word = (at + offset) >> 2;
    const length = words[word] as number;
    const level = words[word + 2];
    const type = words[word + 3];
    if ((level === SOL_IP && type === IP_RECVORIGDSTADDR) || (level === SOL_IPV6 && type === IPV6_RECVORIGDSTADDR)) {
      return isNamed(words, word + CMSG_HEADER_BYTES / 4) ? at + offset + CMSG_HEADER_BYTES : NOWHERE;
    }
    if (length < CMSG_HEADER_BYTES) return NOWHERE;
    offset += (length + 7) & ~7;
  }
  return NOWHERE;
}
