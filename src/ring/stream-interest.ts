/**
 * How far inspection is interested in a stream (inspect-stream.ts), told where its bytes pass: inspection itself comes to them later, in
 * another thread maybe. Rows are skipped, not decoded, and nothing is opened or unpacked: 15 KB may unpack to 20 MB, for which packets
 * would wait. Pure and total.
 */
import { SEALED_STREAM_HEADER_BYTES, streamFrameBytes } from '../wire/encryption.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { Pending } from '../wire/pending.ts';
import { createStreamReader, type StreamProgress } from '../wire/stream-reader.ts';
import { readsUser } from './packet-interest.ts';
import type { FrameSource } from './source.ts';

/** A streamed user message up to this is collected to read the dskit pair in it. */
const USER_MESSAGE_HELD_BYTES = 1024 * 1024;

/** Whether a user message of so many bytes is collected. */
export function collectsUser(source: Pick<FrameSource, 'transport'>, bytes: number): boolean {
  return readsUser(source) && bytes <= USER_MESSAGE_HELD_BYTES;
}

/** Whether what follows is of no interest in a message that was read to `state`. `wantsUser`: its user bytes are read for dskit's pairs. */
export function isRead(state: StreamProgress['state'], wantsUser: boolean): boolean {
  return state === 'done' || state === 'failed' || (state === 'body' && !wantsUser);
}

export interface StreamInterest {
  /**
   * The next bytes after the label, read before it returns. False once nothing that follows is of interest; of a compressed message that
   * is never said, for it ends where its stream does.
   */
  push(chunk: Uint8Array): boolean;
}

/** Follows one direction of a stream. */
export function createStreamInterest(source: Pick<FrameSource, 'transport'>): StreamInterest {
  return new Interest(source);
}

class Interest implements StreamInterest {
  readonly #reader;
  #wantsUser = false;
  /** The head of an encrypted message. */
  #sealed: Pending | undefined;
  #isCompressed = false;
  #bytes = 0;
  #over = false;

  constructor(source: Pick<FrameSource, 'transport'>) {
    this.#reader = createStreamReader({
      pushPull: () => {
        this.#wantsUser = readsUser(source);
      },
      userMessage: (bytes) => {
        this.#wantsUser = collectsUser(source, bytes);
      },
    });
  }

  push(chunk: Uint8Array): boolean {
    if (this.#over || chunk.length === 0) return !this.#over;
    if (this.#bytes === 0) this.#begin(chunk[0]);
    this.#bytes += chunk.length;
    if (this.#isCompressed) return true;
    if (this.#sealed === undefined) {
      const { state } = this.#reader.push(chunk);
      this.#over = isRead(state, this.#wantsUser);
    } else {
      this.#sealed.append(chunk.subarray(0, SEALED_STREAM_HEADER_BYTES - this.#sealed.length));
      const size = streamFrameBytes(this.#sealed.view());
      this.#over = size !== undefined && this.#bytes >= size;
    }
    return !this.#over;
  }

  #begin(type: number | undefined): void {
    if (type === MESSAGE_TYPE.encrypt) this.#sealed = new Pending();
    this.#isCompressed = type === MESSAGE_TYPE.compress;
  }
}
