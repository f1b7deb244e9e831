/**
 * UDP towards the app in listen mode: one connected socket for each remote peer, so that the app's answers to it can be told apart.
 * Bounded: the least recently used session goes when a new one needs its room, and idle ones expire. What is to be sent is queued by
 * session and leaves with `flush`, in the order of each session.
 */
import { parseAddress } from '../../wire/address.ts';
import type { Endpoint, FenceContext } from '../engine.ts';
import { PortSearch } from '../port-search.ts';
import type { Timer } from '../timers.ts';
import type { Refused, SendBatch } from './datagram-batch.ts';
import { NONE, Session } from './listen-session.ts';
import type { Loop } from './loop.ts';
import { isNameOf, Named, PeerIndex } from './peer-index.ts';
import { PolledSessions } from './polled-sessions.ts';
import type { ReceiveQueue } from './receive-queue.ts';
import { SOCKADDR_IN_BYTES, sockaddr } from './sockaddr.ts';
import { EPOLLIN } from './stream-calls.ts';
import { AF_INET, AF_INET6, SOCK_DGRAM, type Syscalls, SystemError } from './syscalls.ts';

/** Peers without a session that are remembered: whose packets are rejected, or wait. The oldest is forgotten, which costs a little time. */
const STRANGERS_MAX = 1_024;
/** Idle sessions are looked for this often, ms, or more often where they expire sooner. */
const SWEEP_MAX_MS = 1_000;
const SWEEP_MIN_MS = 10;
/** Where the kernel takes whoever connects to a wildcard, and so where answers come from. */
const REACHED_AT: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

export interface ListenSessionsOptions {
  readonly context: Pick<FenceContext, 'tally' | 'now' | 'onFault'>;
  readonly app: Endpoint;
  readonly limits: { readonly sessions: number; readonly sessionIdleMs: number };
  readonly calls: Syscalls;
  readonly loop: Loop;
  readonly sends: SendBatch;
  /** Where peers' datagrams come from: while it stands, sessions are read by the clock. */
  readonly queue: Pick<ReceiveQueue, 'stands'>;
  /** Something waits to be read from the socket of `session`, or an error. */
  onReadable(session: Session): void;
}

export class ListenSessions implements Refused {
  readonly #options: ListenSessionsOptions;
  readonly #sessions = new PeerIndex<Session>();
  readonly #strangers = new PeerIndex<Session>();
  readonly #app: Buffer;
  readonly #appName: Named;
  readonly #ports: PortSearch;
  readonly #polled: PolledSessions;
  #evictions = 0;
  /** The queue: where each datagram is, how long it is, and which of its session comes next. */
  readonly #at: Int32Array;
  readonly #length: Int32Array;
  readonly #next: Int32Array;
  #queued = 0;
  /** Whose datagrams are queued; those that have been flushed since have none. */
  readonly #due: Session[] = [];
  #dueCount = 0;
  #sent = 0;
  #sweep: Timer;

  constructor(options: ListenSessionsOptions) {
    this.#options = options;
    this.#ports = new PortSearch(options.context);
    this.#polled = new PolledSessions(options);
    const { address, port } = options.app;
    this.#app = sockaddr(parseAddress(REACHED_AT[address] ?? address) as Uint8Array, port);
    this.#appName = new Named(this.#app, 0);
    const { size } = options.sends;
    this.#at = new Int32Array(size);
    this.#length = new Int32Array(size);
    this.#next = new Int32Array(size);
    this.#sweep = this.#sweepLater();
  }

