/**
 * A TCP connection of the engine's loop, as datapath/socket.ts describes it, over a descriptor and epoll: no more system calls than the
 * bytes need. It is watched edge-triggered, so that pausing and resuming cost no call, and only once it has to wait for something.
 *
 * Its `end` is a FIN and nothing else. What had arrived before a reset is given before the error, also where writing met the reset first.
 * Its owner is told from the loop, never from within a call of a method; `written` alone may be called before `write` returns.
 */
import type { SocketOwner, StreamSocket } from '../socket.ts';
import type { Deferred, Watched } from './loop.ts';
import type { RawIo } from './raw-io.ts';
import { BULK_FROM_BYTES, RawSplice, type SpliceSource } from './raw-splice.ts';
import { RawWriting } from './raw-writing.ts';
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from './stream-calls.ts';
import { SystemError } from './system-error.ts';

const ENDED = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

export class RawSocket extends RawWriting implements StreamSocket, Watched, Deferred, SpliceSource {
  readonly endIsFin = true;
  owner: SocketOwner | undefined;
  closed = false;
  readableEnded = false;
  /** What epoll watches for; 0: it does not know the socket. */
  #watched = 0;
  #paused: boolean;
  /** There may be something to read. */
  #readable: boolean;
  /** And an end behind it: epoll has told so, once. */
  #endNear = false;
  #isDeferred = false;
  /** What was put off: the first write of one that dials, a read; the close needs no mark. */
  #firstWrites: boolean;
  #reads = false;
  #lends = false;
  /** Why it was destroyed. */
  #error: Error | undefined;
  /** Bytes that were read. */
  #copied = 0;
  /** Where what comes goes, once nobody looks at it. */
  #splice: RawSplice | undefined;

  /**
   * Owns `fd`, a non-blocking TCP socket: one just accepted (paused, as node's are with pauseOnConnect), or one whose connect has begun.
   * With `failed` there is none (-1): it could not be opened, and says so by `error`.
   */
  constructor(io: RawIo, fd: number, connecting: boolean, failed?: Error) {
    super(io, fd, connecting);
    this.#paused = !connecting;
    this.#readable = !connecting;
    this.#firstWrites = connecting;
    if (failed !== undefined) this.destroy(failed);
    else if (connecting) this.#defer();
    else this.#readLater();
  }

  pause(): this {
    this.#paused = true;
    return this;
  }

  resume(): this {
    this.#paused = false;
    if (this.#readable && this.wantsRead()) this.#readLater();
    return this;
  }

  lend(): void {
    this.#lends = true;
  }

  passTo(to: StreamSocket, passed: (bytes: number) => void): void {
    if (to instanceof RawSocket) this.#splice ??= new RawSplice(this.io, this, to, passed);
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.#splice?.close();
    this.connecting = false;
    if (this.fd >= 0) this.letGo(this.readableEnded && this.#watched === 0 && error === undefined);
    this.#error = error;
    this.#defer();
    return this;
  }

  /** Nobody is told anything after this. */
  #close(): void {
    const { owner } = this;
    const error = this.#error;
    this.forget(error);
    if (error !== undefined) owner?.onError(this, error);
    this.closed = true;
    this.owner = undefined;
    owner?.onClose(this, error !== undefined);
  }

  resetAndDestroy(): this {
    if (!this.destroyed) this.lingerZero();
    return this.destroy();
  }

  ready(events: number): void {
    if (this.connecting) this.#endConnect();
    this.#readable ||= (events & (EPOLLIN | ENDED)) !== 0;
    this.#endNear ||= (events & ENDED) !== 0;
    if (this.#readable && this.wantsRead()) this.read();
    else if ((events & EPOLLERR) !== 0) this.#trouble();
    if ((events & EPOLLOUT) !== 0 && !this.nothingWaits()) this.flush();
  }

  protected awaitRoom(): void {
    this.#watch(EPOLLOUT);
  }

  protected connected(): void {
    this.connecting = false;
    this.owner?.onConnect(this);
  }

  protected drained(): void {
    this.owner?.onDrain(this);
  }

  protected finish(): void {
    this.writableFinished = true;
    // Closing sends the FIN as well.
    if (this.readableEnded) this.destroy();
    else if (this.io.calls.shutdown(this.fd) < 0) this.breakWriting(this.io.failure() ?? 'ENOTCONN');
  }

  protected faulted(): void {
    this.#readLater();
  }

  later(): void {
    this.#isDeferred = false;
    if (!this.destroyed && this.#reads) this.#readNow();
    if (!this.destroyed && this.#firstWrites) this.#firstWrite();
    if (this.destroyed && !this.closed) this.#close();
  }

  #defer(bulk = false, toNextTurn = false): void {
    if (this.#isDeferred) return;
    this.#isDeferred = true;
    if (bulk) this.io.loop.deferBulk(this);
    else if (toNextTurn) this.io.loop.deferToNext(this);
    else this.io.loop.defer(this);
  }

  /** Connections on one machine are there by the time that connect returns, though it does not say so. */
  #firstWrite(): void {
    this.#firstWrites = false;
    if (!this.connecting) return;
    if (this.nothingWaits()) this.#watch(EPOLLOUT);
    else this.flush();
    if (this.connecting) return;
    // Most answer, or end, before the next turn is over: no need to watch.
    this.#readable = true;
    this.#readLater(true);
  }

  #endConnect(): void {
    const code = this.io.pendingError(this.fd);
    if (code !== undefined) this.destroy(new SystemError('connect', code));
    else {
      this.connected();
      this.flush();
    }
  }

  #readLater(inNextTurn = false): void {
    this.#reads = true;
    this.#defer(false, inNextTurn);
  }

  #readNow(): void {
    this.#reads = false;
    if (this.wantsRead()) this.read();
    else if (this.fault !== undefined) this.#trouble();
    // One that has ended is watched only when it must wait to write.
    if (!this.readableEnded) this.#watch(0);
  }

