/** What one direction of a relayed stream goes through. Bytes may leave later than they come, so a flow writes by itself. */
import type { RejectReason } from '../policy/reason.ts';
import type { Decoded } from '../wire/reason.ts';

/** Where a flow writes to: the other side, as the relay sees it. */
export interface FlowSink {
  /** `written` is called once the bytes are with the kernel, and never when the side is gone. */
  write(bytes: Uint8Array, written?: () => void): void;
  /** A FIN, after every byte. */
  finish(): void;
  /** Resets both sides. */
  cut(reason: RejectReason): void;
  /** Stops and goes on reading the side that the bytes come from. */
  pause(): void;
  resume(): void;
}

export interface Flow {
  /** Bytes as they arrived; while `keeps` says so they must not change any more, otherwise not before this returns. */
  push(chunk: Uint8Array): void;
  /** The side that wrote them has ended with a FIN. */
  end(): void;
  /** Whether it may hold what the next `push` brings, rather than write it at once. Once false, it stays so. */
  keeps(): boolean;
  /** Whether it writes all that comes at once and as it is. Once true, it stays so. */
  passes(): boolean;
}

export type FlowOf = (sink: FlowSink) => Flow;

/** Bytes as they are. */
export const passing: FlowOf = (sink) => new Passing(sink);

class Passing implements Flow {
  readonly #sink: FlowSink;

  constructor(sink: FlowSink) {
    this.#sink = sink;
  }

  push(chunk: Uint8Array): void {
    this.#sink.write(chunk);
  }

  end(): void {
    this.#sink.finish();
  }

  keeps(): boolean {
    return false;
  }

  passes(): boolean {
    return true;
  }
}

/**
 * What becomes of the dialler's bytes on their way; a DskitRewriter is one. `push` gives views of the chunk or new buffers, and what it holds
 * back is a copy; `end` gives what is left at the FIN.
 */
export interface Transform {
  push(chunk: Uint8Array): Decoded<readonly Uint8Array[]>;
  end(): Decoded<readonly Uint8Array[]>;
}

/** Bytes through a transform; what it refuses cuts the stream. */
export function transforming(transform: Transform): FlowOf {
  return (sink) => {
    const pass = (out: Decoded<readonly Uint8Array[]>): boolean => {
      if (out.ok) for (const bytes of out.value) sink.write(bytes);
      else sink.cut(out.reason);
      return out.ok;
    };
    return {
      push: (chunk) => void pass(transform.push(chunk)),
      end() {
        if (pass(transform.end())) sink.finish();
      },
      keeps: () => false,
      passes: () => false,
    };
  };
}