  /** The peer that the sockaddr at `at` of `memory` names (isNamed; `words` is the same memory), new where it is not known. */
  peerAt(memory: Buffer, words: Int32Array, at: number): Session {
    const word = at >> 2;
    const known = this.#sessions.find(words, word) ?? this.#strangers.find(words, word);
    if (known !== undefined) return known;
    const stranger = new Session(memory, at, this.#options.onReadable);
    const oldest = this.#strangers.size >= STRANGERS_MAX ? this.#strangers.oldest() : undefined;
    if (oldest !== undefined) this.#strangers.remove(oldest);
    this.#strangers.add(stranger);
    return stranger;
  }

  /** Whether the sockaddr at word `at` is the app's: a stranger may have sent before a session's socket was connected. */
  isApp(words: Int32Array, at: number): boolean {
    return isNameOf(words, at, this.#appName);
  }

  /** Queues `length` bytes at `at` of the receive batch's memory, to stay as they are until the flush; opens a session if there is none. */
  queue(peer: Session, at: number, length: number, nowMs: number): void {
    const session = peer.fd === NONE ? this.#sessionOf(peer) : peer;
    if (session === undefined) return;
    if (this.#queued === this.#at.length) this.#flushAll();
    const slot = this.#queued++;
    this.#at[slot] = at;
    this.#length[slot] = length;
    this.#next[slot] = NONE;
    if (session.first === NONE) {
      // Once for a batch: its order is no older than the batch.
      this.used(session, nowMs);
      session.first = slot;
      this.#due[this.#dueCount++] = session;
    } else this.#next[session.last] = slot;
    session.last = slot;
  }

  /** Sends what is queued; returns how many datagrams the kernel took since the last time. */
  flush(): number {
    this.#flushAll();
    const sent = this.#sent;
    this.#sent = 0;
    return sent;
  }

  /** A datagram passed either way. */
  used(session: Session, nowMs: number): void {
    session.lastMs = nowMs;
    if (session.fd !== NONE) this.#sessions.touch(session);
  }

  count(): number {
    return this.#sessions.size;
  }

  /** Sessions that went for newer ones. */
  evictions(): number {
    return this.#evictions;
  }

  /** Closes every session and returns how many there were. */
  stop(): number {
    this.#sweep.clear();
    this.#polled.stop();
    const cut = this.#sessions.size;
    for (let first = this.#sessions.oldest(); first !== undefined; first = this.#sessions.oldest()) this.#close(first);
    return cut;
  }

  onRefused(errno: string, _first: number, count: number): void {
    this.countFailure(errno, count);
  }

  onLateError(): void {
    this.#options.context.tally.dropped('app_unreachable');
  }

  countFailure(errno: string, count = 1): void {
    const { tally } = this.#options.context;
    if (errno === 'ECONNREFUSED') tally.dropped('app_unreachable', count);
    else if (errno === 'EAGAIN' || errno === 'ENOBUFS' || errno === 'ENOMEM') tally.dropped('backlog_full', count);
    else tally.dropped('send_failed', count);
  }

  #flushAll(): void {
    for (let i = 0; i < this.#dueCount; i++) this.#flushOne(this.#due[i] as Session);
    this.#dueCount = 0;
    this.#queued = 0;
  }

  #flushOne(session: Session): void {
    const { limits, queue, sends } = this.#options;
    const { first, last, fd } = session;
    if (first === NONE) return;
    session.first = NONE;
    session.last = NONE;
    // With every place taken it may go for a newer one any moment, and answers that nobody read would go with it.
    if (queue.stands && !session.polled && this.#sessions.size < limits.sessions) this.#polled.take(session);
    if (first === last) this.#sent += sends.sendOne(fd, this.#at[first] as number, this.#length[first] as number, this);
    else {
      for (let slot = first; slot !== NONE; slot = this.#next[slot] as number)
        sends.add(this.#at[slot] as number, this.#length[slot] as number);
      this.#sent += sends.flush(fd, this);
    }
  }

  /** While a datagram waited its peer may have been forgotten, or have a session since. */
  #sessionOf(peer: Session): Session | undefined {
    return this.#sessions.find(peer.name, 0) ?? this.#open(peer);
  }

  /** Undefined, and counted, where there is no descriptor or port left. */
  #open(peer: Session): Session | undefined {
    const { calls, context, loop, limits } = this.#options;
    if (!this.#ports.hopes(context.now())) return undefined;
    while (this.#sessions.size >= limits.sessions) this.#evict();
    let fd = NONE;
    try {
      fd = calls.socket(this.#appName.nameBytes === SOCKADDR_IN_BYTES ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
      if (calls.connect(fd, this.#app) < 0) throw new SystemError('connect', calls.errno());
      loop.watch(fd, EPOLLIN, peer);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      if (fd !== NONE) calls.close(fd);
      this.#ports.failed(error.code, context.now());
      context.tally.dropped(error.code === 'ECONNREFUSED' ? 'app_unreachable' : 'send_failed');
      return undefined;
    }
    const stranger = this.#strangers.find(peer.name, 0);
    if (stranger !== undefined) this.#strangers.remove(stranger);
    peer.fd = fd;
    this.#sessions.add(peer);
    return peer;
  }

  #evict(): void {
    const oldest = this.#sessions.oldest();
    if (oldest === undefined) return;
    this.#evictions++;
    this.#flushOne(oldest);
    this.#close(oldest);
  }

  #close(session: Session): void {
    const { calls, loop } = this.#options;
    this.#sessions.remove(session);
    this.#polled.drop(session);
    loop.unwatch(session.fd, true);
    calls.close(session.fd);
    session.fd = NONE;
  }

  #sweepLater(): Timer {
    const { context, limits, loop } = this.#options;
    const everyMs = Math.max(SWEEP_MIN_MS, Math.min(SWEEP_MAX_MS, limits.sessionIdleMs / 2));
    return loop.timers.set(everyMs, () => {
      const beforeMs = context.now() - limits.sessionIdleMs;
      for (let first = this.#sessions.oldest(); first !== undefined; first = this.#sessions.oldest()) {
        if (first.lastMs >= beforeMs) break;
        this.#close(first);
      }
      this.#sweep = this.#sweepLater();
    });
  }
}
