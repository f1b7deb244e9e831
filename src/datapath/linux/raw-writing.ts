/** The writing half of a raw socket (raw-socket.ts): straight to the kernel, and what it does not take waits here. */
import type { RawIo } from './raw-io.ts';
import type { SpliceTarget } from './raw-splice.ts';
import type { SpareSockets } from './spare-sockets.ts';
import { SystemError } from './system-error.ts';
import { WriteQueue, type Written } from './write-queue.ts';

/** From this many unsent bytes on `write` says to wait. */
const HIGH_WATER_BYTES = 64 * 1024;

/** From this send on they go out at once. */
const NO_DELAY_FROM = 2;

export abstract class RawWriting implements SpliceTarget {
  destroyed = false;
  connecting: boolean;
  writableEnded = false;
  writableFinished = false;
  protected readonly io: RawIo;
  readonly fd: number;
  /** Why nothing can be written any more. */
  protected fault: Error | undefined;
  /** Where its descriptor may go when the connection has ended in order: it came from there. */
  spares: SpareSockets | undefined;
  readonly #queue = new WriteQueue();
  #needsDrain = false;
  #endFollows = false;
  #sends = 0;
  /** Who moves bytes past the queue and waits for room. */
  #whenRoom: (() => void) | undefined;

  constructor(io: RawIo, fd: number, connecting: boolean) {
    this.io = io;
    this.fd = fd;
    this.connecting = connecting;
  }

  abstract destroy(error?: Error): this;
  /** Flushes when the kernel has room again. */
  protected abstract awaitRoom(): void;
  /** The kernel took bytes: the connection is there. */
  protected abstract connected(): void;
  protected abstract drained(): void;
  /** Everything is with the kernel, and the FIN may follow. */
  protected abstract finish(): void;
  /** `fault` was set. */
  protected abstract faulted(): void;

  write(bytes: Uint8Array, written?: Written): boolean {
    if (this.destroyed || this.writableEnded || this.fault !== undefined) return this.#refuse(written);
    if (this.connecting || !this.#queue.isEmpty()) this.#queue.push(this.#kept(bytes), written);
    else {
      const sent = bytes.length === 0 ? 0 : this.io.calls.sendBytes(this.fd, bytes, false);
      if (sent === bytes.length) {
        this.#noteSend();
        written?.();
        return true;
      }
      if (sent < 0 && !this.#mayRetry()) return this.#refuse(written);
      this.#queue.push(this.#kept(sent > 0 ? bytes.subarray(sent) : bytes), written);
      this.awaitRoom();
    }
    this.#needsDrain ||= this.#queue.bytes >= HIGH_WATER_BYTES;
    return !this.#needsDrain;
  }

  end(bytes?: Uint8Array): this {
    if (bytes !== undefined) this.write(bytes);
    if (this.destroyed || this.writableEnded) return this;
    this.writableEnded = true;
    if (!this.connecting && this.#queue.isEmpty() && this.fault === undefined) this.finish();
    return this;
  }

  endFollows(): void {
    this.#endFollows = true;
  }

  takesNow(): boolean {
    return (
      !this.destroyed && !this.connecting && !this.writableEnded && this.fault === undefined && this.#queue.isEmpty()
    );
  }

  takeFrom(pipe: number, bytes: number, whenRoom: () => void): number {
    const took = this.takesNow() ? this.io.calls.splice(pipe, this.fd, bytes) : 0;
    if (took > 0) return took;
    if (took === 0 || !this.#mayRetry()) return -1;
    this.#whenRoom = whenRoom;
    this.awaitRoom();
    return 0;
  }

  protected nothingWaits(): boolean {
    return this.#queue.isEmpty() && this.#whenRoom === undefined;
  }

  /** Gives the kernel what waits, as much as it takes. */
  protected flush(): void {
    while (!this.destroyed && this.fault === undefined && !this.#queue.isEmpty()) {
      const sent = this.#queue.send(this.io.calls, this.fd, this.io.room, this.writableEnded || this.#endFollows);
      if (sent < 0) {
        if (this.#mayRetry()) this.awaitRoom();
        return;
      }
      const full = sent < this.#queue.offered;
      this.#noteSend();
      if (this.connecting) this.connected();
      this.#queue.took(sent);
      if (full) {
        this.awaitRoom();
        return;
      }
    }
    if (this.destroyed || this.fault !== undefined) return;
    if (this.writableEnded) {
      if (!this.writableFinished) this.finish();
    } else if (this.#needsDrain) {
      this.#needsDrain = false;
      this.drained();
    }
    const whenRoom = this.#whenRoom;
    this.#whenRoom = undefined;
    whenRoom?.();
  }

  /** Nothing of what waits will be sent. */
  protected forget(error: Error | undefined): void {
    if (!this.#queue.isEmpty()) this.#queue.fail(error ?? new SystemError('write', 'ECANCELED'));
  }

  /** Nothing can be written any more, for the reason `code`. */
  protected breakWriting(code: string): void {
    this.fault = new SystemError('write', code);
    this.#queue.fail(this.fault);
    this.faulted();
  }

  #mayRetry(): boolean {
    const code = this.io.failure();
    if (code === undefined) return true;
    if (this.connecting) this.destroy(new SystemError('connect', code));
    else this.breakWriting(code);
    return false;
  }

  /** Makes the close a RST. */
  protected lingerZero(): void {
    // What is set stays set.
    this.spares = undefined;
    this.io.calls.lingerZero(this.fd);
  }

  /** Closes the descriptor, or leaves it to be dialled anew. `spare`: the other side has ended, nothing failed, and epoll never knew it. */
  protected letGo(spare: boolean): void {
    const { spares } = this;
    if (spare && spares !== undefined && this.writableFinished && this.#sends < NO_DELAY_FROM) spares.give(this.fd);
    else this.io.close(this.fd);
  }

  #noteSend(): void {
    // The first needs no setting: what is sent once is not held back.
    if (++this.#sends === NO_DELAY_FROM) this.io.noDelay(this.fd);
  }

  #refuse(written: Written | undefined): false {
    const error = this.fault ?? new SystemError('write', this.destroyed ? 'ECANCELED' : 'EPIPE');
    written?.(error);
    // As node does of a write after the end.
    if (this.writableEnded) this.destroy(error);
    return false;
  }

  /** Lent bytes are good until the next read only. */
  #kept(bytes: Uint8Array): Uint8Array {
    return bytes.buffer === this.io.memory.buffer ? Buffer.from(bytes) : bytes;
  }
}
