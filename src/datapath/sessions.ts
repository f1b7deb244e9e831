/**
 * UDP towards the app in listen mode: one connected socket for each remote peer, so that the app's answers to it can be told apart.
 * Bounded: the least recently used session goes when a new one needs its room, and idle ones expire.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Tally } from '../policy/tally.ts';
import type { Endpoint } from './engine.ts';
import type { Remote } from './remotes.ts';

/** Datagrams that wait for a session's socket to be connected; it takes one turn of the event loop. */
export const PENDING_PACKETS_MAX = 64;

/** Datagrams that node may hold because the kernel takes no more; beyond it they are dropped as `backlog_full`. */
export const SEND_QUEUE_MAX = 1_024;

export interface SessionsOptions {
  readonly app: Endpoint;
  readonly sessions: number;
  readonly sessionIdleMs: number;
  readonly tally: Pick<Tally, 'dropped'>;
  now(): number;
  /** A datagram that the app sent back on the session of `remote`. The buffer is the receiver's to keep. */
  onAnswer(packet: Buffer, remote: Remote): void;
}

/** A socket towards the app. */
export interface Session {
  readonly remote: Remote;
  readonly socket: Socket;
  readonly out: BoundedSender;
  /** Undefined once connected. */
  pending: Uint8Array[] | undefined;
  lastMs: number;
}

export interface Sessions {
  /** Sends to the app on the session of `remote`, opening one if there is none. Never throws: failures are counted. */
  send(packet: Uint8Array, remote: Remote, nowMs: number): void;
  count(): number;
  evictions(): number;
  /** Closes every session and returns how many there were. */
  stop(): number;
}

/** A lookup for numeric addresses, so that opening a socket asks no resolver and loses no turn. */
export function numericLookup(
  host: string,
  _options: unknown,
  callback: (error: null, address: string, family: number) => void,
): void {
  callback(null, host, isIPv6(host) ? 6 : 4);
}

/** Sends on one socket, bounded by SEND_QUEUE_MAX. Never throws: `onFailure` gets the kernel's refusal, and what was not tried is counted. */
export class BoundedSender {
  readonly #socket: Socket;
  readonly #tally: Pick<Tally, 'dropped'>;
  /** Sends that node has not reported on. Those that the kernel took at once are among them for a turn of the event loop. */
  #open = 0;
  readonly #done: (error: NodeJS.ErrnoException | null) => void;

  constructor(socket: Socket, tally: Pick<Tally, 'dropped'>, onFailure: (error: NodeJS.ErrnoException) => void) {
    this.#socket = socket;
    this.#tally = tally;
    this.#done = (error) => {
      this.#open--;
      if (error) onFailure(error);
    };
  }

  /** To where the socket is connected. */
  send(packet: Uint8Array): void {
    if (this.#isFull()) return;
    try {
      this.#open++;
      this.#socket.send(packet, this.#done);
    } catch {
      this.#refused();
    }
  }

  sendTo(packet: Uint8Array, port: number, address: string): void {
    if (this.#isFull()) return;
    try {
      this.#open++;
      this.#socket.send(packet, port, address, this.#done);
    } catch {
      this.#refused();
    }
  }

  #isFull(): boolean {
    if (this.#open < SEND_QUEUE_MAX || this.#queued() < SEND_QUEUE_MAX) return false;
    this.#tally.dropped('backlog_full');
    return true;
  }

  #queued(): number {
    try {
      return this.#socket.getSendQueueCount();
    } catch {
      // Closed meanwhile: sending says so.
      return 0;
    }
  }

  /** The socket closed meanwhile, or node refuses the address: nothing was sent. */
  #refused(): void {
    this.#open--;
    this.#tally.dropped('send_failed');
  }
}

export function createSessions(options: SessionsOptions): Sessions {
  return new AppSessions(options);
}

