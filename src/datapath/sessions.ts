/**
 * UDP towards the app in listen mode: one connected socket for each remote peer, so that the app's answers to it can be told apart.
 * Bounded: the least recently used session goes when a new one needs its room, and idle ones expire.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Tally } from '../policy/tally.ts';
import type { Endpoint } from './engine.ts';

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
  /** A datagram that the app sent back on the session of `peer`. The buffer is the receiver's to keep. */
  onAnswer(packet: Buffer, peer: SessionPeer): void;
}

/** Whom a session belongs to. */
export interface SessionPeer extends Endpoint {
  /** The address as node's socket gave it and takes it: with its zone, and IPv4 in its IPv6-mapped form. */
  readonly socketAddress: string;
}

interface Session {
  readonly socket: Socket;
  /** Undefined once connected. */
  pending: Uint8Array[] | undefined;
  lastMs: number;
}

export interface Sessions {
  /** Sends to the app on the session of `peer`, opening one if there is none. Never throws: failures are counted. */
  send(packet: Uint8Array, peer: SessionPeer): void;
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

/** Sends, bounded by SEND_QUEUE_MAX; `onError` gets the kernel's refusal. */
export function sendBounded(socket: Socket, tally: Pick<Tally, 'dropped'>, send: () => void): void {
  try {
    if (socket.getSendQueueCount() >= SEND_QUEUE_MAX) tally.dropped('backlog_full');
    else send();
  } catch {
    // The socket closed meanwhile, or node refuses the address: nothing was sent.
    tally.dropped('send_failed');
  }
}

export function createSessions(options: SessionsOptions): Sessions {
  const { app, tally } = options;
  // In the order of use: the first is the least recently used.
  const sessions = new Map<string, Session>();
  let evictions = 0;

  const countFailure = (error: NodeJS.ErrnoException): void => {
    tally.dropped(error.code === 'ECONNREFUSED' ? 'app_unreachable' : 'send_failed');
  };

  const close = (key: string, session: Session): void => {
    // A socket that failed may have been replaced under the same key.
    if (sessions.get(key) === session) sessions.delete(key);
    session.pending = undefined;
    try {
      session.socket.close();
    } catch {
      // Closed already.
    }
  };

  const transmit = (session: Session, packet: Uint8Array): void => {
    sendBounded(session.socket, tally, () => {
      session.socket.send(packet, (error) => {
        if (error) countFailure(error);
      });
    });
  };

  const open = (key: string, peer: SessionPeer): Session => {
    const socket = createSocket({ type: isIPv6(app.address) ? 'udp6' : 'udp4', lookup: numericLookup });
    const session: Session = { socket, pending: [], lastMs: options.now() };
    // As the kernel writes it, so that it compares with where a datagram came from.
    let answerer: { readonly address: string; readonly port: number } | undefined;
    socket.on('message', (packet, from) => {
      // Queued by a stranger while the socket was bound and not yet connected: not what the app sends.
      if (from.port !== answerer?.port || from.address !== answerer.address) return;
      touch(key, session);
      options.onAnswer(packet, peer);
    });
    socket.on('connect', () => {
      const waiting = session.pending;
      // Closed meanwhile.
      if (waiting === undefined) return;
      session.pending = undefined;
      answerer = socket.remoteAddress();
      for (const packet of waiting) transmit(session, packet);
    });
    socket.on('error', (error) => {
      countFailure(error);
      // Without a connection (no descriptor, no port left) what waited is lost, and the next datagram tries anew.
      if (session.pending === undefined) return;
      for (let i = 1; i < session.pending.length; i++) tally.dropped('send_failed');
      close(key, session);
    });
    sessions.set(key, session);
    socket.connect(app.port, app.address);
    return session;
  };

  const touch = (key: string, session: Session): void => {
    session.lastMs = options.now();
    if (sessions.delete(key)) sessions.set(key, session);
  };

  const evict = (): void => {
    const oldest = sessions.entries().next().value;
    if (oldest === undefined) return;
    evictions++;
    close(...oldest);
  };

  const sweep = setInterval(
    () => {
      for (const [key, session] of sessions) {
        if (options.now() - session.lastMs <= options.sessionIdleMs) break;
        close(key, session);
      }
    },
    Math.max(10, Math.min(1_000, options.sessionIdleMs / 2)),
  );

  return {
    send(packet, peer) {
      const key = `${peer.socketAddress}|${peer.port}`;
      let session = sessions.get(key);
      if (session === undefined) {
        while (sessions.size >= options.sessions) evict();
        session = open(key, peer);
        // Without a descriptor it failed at once: closed again, and the datagram counted.
        if (sessions.get(key) !== session) return;
      } else touch(key, session);
      if (session.pending === undefined) transmit(session, packet);
      else if (session.pending.length < PENDING_PACKETS_MAX) session.pending.push(packet);
      else tally.dropped('backlog_full');
    },
    count: () => sessions.size,
    evictions: () => evictions,
    stop() {
      clearInterval(sweep);
      const cut = sessions.size;
      for (const [key, session] of sessions) close(key, session);
      return cut;
    },
  };
}
