/**
 * A connection of Alertmanager packets: many, one frame each, in one direction only. Each is judged, counted and rewritten as a packet
 * of its own; a rejected one is left out and the connection lives on. One connection to the other side carries what passes; it is
 * dialled when the first packet does.
 *
 * Alertmanager keeps these connections for good and never reads from them (connection_pool.go), so rest has no bound: cutting one
 * costs the next packet. TCP keep-alive finds peers that are gone. What cannot be read on ends both sides, or a sender would write
 * into a connection that nobody reads any more. Bounded are a frame that does not end, and a side that takes nothing although there is something.
 *
 * Held are at most one frame and one TLS record, and what the other side's socket holds: it is read on when that drains.
 */
import type { Socket } from 'node:net';
import type { FrameState } from '../policy/facts.ts';
import type { LimitedReason } from '../policy/reason.ts';
import { formatEndpoint } from '../wire/address.ts';
import { type AlertmanagerFrame, decodeAlertmanagerFrame, encodeAlertmanagerFrame } from '../wire/alertmanager.ts';
import { ALERTMANAGER_FRAME_MAX_BYTES } from '../wire/limits.ts';
import { dialForPackets, type PacketDial } from './alertmanager-dial.ts';
import { reset } from './endings.ts';
import type { AcceptedStream } from './engine.ts';
import { judge, type Keep, refuseUnread } from './judge.ts';
import { createPacketGate, type PacketGate, passedPacket } from './packet-gate.ts';
import { createPacketPeer, type PacketPeer } from './packet-peer.ts';
import type { Connection } from './streams.ts';

const NO_BYTES = Buffer.alloc(0);
const WHERE = { transport: 'alertmanager', kind: 'packet' } as const;

/** What the length fields inside a frame may grow by when a label or a seal makes its packet longer. */
const LENGTH_FIELDS_MAX_BYTES = 8;

/** Chunks of an unfinished frame that are held apart: each costs far more memory than the single byte that it may hold. */
export const HELD_CHUNKS_MAX = 1024;

export class AlertmanagerPackets implements Connection {
  readonly #parts: PacketDial;
  readonly #socket: Socket;
  readonly #stream: AcceptedStream<Socket>;
  readonly #gate: PacketGate;
  readonly #peer: PacketPeer;
  #upstream: Socket | undefined;
  /** What has arrived of frames that were not taken yet. */
  #chunks: Buffer[] = [];
  #heldBytes = 0;
  #needBytes = 0;
  /** Runs from the first bytes of an unfinished frame on; a connection may rest between frames. */
  #unfinished: NodeJS.Timeout | undefined;
  /** Runs while the other side is full, or still has to take what came before the end. */
  #stalled: NodeJS.Timeout | undefined;
  #ended = false;
  /** The first frame waits until it is known who the peer is, and nothing is read meanwhile; or it did, and may not again. */
  #doubt: 'waits' | 'waited' | undefined;
  /** Bytes that are no frames, passed on untouched (`observe` alone). */
  #blind = false;

  /** `socket` is paused, and its first frame, not yet read, is a packet. */
  constructor(parts: PacketDial, socket: Socket, stream: AcceptedStream<Socket>) {
    this.#parts = parts;
    this.#socket = socket;
    this.#stream = stream;
    this.#gate = createPacketGate(parts.context, stream.direction, 'alertmanager');
    this.#peer = createPacketPeer(stream.peer.address, stream.peer.port);
  }

