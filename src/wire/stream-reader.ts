/**
 * Reads a native stream's message (after the label, not encrypted) as it arrives, in any chunking and bounded memory: one compress layer
 * is unpacked on the way (LZW in pieces; a Snappy block is kept whole), rows come one at a time. Mirrors memberlist net.go `readStream`.
 */
import type { CodecFailure, CodecReason } from './codec-reason.ts';

import { DECOMPRESSED_MAX_BYTES } from './limits.ts';
import { MESSAGE_TYPE } from './message-type.ts';
import { CompressReader } from './stream-compress.ts';
import { type MessageBounds, MessageReader, type StreamVisitor } from './stream-message.ts';

export type { StreamVisitor } from './stream-message.ts';

export interface StreamBounds extends MessageBounds {
  /** DECOMPRESSED_MAX_BYTES: what a compress layer may unpack to. */
  readonly expandedBytes?: number;
}

export interface StreamProgress {
  /**
   * `reading`: nothing is verified yet (header, rows or compress layer incomplete). `body`: only raw user bytes of an allowed length
   * are missing. `done`: the message is complete; what follows is ignored, as memberlist does. `failed`: for good.
   */
  readonly state: 'reading' | 'body' | 'done' | 'failed';
  readonly failure?: CodecFailure;
}

export interface StreamReader {
  push(chunk: Uint8Array): StreamProgress;
  /** No more bytes will come. */
  end(): StreamProgress;
}

const READING: StreamProgress = Object.freeze({ state: 'reading' });
const BODY: StreamProgress = Object.freeze({ state: 'body' });
const DONE: StreamProgress = Object.freeze({ state: 'done' });

/** What cannot get better by reading on. Behind anything else a compress layer is read to its end: a bomb may follow. */
const FINAL: ReadonlySet<CodecReason> = new Set([
  'length_claim',
  'disguised',
  'depth_limit',
  'entries_limit',
  'nodes_limit',
  'user_bytes_limit',
]);

/** A reader that tells `visitor` what it reads. `bounds` can only narrow the wire's. */
export function createStreamReader(visitor: StreamVisitor, bounds: StreamBounds = {}): StreamReader {
  const message = new MessageReader(visitor, bounds);
  let compress: CompressReader | undefined;
  let started = false;

  const progress = (): StreamProgress => {
    const inner = message.failure;
    if (compress === undefined) {
      if (inner !== undefined) return { state: 'failed', failure: inner };
      return message.done ? DONE : message.verified ? BODY : READING;
    }
    const isFinal = inner !== undefined && (compress.done || FINAL.has(inner.reason));
    const failure = compress.failure ?? (isFinal ? inner : undefined);
    if (failure !== undefined) return { state: 'failed', failure };
    return compress.done ? DONE : READING;
  };

  const open = (chunk: Uint8Array): void => {
    compress?.push(chunk);
    if (compress?.done === true) message.end();
  };

  return {
    push(chunk) {
      if (chunk.length === 0) return progress();
      if (!started) {
        started = true;
        if (chunk[0] === MESSAGE_TYPE.compress) {
          const maxBytes = Math.min(bounds.expandedBytes ?? DECOMPRESSED_MAX_BYTES, DECOMPRESSED_MAX_BYTES);
          compress = new CompressReader(visitor, maxBytes, (piece) => message.push(piece));
          open(chunk.subarray(1));
          return progress();
        }
      }
      if (compress === undefined) message.push(chunk);
      else if (!compress.done) open(chunk);
      return progress();
    },
    end() {
      if (compress === undefined) message.end();
      else compress.end();
      return progress();
    },
  };
}
