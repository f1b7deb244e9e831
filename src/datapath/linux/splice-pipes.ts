/**
 * Pipes that carry bytes from one socket to another inside the kernel (splice(2)): a few for a thread, of which one is held only while
 * bytes are in it. Their size is what the kernel grants (fs.pipe-max-size, fs.pipe-user-pages-soft, which other programs of the user share).
 */
import type { StreamCalls } from './stream-calls.ts';

/** Pipes at once; a stream that finds none is read and written as any other. */
export const PIPES_MAX = 64;
/** Pipes that hold SPLICE_BYTES. The further ones are smaller: in all less than half of the pages that a user may have in pipes (16,384). */
export const LARGE_PIPES_MAX = 16;
/** What one pipe is asked to hold, and what is moved into one at most. */
export const SPLICE_BYTES = 1024 * 1024;
const SMALL_BYTES = 256 * 1024;
/** One that holds less spares nothing. */
const PIPE_MIN_BYTES = 64 * 1024;
/** Empty ones that are kept. */
const IDLE_MAX = 2;

export interface SplicePipe {
  readonly reads: number;
  readonly writes: number;
  readonly large: boolean;
}

export class SplicePipes {
  readonly #calls: StreamCalls;
  readonly #close: (fd: number) => void;
  readonly #max: number;
  readonly #idle: SplicePipe[] = [];
  #open = 0;
  #large = 0;

  /** `close` closes a descriptor. */
  constructor(calls: StreamCalls, close: (fd: number) => void, max = PIPES_MAX) {
    this.#calls = calls;
    this.#close = close;
    this.#max = max;
  }

  /** Pipes that exist, in use or kept. */
  get open(): number {
    return this.#open;
  }

  /** An empty pipe, the caller's until `give`; undefined while all are in use, or the kernel grants none that is worth it. */
  take(): SplicePipe | undefined {
    return this.#idle.pop() ?? (this.#open < this.#max ? this.#make() : undefined);
  }

  /** Gives a pipe back. One that is not empty is closed, and what is in it is gone; a small one is not kept, as a large one serves better. */
  give(pipe: SplicePipe, empty: boolean): void {
    if (empty && pipe.large && this.#idle.length < IDLE_MAX) this.#idle.push(pipe);
    else this.#end(pipe);
  }

  /** Closes those that are kept, when no more will be asked for. */
  close(): void {
    for (const pipe of this.#idle.splice(0)) this.#end(pipe);
  }

  #make(): SplicePipe | undefined {
    const made = this.#calls.pipe();
    if (made === undefined) return undefined;
    const large = this.#large < LARGE_PIPES_MAX;
    const pipe = { ...made, large };
    this.#open++;
    if (large) this.#large++;
    for (let bytes = large ? SPLICE_BYTES : SMALL_BYTES; bytes >= PIPE_MIN_BYTES; bytes /= 2) {
      if (this.#calls.setPipeSize(pipe.writes, bytes) >= bytes) return pipe;
    }
    this.#end(pipe);
    return undefined;
  }

  #end({ reads, writes, large }: SplicePipe): void {
    this.#open--;
    if (large) this.#large--;
    this.#close(reads);
    this.#close(writes);
  }
}
