/**
 * Alertmanager's connections, inside TLS: the first frame tells whether packets or one stream follow. A stream, and whatever is
 * neither, is an exchange like any other (exchange.ts); packets go their own way (alertmanager-packets.ts).
 */
import type { Socket } from 'node:net';
import { decodeAlertmanagerFrame } from '../wire/alertmanager.ts';
import type { PacketDial } from './alertmanager-dial.ts';
import { AlertmanagerPackets, HELD_CHUNKS_MAX } from './alertmanager-packets.ts';
import { reset } from './endings.ts';
import type { AcceptedStream } from './engine.ts';
import { judge } from './judge.ts';
import type { Connection } from './streams.ts';

const NO_BYTES = Buffer.alloc(0);

export class AlertmanagerConnection implements Connection {
  readonly #parts: PacketDial;
  readonly #socket: Socket;
  readonly #stream: AcceptedStream<Socket>;
  readonly #exchange: () => Connection;
  #inner: Connection | undefined;

  /** `exchange` makes what takes the connection when it is none of packets. `socket` is paused. */
  constructor(parts: PacketDial, socket: Socket, stream: AcceptedStream<Socket>, exchange: () => Connection) {
    this.#parts = parts;
    this.#socket = socket;
    this.#stream = stream;
    this.#exchange = exchange;
  }

  start(onDone: () => void): void {
    const socket = this.#socket;
    let chunks: Buffer[] = [];
    let bytes = 0;
    let needBytes = 0;
    const proceed = (make: () => Connection): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('end', onEnd).off('close', onClose);
      socket.pause();
      socket.unshift(Buffer.concat(chunks));
      this.#inner = make();
      this.#inner.start(onDone);
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (chunks.length > HELD_CHUNKS_MAX) chunks = [Buffer.concat(chunks)];
      // Read only when that can tell something new, so that single bytes cost no more than long chunks.
      if (bytes < needBytes) return;
      const frame = decodeAlertmanagerFrame(Buffer.concat(chunks));
      if (frame.ok && !frame.done) needBytes = frame.needBytes;
      else if (frame.ok && frame.kind === 'packet') proceed(() => this.#packets());
      else proceed(this.#exchange);
    };
    const onEnd = (): void => {
      this.#broken(bytes);
      socket.destroy();
    };
    const onClose = (): void => {
      clearTimeout(timer);
      onDone();
    };
    // The exchange says which header never came; a connection that never sent a byte it closes without a word.
    const timer = setTimeout(() => proceed(this.#exchange), this.#parts.settings.limits.headerTimeoutMs);
    socket.on('data', onData).once('end', onEnd).once('close', onClose);
    socket.resume();
  }

  cut(): void {
    if (this.#inner !== undefined) this.#inner.cut();
    else reset(this.#socket);
  }

  #packets(): Connection {
    return new AlertmanagerPackets(this.#parts, this.#socket, this.#stream);
  }

  /** It ended within its first frame. A connection that never sent a byte was a probe, no frame. */
  #broken(bytes: number): void {
    if (bytes === 0) return;
    const { direction, peer } = this.#stream;
    judge(this.#parts.context, {
      direction,
      transport: 'alertmanager',
      kind: 'stream',
      state: 'alertmanager_malformed',
      peer,
      label: NO_BYTES,
      bytes,
      handshake: true,
    });
  }
}
