/** Node's sockets as the stream engine knows them: their events are told to an owner, by listeners that all sockets share. */
import { Socket } from 'node:net';
import type { SocketOwner, StreamSocket } from './socket.ts';

/**
 * node's Socket copies the options it is made with. V8 before version 12 gives such a copy a shape of its own each time, as long as it has seen
 * few shapes of options there; every look at one then misses its caches, which makes a socket ten times as dear (13 µs for 1).
 */
function showOptions(): void {
  const [major = ''] = process.versions.v8.split('.');
  if (Number(major) >= 12) return;
  for (let made = 0; made < SHOWN; made++) new Socket({ [`shape${made % SHAPES}`]: made });
}

/** More shapes than V8 tells apart in one place (4), and so often that it has begun to count them. */
const SHAPES = 8;
const SHOWN = 20 * SHAPES;
showOptions();

/** One of node's, with what stands before it. */
type Fronted = Socket & { front?: NodeSocket };

/**
 * What stands before a socket of node's. It is asked for much more often than node's can tell cheaply, and it pauses and resumes that one only
 * for good: what an owner does so while it takes a chunk counts as it is in the end.
 */
export class NodeSocket implements StreamSocket {
  owner: SocketOwner | undefined = undefined;
  /** Of TLS (tls-socket.ts). */
  readonly endIsFin?: true;
  /** Of TCP alone. */
  readonly closeIsFin?: true;
  closed = false;
  readableEnded = false;
  readonly #socket: Socket;
  #flows: boolean;
  #flowing: boolean;
  #telling = false;

  /** Takes `socket` over, of which nothing was read that is not given back to it. It flows as soon as it is resumed, a new connection at once. */
  constructor(socket: Socket) {
    this.#socket = socket;
    if ('endIsFin' in socket) this.endIsFin = true;
    else this.closeIsFin = true;
    this.#flowing = !socket.isPaused();
    this.#flows = this.#flowing;
    (socket as Fronted).front = this;
    // One of TLS connects when it is secure, whatever it says before.
    if (socket.connecting || this.endIsFin) socket.on('connect', onConnect);
    socket.on('data', onData).on('end', onEnd).on('drain', onDrain).on('error', onError).on('close', onClose);
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  get connecting(): boolean {
    return this.#socket.connecting;
  }

  get writableEnded(): boolean {
    return this.#socket.writableEnded;
  }

  get writableFinished(): boolean {
    return this.#socket.writableFinished;
  }

  pause(): this {
    this.#flows = false;
    this.#settle();
    return this;
  }

  resume(): this {
    this.#flows = true;
    this.#settle();
    return this;
  }

  write(bytes: Uint8Array, written?: (error?: Error | null) => void): boolean {
    return this.#socket.write(bytes, written);
  }

  end(bytes?: Uint8Array): this {
    if (bytes === undefined) this.#socket.end();
    else this.#socket.end(bytes);
    return this;
  }

  destroy(error?: Error): this {
    this.#socket.destroy(error);
    return this;
  }

  resetAndDestroy(): this {
    this.#socket.resetAndDestroy();
    return this;
  }

  /** For node alone: a chunk came. */
  tell(chunk: Buffer): void {
    this.#telling = true;
    this.owner?.onData(this, chunk);
    this.#telling = false;
    this.#settle();
  }

  #settle(): void {
    if (this.#telling || this.#flows === this.#flowing || this.readableEnded) return;
    this.#flowing = this.#flows;
    if (this.#flows) this.#socket.resume();
    else this.#socket.pause();
  }
}

function onData(this: Fronted, chunk: Buffer): void {
  this.front?.tell(chunk);
}

function onEnd(this: Fronted): void {
  const { front } = this;
  if (front === undefined) return;
  front.readableEnded = true;
  front.owner?.onEnd(front);
}

function onDrain(this: Fronted): void {
  this.front?.owner?.onDrain(this.front);
}

function onConnect(this: Fronted): void {
  this.front?.owner?.onConnect(this.front);
}

function onError(this: Fronted, error: Error): void {
  this.front?.owner?.onError(this.front, error);
}

function onClose(this: Fronted, hadError: boolean): void {
  const { front } = this;
  if (front === undefined) return;
  front.closed = true;
  front.owner?.onClose(front, hadError);
}
