/**
 * One direction of a relay whose bytes nobody looks at any more: once it has shown to be bulk they go from socket to socket inside the
 * kernel, through a pipe (splice(2)), uncopied. What is in the pipe is written before more is read, so a slow reader holds its writer back, and
 * an end or an error is met only once everything before it has been written.
 */
import type { Deferred } from './loop.ts';
import type { RawIo } from './raw-io.ts';
import { SPLICE_BYTES, type SplicePipe } from './splice-pipes.ts';

/**
 * So much is copied first, what somebody looked at included: what is shorter would spend more on calls than it spares. The first reads take no
 * more, and once they have, others have their turn: the side that was just dialled is there by then, and takes the rest unseen.
 */
export const BULK_FROM_BYTES = 16 * 1024;
/** Bytes that are moved before others have their turn: about as long as bulk has in a turn of the loop, 1 ms, which it may overrun by one go. */
const GO_BYTES = 4 * 1024 * 1024;

/** The socket that the bytes go to. */
export interface SpliceTarget {
  /** Whether nothing waits to be written before, and writing is possible. */
  takesNow(): boolean;
  /**
   * Takes up to `bytes` from the reading end of a pipe that holds as many. 0: there is no room, and `whenRoom` is called once, when there
   * is; below: nothing can be written any more.
   */
  takeFrom(pipe: number, bytes: number, whenRoom: () => void): number;
}

/** The socket that is read. */
export interface SpliceSource {
  readonly fd: number;
  wantsRead(): boolean;
  /** Nothing can be read any more, for the reason `code`. All before is written. */
  onNothing(length: -1, code: string): void;
  /** There was nothing to move: `copies` lets recv tell what that means. Of urgent bytes (RFC 6093) and all behind them splice says nothing, or the FIN. */
  read(copies: true): void;
  /** Reads on by itself: nothing can be written any more, but an end may be of use. */
  resume(): void;
}

export class RawSplice implements Deferred {
  readonly #io: RawIo;
  readonly #from: SpliceSource;
  readonly #to: SpliceTarget;
  readonly #passed: (bytes: number) => void;
  #pipe: SplicePipe | undefined;
  /** Bytes in the pipe. */
  #held = 0;
  /** From so many copied bytes on a pipe is asked for. */
  #fromBytes = BULK_FROM_BYTES;
  #state: 'rests' | 'scheduled' | 'waits' | 'over' = 'rests';

  /** `passed` is told what left `from`, and 0 for each time that `to` took something of it later. */
  constructor(io: RawIo, from: SpliceSource, to: SpliceTarget, passed: (bytes: number) => void) {
    this.#io = io;
    this.#from = from;
    this.#to = to;
    this.#passed = passed;
  }

  /** Whether what there is to read is moved, in this turn or a later one, rather than to be read by the caller, who has read `copied` bytes so far. */
  moves(copied: number): boolean {
    if (this.#pipe === undefined && !this.#begins(copied)) return false;
    if (this.#state === 'rests') this.#schedule();
    return true;
  }

  /** Nothing is moved from here on; what is in the pipe is gone. */
  close(): void {
    this.#state = 'over';
    this.#letGo();
  }

  #begins(copied: number): boolean {
    if (this.#state === 'over' || copied < this.#fromBytes || !this.#to.takesNow()) return false;
    this.#pipe = this.#io.pipes.take();
    // Asked for again after as much.
    if (this.#pipe === undefined) this.#fromBytes = copied + BULK_FROM_BYTES;
    return this.#pipe !== undefined;
  }

  #letGo(): void {
    if (this.#pipe !== undefined) this.#io.pipes.give(this.#pipe, this.#held === 0);
    this.#pipe = undefined;
  }

  #schedule(): void {
    this.#state = 'scheduled';
    this.#io.loop.deferBulk(this);
  }

  /** From the loop alone. */
  later(): void {
    if (this.#state !== 'scheduled') return;
    this.#state = 'rests';
    if (this.#pipe !== undefined && this.#from.wantsRead()) this.#move(this.#pipe);
  }

  #move(pipe: SplicePipe): void {
    for (let moved = 0; moved < GO_BYTES; ) {
      if (!this.#write(pipe)) return;
      const bytes = this.#io.calls.splice(this.#from.fd, pipe.writes, SPLICE_BYTES);
      if (bytes <= 0) {
        const code = bytes < 0 ? this.#io.failure() : undefined;
        this.#letGo();
        if (code === undefined) this.#from.read(true);
        else this.#from.onNothing(-1, code);
        return;
      }
      this.#held = bytes;
      moved += bytes;
      this.#passed(bytes);
    }
    if (this.#write(pipe)) this.#schedule();
  }

  /** Whether the pipe is empty; otherwise it goes on when there is room, or never. */
  #write(pipe: SplicePipe): boolean {
    while (this.#held > 0) {
      const took = this.#to.takeFrom(pipe.reads, this.#held, this.#onRoom);
      if (took === 0) {
        this.#state = 'waits';
        return false;
      }
      if (took < 0) {
        this.close();
        this.#from.resume();
        return false;
      }
      this.#held -= took;
    }
    return true;
  }

  readonly #onRoom = (): void => {
    if (this.#state !== 'waits') return;
    // The reader took something: a pipe may last a slow one longer than the time in which something must pass.
    this.#passed(0);
    this.#schedule();
  };
}
