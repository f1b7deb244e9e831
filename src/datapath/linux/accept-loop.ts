/** Listening for streams in the engine's loop: each accepted connection is a raw socket, and its peer's address came with it. */
import { formatAddress, parseAddress } from '../../wire/address.ts';
import { startError } from '../bind-error.ts';
import type { Endpoint } from '../engine.ts';
import type { Watched } from './loop.ts';
import type { RawIo } from './raw-io.ts';
import { RawSocket } from './raw-socket.ts';
import { readSockaddr, SOCKADDR_MAX_BYTES, sockaddr, sockaddrPlace } from './sockaddr.ts';
import { EPOLLIN } from './stream-calls.ts';
import {
  AF_INET,
  AF_INET6,
  IPV6_V6ONLY,
  SO_REUSEADDR,
  SOCK_STREAM,
  SOL_IPV6,
  SOL_SOCKET,
  type Syscalls,
} from './syscalls.ts';
import { SystemError } from './system-error.ts';

/** Connections that the kernel holds before they are taken. */
const BACKLOG = 1_024;
/** Connections that are taken before others have their turn. */
const ACCEPTS_MAX = 32;
/** Without descriptors or memory nothing is taken for so long, ms; connections wait in the backlog. */
const EXHAUSTED_WAIT_MS = 50;

/** Addresses that a listener remembers as text; full, it starts anew. */
const TEXTS_MAX = 1_024;

const EXHAUSTED: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']);

export interface AcceptOptions {
  /** Asks the kernel where each connection was dialled to (before tproxy), one call more. */
  readonly destinations: boolean;
  /** Takes a connection once its first bytes, or its FIN, are there, a silent one about a second late: for those who dial and speak first. */
  readonly awaitBytes?: boolean;
  /** `destination` is `source` where it is not asked for. The socket is paused, nothing of it read. */
  onStream(socket: RawSocket, source: Endpoint, destination: Endpoint): void;
  /** Nothing can be accepted for now: out of descriptors, for one. May come often. */
  onFault(error: SystemError): void;
}

export interface AcceptLoop {
  close(): void;
}

/** A TCP socket that listens on `listen`; what is dialled to it waits until acceptStreams. Throws a StartError, as the portable path does. */
export function listenStreams(calls: Syscalls, listen: Endpoint): { readonly fd: number; readonly at: Endpoint } {
  const address = parseAddress(listen.address);
  if (address === undefined) throw startError('TCP', listen, new SystemError('bind', 'EINVAL'));
  const v6 = listen.address.includes(':');
  let fd = -1;
  try {
    fd = calls.socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    calls.setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    // As node does: the wildcard takes IPv4 as well.
    if (v6) calls.setInt(fd, SOL_IPV6, IPV6_V6ONLY, 0);
    calls.bind(fd, sockaddr(address, listen.port));
    if (calls.streams.listen(fd, BACKLOG) < 0) throw new SystemError('listen', calls.errno());
    const name = new Name(calls);
    const port = name.local(fd) ? name.port() : listen.port;
    return { fd, at: { address: listen.address, port } };
  } catch (error) {
    if (fd >= 0) calls.close(fd);
    throw error instanceof SystemError ? startError('TCP', listen, error) : error;
  }
}

/** Takes connections from `fd`, a socket that listens or is bound, and that it owns from here on. Throws a SystemError. */
export function acceptStreams(io: RawIo, fd: number, options: AcceptOptions): AcceptLoop {
  const loop = new Listener(io, fd, options);
  try {
    loop.open();
    return loop;
  } catch (error) {
    loop.close();
    throw error;
  }
}

/** A socket address as the kernel writes it, with its length behind it. */
class Name {
  readonly #calls: Syscalls;
  readonly #bytes = Buffer.from(new ArrayBuffer(SOCKADDR_MAX_BYTES + 4));
  readonly #place = sockaddrPlace();
  readonly #at: number;
  /** IPv4 addresses as text. */
  readonly #texts = new Map<number, string>();

  constructor(calls: Syscalls) {
    this.#calls = calls;
    this.#at = Number(calls.address(this.#bytes));
  }

  /** Accepts a connection; the name is its peer's then. */
  accept(fd: number): number {
    this.#bytes.writeUInt32LE(SOCKADDR_MAX_BYTES, SOCKADDR_MAX_BYTES);
    return this.#calls.streams.accept(fd, this.#at, this.#at + SOCKADDR_MAX_BYTES);
  }

  local(fd: number): boolean {
    this.#bytes.writeUInt32LE(SOCKADDR_MAX_BYTES, SOCKADDR_MAX_BYTES);
    return this.#calls.streams.getsockname(fd, this.#at, this.#at + SOCKADDR_MAX_BYTES) >= 0;
  }

  port(): number {
    return this.#bytes.readUInt16BE(2);
  }

  endpoint(): Endpoint | undefined {
    if (!readSockaddr(this.#bytes, 0, this.#place)) return undefined;
    const isV4 = this.#bytes.readUInt16LE(0) === AF_INET;
    return { address: isV4 ? this.#textOfV4() : formatAddress(this.#place.address), port: this.#place.port };
  }

  /** Peers come again: one string for each. */
  #textOfV4(): string {
    const number = this.#bytes.readUInt32BE(4);
    const known = this.#texts.get(number);
    if (known !== undefined) return known;
    if (this.#texts.size >= TEXTS_MAX) this.#texts.clear();
    const text = formatAddress(this.#place.address);
    this.#texts.set(number, text);
    return text;
  }
}

class Listener implements AcceptLoop, Watched {
  readonly #io: RawIo;
  readonly #fd: number;
  readonly #options: AcceptOptions;
  readonly #name: Name;
  #closed = false;

  constructor(io: RawIo, fd: number, options: AcceptOptions) {
    this.#io = io;
    this.#fd = fd;
    this.#options = options;
    this.#name = new Name(io.syscalls);
  }

  open(): void {
    if (this.#options.awaitBytes === true) this.#io.calls.handshakeWithData(this.#fd);
    if (this.#io.calls.listen(this.#fd, BACKLOG) < 0) throw new SystemError('listen', this.#io.failure() ?? 'EIO');
    this.#io.loop.watch(this.#fd, EPOLLIN, this);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#io.close(this.#fd);
  }

  ready(): void {
    for (let accepts = 0; accepts < ACCEPTS_MAX && !this.#closed; accepts++) {
      const fd = this.#name.accept(this.#fd);
      if (fd >= 0) {
        this.#take(fd);
        continue;
      }
      const code = this.#io.failure();
      if (code === undefined) return;
      if (EXHAUSTED.has(code)) {
        this.#rest(code);
        return;
      }
      // Everything else is of one connection that failed before it was taken.
    }
  }

  #take(fd: number): void {
    const source = this.#name.endpoint();
    const { destinations, onStream } = this.#options;
    const destination = !destinations ? source : this.#name.local(fd) ? this.#name.endpoint() : undefined;
    if (source === undefined || destination === undefined) this.#io.close(fd);
    else onStream(new RawSocket(this.#io, fd, false), source, destination);
  }

  /** Level-triggered as it is, the listener would be told again at once. */
  #rest(code: string): void {
    this.#io.loop.change(this.#fd, 0);
    this.#io.loop.timers.set(EXHAUSTED_WAIT_MS, () => {
      if (!this.#closed) this.#io.loop.change(this.#fd, EPOLLIN);
    });
    this.#options.onFault(new SystemError('accept', code));
  }
}