  wantsRead(): boolean {
    return !this.#paused && !this.destroyed && !this.connecting && !this.readableEnded && this.owner !== undefined;
  }

  read(copies = false): void {
    const { calls, memory, memoryAt } = this.io;
    const room = this.#copied < BULK_FROM_BYTES ? BULK_FROM_BYTES : memory.length;
    for (let bytes = 0, length = 0; bytes < room; bytes += length) {
      if (!(copies && bytes === 0) && this.#splice?.moves(this.#copied) === true) return;
      length = calls.recv(this.fd, memoryAt, room);
      if (length <= 0) {
        this.onNothing(length, length < 0 ? this.io.failure() : undefined);
        return;
      }
      this.#copied += length;
      this.owner?.onData(this, this.#lends ? memory.subarray(0, length) : Buffer.from(memory.subarray(0, length)));
      // Whoever paused it finds it readable on resuming.
      if (!this.wantsRead()) return;
      const more = this.#watched === 0 || this.#endNear || this.fault !== undefined;
      if (length < room && !more) {
        this.#readable = false;
        return;
      }
    }
    this.#reads = true;
    this.#defer(true);
  }

  onNothing(length: number, code: string | undefined): void {
    this.#readable = false;
    if (this.fault !== undefined) this.destroy(this.fault);
    else if (code !== undefined) this.destroy(new SystemError('read', code));
    else if (length < 0) this.#watch(0);
    else {
      this.readableEnded = true;
      this.owner?.onEnd(this);
      if (this.writableFinished) this.destroy();
    }
  }

  /** It failed while nobody reads: that is told now, unless there is something to read before. */
  #trouble(): void {
    if (this.destroyed) return;
    const waits = this.readableEnded ? -1 : this.io.calls.peek(this.fd, this.io.memoryAt);
    if (waits > 0 || (waits === 0 && this.fault === undefined)) {
      this.#readable = true;
      return;
    }
    const code = this.readableEnded ? this.io.pendingError(this.fd) : this.io.failure();
    this.destroy(this.fault ?? new SystemError('read', code ?? 'ECONNRESET'));
  }

  /** Waits for bytes, ends and `more`. */
  #watch(more: number): void {
    if (this.destroyed) return;
    const events = EPOLLIN | EPOLLRDHUP | EPOLLET | this.#watched | more;
    if (events === this.#watched) return;
    const known = this.#watched !== 0;
    this.#watched = events;
    try {
      if (known) this.io.loop.change(this.fd, events);
      else this.io.loop.watch(this.fd, events, this);
    } catch (error) {
      this.destroy(error as Error);
    }
  }
}
