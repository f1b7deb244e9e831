/** What a TLS socket of ours reads and writes: a connection that keeps its end to itself, and may keep what is written (tls-socket.ts says why). */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** Two session tickets with the dialler's certificate chain in each; what makes more of it (key updates) is written at once. */
const KEPT_MAX_BYTES = 32 * 1024;

/** The ciphertext of one connection. It never ends by itself: `onOver` tells, once all that arrived has been taken. */
export class Ciphertext extends Duplex {
  readonly #raw: Socket;
  readonly #onOver: (why: Error | undefined) => void;
  #receivedBytes = 0;
  #takenBytes = 0;
  /** Written once there is something to say; undefined: nothing is kept. */
  #kept: Buffer[] | undefined;
  #keptBytes = 0;
  #over: { readonly why: Error | undefined } | undefined;

  constructor(raw: Socket, onOver: (why: Error | undefined) => void) {
    super({ allowHalfOpen: true });
    this.#raw = raw;
    this.#onOver = onOver;
    raw.on('data', (chunk: Buffer) => {
      this.#receivedBytes += chunk.length;
      if (!this.push(chunk)) raw.pause();
    });
    raw.on('end', () => this.#end(undefined));
    raw.on('error', (error) => this.#end(error));
    raw.on('close', () => this.#end(new Error('the connection was closed')));
  }

  /** To be called once whoever takes the bytes listens: what it has taken is counted behind it. */
  watch(): void {
    this.on('data', (chunk: Buffer) => {
      this.#takenBytes += chunk.length;
      this.#settle();
    });
  }

  /** Keeps what is written from now on. */
  keep(): void {
    this.#kept = [];
  }

  /** Writes what was kept, and what comes. */
  release(): void {
    const kept = this.#kept ?? [];
    this.#kept = undefined;
    for (const chunk of kept) this.#raw.write(chunk);
  }

  override _read(): void {
    this.#raw.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#kept !== undefined) {
      this.#kept.push(chunk);
      this.#keptBytes += chunk.length;
      if (this.#keptBytes > KEPT_MAX_BYTES) this.release();
      done();
      return;
    }
    // A failed write is told by the connection's 'error', after what can still be read.
    this.#raw.write(chunk, () => done());
  }

  override _final(done: () => void): void {
    this.#raw.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#raw.destroy();
    done(error);
  }

  #end(why: Error | undefined): void {
    // A reset after a FIN still takes the writing side away.
    if (this.#over !== undefined && (this.#over.why !== undefined || why === undefined)) return;
    this.#over = { why };
    this.#settle();
  }

  #settle(): void {
    if (this.#over !== undefined && this.#takenBytes === this.#receivedBytes) this.#onOver(this.#over.why);
  }
}
