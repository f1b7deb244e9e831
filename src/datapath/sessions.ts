/**
 * UDP towards the app in listen mode: one connected socket for each remote peer, so that the app's answers to it can be told apart.
 * Bounded: the least recently used session goes when a new one needs its room, and idle ones expire.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { BoundedSender, Departures } from './bounded-sender.ts';
import type { Endpoint, FenceContext } from './engine.ts';
import { PortSearch } from './port-search.ts';
import type { Remote } from './remotes.ts';
import { type Used, UseOrder } from './use-order.ts';

/** Datagrams that wait for a session's socket, where node does not connect it at once. */
export const PENDING_PACKETS_MAX = 64;

export interface SessionsOptions {
  readonly context: Pick<FenceContext, 'tally' | 'now' | 'onFault'>;
  readonly app: Endpoint;
  readonly sessions: number;
  readonly sessionIdleMs: number;
  /** A datagram that the app sent back on the session of `remote`. The buffer is the receiver's to keep. */
  onAnswer(packet: Buffer, remote: Remote): void;
}

/** A socket towards the app. It is open while its remote has it. */
export interface Session extends Used<Session> {
  readonly remote: Remote;
  readonly socket: Socket;
  readonly out: BoundedSender;
  /** Undefined once connected. */
  pending: Uint8Array[] | undefined;
  lastMs: number;
}

export interface Sessions {
  /**
   * Sends to the app on the session of `remote`, opening one if there is none. Never throws: failures are counted, and what the kernel
   * took is, as forwarded since `atMs`, when it arrived.
   */
  send(packet: Uint8Array, remote: Remote, nowMs: number, atMs?: number): void;
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

export function createSessions(options: SessionsOptions): Sessions {
  return new AppSessions(options);
}

class AppSessions implements Sessions {
  readonly #options: SessionsOptions;
  readonly #sweeps: NodeJS.Timeout;
  readonly #departures: Departures;
  readonly #ports: PortSearch;
  readonly #sessions = new UseOrder<Session>();
  #evictions = 0;

  constructor(options: SessionsOptions) {
    const { context, sessionIdleMs } = options;
    this.#options = options;
    this.#ports = new PortSearch(context);
    this.#departures = new Departures(context.tally, 'inbound', context.now);
    this.#sweeps = setInterval(() => this.#sweep(), Math.max(10, Math.min(1_000, sessionIdleMs / 2)));
  }

  send(packet: Uint8Array, remote: Remote, nowMs: number, atMs = nowMs): void {
    this.#departures.arrived(atMs);
    let { session } = remote;
    if (session === undefined) {
      if (!this.#ports.hopes(nowMs)) return;
      while (this.#sessions.size >= this.#options.sessions) this.#evict();
      session = this.#open(remote, nowMs);
      // Without a descriptor it failed at once: closed again, and the datagram counted.
      if (remote.session !== session) return;
    } else this.#touch(session, nowMs);
    if (session.pending === undefined) session.out.send(packet);
    else if (session.pending.length < PENDING_PACKETS_MAX) session.pending.push(packet);
    else this.#options.context.tally.dropped('backlog_full');
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
    for (let next = this.#sessions.oldest(); next !== undefined; next = this.#sessions.oldest()) this.#close(next);
    return cut;
  }

  #open(remote: Remote, nowMs: number): Session {
    const { app, context, onAnswer } = this.#options;
    const { now, tally } = context;
    const socket = createSocket({ type: isIPv6(app.address) ? 'udp6' : 'udp4', lookup: numericLookup });
    const countFailure = (error: NodeJS.ErrnoException): void => {
      tally.dropped(error.code === 'ECONNREFUSED' ? 'app_unreachable' : 'send_failed');
    };
    const out = new BoundedSender(socket, { tally, departures: this.#departures, onFailure: countFailure });
    const links = { older: undefined, newer: undefined };
    const session: Session = { remote, socket, out, pending: [], lastMs: nowMs, ...links };
    // As the kernel writes it, so that it compares with where a datagram came from.
    let answerer: { readonly address: string; readonly port: number } | undefined;
    socket.on('message', (packet, from) => {
      // Queued by a stranger while the socket was bound and not yet connected: not what the app sends.
      if (from.port !== answerer?.port || from.address !== answerer.address) return;
      this.#touch(session, now());
      onAnswer(packet, remote);
    });
    const begin = (): void => {
      const waiting = session.pending;
      // Closed meanwhile, or begun already.
      if (waiting === undefined) return;
      answerer = socket.remoteAddress();
      session.pending = undefined;
      for (const packet of waiting) out.send(packet);
    };
    socket.on('connect', begin);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      countFailure(error);
      // Without a connection (no descriptor, no port left) what waited is lost, and the next datagram tries anew.
      if (session.pending === undefined) return;
      this.#ports.failed(error.code, now());
      session.pending.shift();
      this.#close(session);
    });
    remote.session = session;
    this.#sessions.add(session);
    socket.connect(app.port, app.address);
    try {
      // Where nothing has to be looked up, node has connected it by now, and says so later.
      begin();
    } catch {
      // Not yet.
    }
    return session;
  }

  #touch(session: Session, nowMs: number): void {
    session.lastMs = nowMs;
    if (isOpen(session)) this.#sessions.touch(session);
  }

  #close(session: Session): void {
    if (isOpen(session)) {
      this.#sessions.remove(session);
      session.remote.session = undefined;
    }
    const lost = session.pending?.length ?? 0;
    if (lost > 0) this.#options.context.tally.dropped('send_failed', lost);
    session.pending = undefined;
    try {
      session.socket.close();
    } catch {
      // Closed already.
    }
  }

  #evict(): void {
    const oldest = this.#sessions.oldest();
    if (oldest === undefined) return;
    this.#evictions++;
    this.#close(oldest);
  }

  #sweep(): void {
    const { context, sessionIdleMs } = this.#options;
    const nowMs = context.now();
    for (;;) {
      const oldest = this.#sessions.oldest();
      if (oldest === undefined || nowMs - oldest.lastMs <= sessionIdleMs) return;
      this.#close(oldest);
    }
  }
}

/** Whether it was not closed meanwhile. */
function isOpen(session: Session): boolean {
  return session.remote.session === session;
}
