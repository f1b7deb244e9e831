/**
 * The datagrams of a listen fence in the engine's thread: from the advertised address to the app by a session for each peer, and the app's
 * answers back from there. A batch is taken, judged and sent before the next one; none waits to be full (queue-watch.ts says when one is taken).
 */
import { startError } from '../bind-error.ts';
import type { Endpoint, FenceContext } from '../engine.ts';
import { createPacketGate, type PacketGate } from '../packet-gate.ts';
import { askedControlBytes, noteAskedAddress } from './asked-address.ts';
import type { DatagramBatches, ReceiveBatch, Refused, SendBatch } from './datagram-batch.ts';
import type { Session } from './listen-session.ts';
import { ListenSessions } from './listen-sessions.ts';
import { type ListenSocket, openListenSocket } from './listen-socket.ts';
import type { Loop } from './loop.ts';
import { Outgoing } from './outgoing.ts';
import { isNamed } from './peer-index.ts';
import { BATCHES_PER_TURN, QueueWatch } from './queue-watch.ts';
import type { ReceiveQueue } from './receive-queue.ts';
import { type Syscalls, SystemError } from './syscalls.ts';

const UNREACHABLE: ReadonlySet<string> = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH']);
const FULL: ReadonlySet<string> = new Set(['EAGAIN', 'ENOBUFS', 'ENOMEM']);

export interface ListenPacketsOptions {
  readonly context: FenceContext;
  readonly calls: Syscalls;
  readonly loop: Loop;
  /** The thread's: whoever uses them is done before it returns to the loop. */
  readonly batches: DatagramBatches;
  /** Port 0: the kernel chooses one. */
  readonly listen: Endpoint;
  readonly app: Endpoint;
  readonly limits: { readonly sessions: number; readonly sessionIdleMs: number };
}

export interface ListenPackets {
  /** `listen` with the port that was really bound. */
  readonly at: Endpoint;
  /** The listening socket, for filters and counters; closed by `stop`. */
  readonly fd: number;
  sessions(): number;
  sessionEvictions(): number;
  /** Closes everything and returns how many sessions there were. */
  stop(): number;
}

/** Opens the socket and serves from the loop. Throws a StartError that names address and port; then nothing stays open. */
export function openListenPackets(options: ListenPacketsOptions): ListenPackets {
  const socket = openListenSocket(options.calls, options.listen);
  const packets = new Packets(options, socket);
  try {
    packets.serve(options.loop);
    return packets;
  } catch (error) {
    packets.stop();
    throw error instanceof SystemError ? startError('UDP', socket.at, error) : error;
  }
}

class Packets implements ListenPackets, Refused {
  readonly at: Endpoint;
  readonly fd: number;
  readonly #context: FenceContext;
  readonly #calls: Syscalls;
  readonly #queue: ReceiveQueue;
  readonly #received: ReceiveBatch;
  readonly #sends: SendBatch;
  readonly #sessions: ListenSessions;
  readonly #inbound: PacketGate;
  readonly #outbound: PacketGate;
  readonly #outgoing = new Outgoing();
  readonly #wildcard: boolean;
  #watch: QueueWatch | undefined;
  #stopped = false;
  /** The datagram in hand, for those that are to wait: what keeps them is made once. */
  #hand = 0;
  #handPeer: Session | undefined;
  #arrivedMs = 0;