class AppSessions implements Sessions {
  readonly #options: SessionsOptions;
  readonly #sweeps: NodeJS.Timeout;
  /** In the order of use: the first is the least recently used. */
  readonly #sessions = new Set<Session>();
  #newest: Session | undefined;
  #evictions = 0;

  constructor(options: SessionsOptions) {
    const { sessionIdleMs } = options;
    this.#options = options;
    this.#sweeps = setInterval(() => this.#sweep(), Math.max(10, Math.min(1_000, sessionIdleMs / 2)));
  }

  send(packet: Uint8Array, remote: Remote, nowMs: number): void {
    let { session } = remote;
    if (session === undefined) {
      while (this.#sessions.size >= this.#options.sessions) this.#evict();
      session = this.#open(remote, nowMs);
      // Without a descriptor it failed at once: closed again, and the datagram counted.
      if (remote.session !== session) return;
    } else this.#touch(session, nowMs);
    if (session.pending === undefined) session.out.send(packet);
    else if (session.pending.length < PENDING_PACKETS_MAX) session.pending.push(packet);
    else this.#options.tally.dropped('backlog_full');
  }

  count(): number {
    return this.#sessions.size;
  }

  evictions(): number {
    return this.#evictions;
  }

  stop(): number {
    clearInterval(this.#sweeps);
    const cut = this.#sessions.size;
    for (const session of this.#sessions) this.#close(session);
    return cut;
  }

  #open(remote: Remote, nowMs: number): Session {
    const { app, tally, onAnswer, now } = this.#options;
    const socket = createSocket({ type: isIPv6(app.address) ? 'udp6' : 'udp4', lookup: numericLookup });
    const countFailure = (error: NodeJS.ErrnoException): void => {
      tally.dropped(error.code === 'ECONNREFUSED' ? 'app_unreachable' : 'send_failed');
    };
    const out = new BoundedSender(socket, tally, countFailure);
    const session: Session = { remote, socket, out, pending: [], lastMs: nowMs };
    // As the kernel writes it, so that it compares with where a datagram came from.
    let answerer: { readonly address: string; readonly port: number } | undefined;
    socket.on('message', (packet, from) => {
      // Queued by a stranger while the socket was bound and not yet connected: not what the app sends.
      if (from.port !== answerer?.port || from.address !== answerer.address) return;
      this.#touch(session, now());
      onAnswer(packet, remote);
    });
    socket.on('connect', () => {
      const waiting = session.pending;
      // Closed meanwhile.
      if (waiting === undefined) return;
      session.pending = undefined;
      answerer = socket.remoteAddress();
      for (const packet of waiting) out.send(packet);
    });
    socket.on('error', (error) => {
      countFailure(error);
      // Without a connection (no descriptor, no port left) what waited is lost, and the next datagram tries anew.
      if (session.pending === undefined) return;
      for (let i = 1; i < session.pending.length; i++) tally.dropped('send_failed');
      this.#close(session);
    });
    remote.session = session;
    this.#sessions.add(session);
    this.#newest = session;
    socket.connect(app.port, app.address);
    return session;
  }

  #touch(session: Session, nowMs: number): void {
    session.lastMs = nowMs;
    // Most packets come one after another from the same peer.
    if (session === this.#newest || !this.#sessions.delete(session)) return;
    this.#sessions.add(session);
    this.#newest = session;
  }

  #close(session: Session): void {
    this.#sessions.delete(session);
    if (session.remote.session === session) session.remote.session = undefined;
    session.pending = undefined;
    try {
      session.socket.close();
    } catch {
      // Closed already.
    }
  }

  #evict(): void {
    const [oldest] = this.#sessions;
    if (oldest === undefined) return;
    this.#evictions++;
    this.#close(oldest);
  }

  #sweep(): void {
    const { sessionIdleMs, now } = this.#options;
    const nowMs = now();
    for (const session of this.#sessions) {
      if (nowMs - session.lastMs <= sessionIdleMs) break;
      this.#close(session);
    }
  }
}