  start(onDone: () => void): void {
    const socket = this.#socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#heldBytes += chunk.length;
      if (this.#chunks.length > HELD_CHUNKS_MAX) this.#join();
      this.#read();
    });
    socket.on('end', () => {
      this.#ended = true;
      this.#read();
    });
    socket.on('close', () => {
      clearTimeout(this.#unfinished);
      const upstream = this.#upstream;
      // Frames are whole or not sent, but an end that was none must not look like one.
      if (upstream !== undefined && !this.#ended) reset(upstream);
      if (upstream === undefined || upstream.closed) onDone();
      else upstream.on('close', onDone);
    });
    socket.resume();
  }

  cut(): void {
    if (this.#upstream !== undefined) reset(this.#upstream);
    reset(this.#socket);
  }

  /** Takes what has arrived, until more is needed or the other side is full. */
  #read(): void {
    while (!this.#socket.destroyed && !this.#isFull() && this.#doubt !== 'waits') {
      if (this.#heldBytes === 0 || this.#heldBytes < this.#needBytes) break;
      if (this.#blind) {
        if (this.#parts.context.snapshot().settings.stage === 'observe') this.#write(this.#take(this.#heldBytes));
        else this.#malformed('alertmanager_malformed');
        break;
      }
      const held = this.#join();
      const frame = decodeAlertmanagerFrame(held);
      if (frame.ok && !frame.done) {
        this.#needBytes = frame.needBytes;
        break;
      }
      // Nobody sends a stream after packets; what it would be is Alertmanager's secret.
      if (!frame.ok) this.#malformed(frame.reason);
      else if (frame.kind === 'stream') this.#malformed('alertmanager_malformed');
      else this.#packet(frame, held.subarray(0, frame.end));
    }
    if (!this.#socket.destroyed) this.#wait();
  }

  /** Sees to it that reading goes on, or ends, within bounds. */
  #wait(): void {
    const waits = this.#doubt === 'waits';
    if (waits || this.#isFull()) {
      this.#socket.pause();
      if (!waits) this.#stalls();
      else clearTimeout(this.#unfinished); // It is whole: from now on we take the time.
      return;
    }
    if (!this.#ended) {
      clearTimeout(this.#stalled);
      this.#stalled = undefined;
      this.#socket.resume();
      if (this.#heldBytes > 0) {
        const { headerTimeoutMs } = this.#parts.settings.limits;
        this.#unfinished ??= setTimeout(() => this.#cutFor('header_timeout'), headerTimeoutMs);
      }
      return;
    }
    if (this.#heldBytes > 0) this.#judge('alertmanager_malformed');
    if (this.#upstream === undefined) this.#socket.destroy();
    else {
      const upstream = this.#upstream;
      this.#stalls();
      // Alertmanager does not close a connection that has ended (tls_transport.go `handle`).
      upstream.end(() => upstream.destroy());
      this.#socket.end();
    }
  }

  /** From now on the other side has the idle time to take what it was given. */
  #stalls(): void {
    const { settings, context } = this.#parts;
    const { direction, peer } = this.#stream;
    const { idleTimeoutMs } = settings.limits;
    this.#stalled ??= setTimeout(() => {
      const side = direction === 'inbound' ? 'the app' : `the peer ${formatEndpoint(peer)}`;
      context.tally.cut({ ...WHERE, direction }, 'idle_timeout');
      context.onFault({
        code: `packets_stalled_${direction}`,
        message: `${side} took no packet for ${idleTimeoutMs} ms; the connection was cut`,
      });
      this.cut();
    }, idleTimeoutMs);
  }

  #packet(frame: AlertmanagerFrame, whole: Buffer): void {
    const { context } = this.#parts;
    const gate = this.#gate;
    const { msg } = frame;
    const atMs = context.now();
    const keep = this.#doubt === 'waited' ? undefined : this.#keep;
    const passes = gate.pass(msg, 0, msg.length, this.#peer, atMs, keep);
    if (this.#doubt === 'waits') return;
    this.#doubt = undefined;
    if (!passes) {
      this.#take(frame.end);
      return;
    }
    const kept = gate.memory === msg && gate.length === msg.length && !gate.prefixed;
    const grownBytes = (gate.prefixed ? gate.header.length : 0) + gate.length - msg.length;
    if (kept) this.#write(whole);
    else if (frame.end + grownBytes + LENGTH_FIELDS_MAX_BYTES > ALERTMANAGER_FRAME_MAX_BYTES) {
      context.tally.dropped('send_failed');
    } else {
      this.#write(encodeAlertmanagerFrame({ kind: 'packet', from: frame.from, msg: passedPacket(gate) }));
    }
    this.#take(frame.end);
    context.tally.forwarded(this.#stream.direction, 'packet', (context.now() - atMs) / 1000);
  }

  readonly #keep: Keep = () => {
    this.#doubt = 'waits';
    return () => {
      this.#doubt = 'waited';
      this.#read();
    };
  };

  #malformed(state: FrameState): void {
    if (this.#judge(state) === 'reject') this.cut();
    else this.#blind = true;
  }

  #judge(state: FrameState): 'pass' | 'reject' {
    const { context } = this.#parts;
    const { direction, peer } = this.#stream;
    const bytes = this.#heldBytes;
    return judge(context, { ...WHERE, direction, state, peer, label: NO_BYTES, bytes, handshake: true }).verdict;
  }

  #cutFor(reason: LimitedReason): void {
    const { direction, peer } = this.#stream;
    const frame = { ...WHERE, direction, peer, labelState: 'malformed', bytes: this.#heldBytes } as const;
    refuseUnread(this.#parts.context, frame, reason);
    this.cut();
  }

  /** One buffer of all that is held. */
  #join(): Buffer {
    if (this.#chunks.length < 2) return this.#chunks[0] ?? NO_BYTES;
    const held = Buffer.concat(this.#chunks);
    this.#chunks = [held];
    return held;
  }

  /** Takes the first `bytes` of what is held. */
  #take(bytes: number): Buffer {
    const held = this.#join();
    this.#heldBytes -= bytes;
    this.#needBytes = 0;
    clearTimeout(this.#unfinished);
    this.#unfinished = undefined;
    this.#chunks = this.#heldBytes === 0 ? [] : [held.subarray(bytes)];
    return held.subarray(0, bytes);
  }

  #isFull(): boolean {
    return this.#upstream?.writableNeedDrain === true;
  }

  /** One frame, in one write of its own (tls-socket.ts). */
  #write(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#upstream ??= dialForPackets(this.#parts, this.#stream, {
      onDrain: () => this.#read(),
      onGone: () => {
        // One that has ended may still hang with what it was given.
        if (this.#upstream?.closed !== false) clearTimeout(this.#stalled);
        reset(this.#socket);
      },
    });
    this.#upstream?.write(bytes);
  }
}