  constructor(
    { context, calls, loop, batches, app, limits }: ListenPacketsOptions,
    { fd, queue, at, wildcard }: ListenSocket,
  ) {
    this.fd = fd;
    this.#queue = queue;
    this.at = at;
    this.#context = context;
    this.#calls = calls;
    this.#received = batches.received;
    this.#sends = batches.sends;
    this.#wildcard = wildcard;
    this.#inbound = createPacketGate(context, 'inbound', 'native');
    this.#outbound = createPacketGate(context, 'outbound', 'native');
    this.#sessions = new ListenSessions({
      ...{ app, limits, calls, loop, queue, context },
      sends: batches.sends,
      onReadable: (session) => this.#answers(session),
    });
  }

  /** Throws a SystemError. */
  serve(loop: Loop): void {
    this.#watch = new QueueWatch(loop, this.#queue, () => this.#receive());
  }

  /** Datagrams of peers; returns how many there were. */
  #receive(): number {
    const batch = this.#received;
    let taken = 0;
    for (let round = 0; round < BATCHES_PER_TURN; round++) {
      const arrivedMs = this.#context.now();
      this.#arrivedMs = arrivedMs;
      // A failure is "nothing there", or an error that the socket reports once: whoever called looks again.
      const count = this.#queue.receive(batch, this.#wildcard, arrivedMs);
      for (let i = 0; i < count; i++) this.#take(i, arrivedMs);
      if (count > 0) this.#tellForwarded('inbound', this.#sessions.flush(), arrivedMs);
      taken += Math.max(0, count);
      if (count < batch.size) break;
    }
    return taken;
  }

  sessions(): number {
    return this.#sessions.count();
  }

  sessionEvictions(): number {
    return this.#sessions.evictions();
  }

  stop(): number {
    if (this.#stopped) return 0;
    this.#stopped = true;
    this.#watch?.stop();
    this.#calls.close(this.fd);
    return this.#sessions.stop();
  }

  /** Answers that the kernel did not take. */
  onRefused(errno: string, _first: number, count: number): void {
    const reason = FULL.has(errno) ? 'backlog_full' : UNREACHABLE.has(errno) ? 'peer_unreachable' : 'send_failed';
    this.#context.tally.dropped(reason, count);
  }

  /** Of an unconnected socket nothing can be told of what was sent before. */
  onLateError(): void {}

  #take(i: number, arrivedMs: number): void {
    const batch = this.#received;
    const nameAt = batch.nameAt(i);
    if (!isNamed(batch.words, nameAt >> 2)) return;
    const peer = this.#sessions.peerAt(batch.memory, batch.words, nameAt);
    this.#hand = i;
    this.#handPeer = peer;
    const at = batch.payloadAt(i);
    if (!this.#inbound.pass(batch.memory, at, batch.lengthOf(i), peer.peer, arrivedMs, this.#keepInbound)) return;
    if (this.#wildcard) noteAskedAddress(batch, i, peer);
    this.#toApp(peer, batch.memory, at, arrivedMs);
  }

  #toApp(peer: Session, memory: Buffer, payloadAt: number, nowMs: number): void {
    const out = this.#outgoing;
    if (out.place(this.#inbound, memory, payloadAt)) this.#sessions.queue(peer, out.at, out.length, nowMs);
    else this.#context.tally.dropped('send_failed');
  }

  #answers(session: Session): void {
    const batch = this.#received;
    for (let round = 0; round < BATCHES_PER_TURN && session.fd >= 0; round++) {
      const arrivedMs = this.#context.now();
      this.#arrivedMs = arrivedMs;
      const count = batch.receive(session.fd, false);
      if (count < 0) {
        const errno = this.#calls.errno();
        if (errno === 'EAGAIN') return;
        this.#sessions.countFailure(errno);
        continue;
      }
      for (let i = 0; i < count; i++) this.#answer(session, i, arrivedMs);
      if (count > 0) this.#tellForwarded('outbound', this.#sends.flush(this.fd, this), arrivedMs);
      if (count < batch.size) return;
    }
  }

  #answer(session: Session, i: number, arrivedMs: number): void {
    const batch = this.#received;
    if (!this.#sessions.isApp(batch.words, batch.nameAt(i) >> 2)) return;
    this.#sessions.used(session, arrivedMs);
    this.#hand = i;
    this.#handPeer = session;
    const at = batch.payloadAt(i);
    const length = batch.lengthOf(i);
    if (!this.#outbound.pass(batch.memory, at, length, session.peer, arrivedMs, this.#keepOutbound)) return;
    this.#toPeer(session, batch.memory, at);
  }

  #toPeer(session: Session, memory: Buffer, payloadAt: number): void {
    const out = this.#outgoing;
    if (!out.place(this.#outbound, memory, payloadAt)) {
      this.#context.tally.dropped('send_failed');
      return;
    }
    this.#sends.add(out.at, out.length);
    this.#sends.to(session.name, 0, session.nameBytes);
    if (session.asked !== undefined) this.#sends.control(session.asked, askedControlBytes(session.asked));
  }

  #tellForwarded(direction: 'inbound' | 'outbound', count: number, arrivedMs: number): void {
    if (count === 0) return;
    const { tally, now } = this.#context;
    tally.forwarded(direction, 'packet', Math.max(0, now() - arrivedMs) / 1_000, count);
  }

  readonly #keepInbound = () => this.#keep('inbound');
  readonly #keepOutbound = () => this.#keep('outbound');

  /** A copy of the datagram in hand, because its memory is the next batch's, and how it goes on. */
  #keep(direction: 'inbound' | 'outbound'): () => void {
    const batch = this.#received;
    const peer = this.#handPeer as Session;
    const i = this.#hand;
    const length = batch.lengthOf(i);
    const at = batch.payloadAt(i);
    const bytes = Buffer.from(batch.memory.subarray(at, at + length));
    const arrivedMs = this.#arrivedMs;
    if (direction === 'inbound' && this.#wildcard) noteAskedAddress(batch, i, peer);
    return () => {
      if (!this.#stopped) this.#again(direction, peer, bytes, arrivedMs);
    };
  }

  /** Judges a datagram that waited, and sends it: through the memory of the batch, which nobody uses meanwhile. */
  #again(direction: 'inbound' | 'outbound', peer: Session, bytes: Buffer, arrivedMs: number): void {
    const { memory } = this.#received;
    const nowMs = this.#context.now();
    const at = this.#received.payloadAt(0);
    memory.set(bytes, at);
    const gate = direction === 'inbound' ? this.#inbound : this.#outbound;
    if (!gate.pass(memory, at, bytes.length, peer.peer, nowMs)) return;
    if (direction === 'inbound') {
      this.#toApp(peer, memory, at, nowMs);
      this.#tellForwarded(direction, this.#sessions.flush(), arrivedMs);
    } else {
      this.#toPeer(peer, memory, at);
      this.#tellForwarded(direction, this.#sends.flush(this.fd, this), arrivedMs);
    }
  }
}
