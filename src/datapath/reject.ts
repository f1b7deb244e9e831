/**
 * How a rejected stream is told so. A dialler of a push/pull writes its whole state before it reads, so the answer must wait in its
 * receive buffer while we read the rest: closing early would reset the connection and lose the answer.
 */
import type { Direction } from '../policy/facts.ts';
import { type RejectReason, SHIELD_REASONS } from '../policy/reason.ts';
import { encodeErrorFrame } from '../wire/error-frame.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { MALFORMED_REASONS } from '../wire/reason.ts';
import type { StreamHeader } from '../wire/stream-header.ts';
import { reset } from './endings.ts';
import type { StreamSettings } from './engine.ts';
import { IdleOwner, type SocketOwner, type StreamSocket } from './socket.ts';
import type { Timer, Timers } from './timers.ts';
import type { Watch } from './watch.ts';

/** Characters of a foreign label in an error text: enough to recognise it. */
const LABEL_TEXT_MAX_CHARS = 128;

const MALFORMED: ReadonlySet<string> = new Set(MALFORMED_REASONS);
const SHIELDED: ReadonlySet<string> = new Set(SHIELD_REASONS);

export interface RejectedStream {
  readonly header: StreamHeader;
  readonly direction: Direction;
  readonly reason: RejectReason;
  /** Seals an answer to an encrypted request; undefined for one that is not encrypted, and without keys. */
  readonly seal: ((answer: Uint8Array) => Uint8Array) | undefined;
  /** Reads along with what is drained; it was given what was read before. */
  readonly watch: Watch | undefined;
  readonly timers: Timers;
}

/** Answers the dialler of a rejected stream as `rejectStreams` says and closes the socket within the bounds; the result is to be told of its events. */
export function rejectStream(socket: StreamSocket, stream: RejectedStream, settings: StreamSettings): SocketOwner {
  const { header, seal } = stream;
  const { rejectStreams } = settings;
  const drain = new Drain(stream, settings);
  // Only memberlist streams can read an error frame, and the dialler of an encrypted one would refuse plaintext.
  const explainable =
    header.kind === 'stream' &&
    (header.transport === 'native' || header.transport === 'dskit' || isAlertmanagerStream(header)) &&
    (header.messageType !== MESSAGE_TYPE.encrypt || seal !== undefined);
  if (rejectStreams === 'explain' && explainable) {
    const answer = encodeErrorFrame(explain(stream));
    socket.end(seal === undefined ? answer : seal(answer));
    drain.start(socket);
  } else if (rejectStreams === 'silent' || (rejectStreams === 'explain' && header.kind === 'packet')) {
    drain.start(socket);
  } else reset(socket);
  return drain;
}

/** Whoever sent what is not even a STREAM frame may be one that only writes packets, and should dial again rather than be drained. */
function isAlertmanagerStream({ transport, labelAt }: StreamHeader): boolean {
  return transport === 'alertmanager' && labelAt > 0;
}

/** Reads and forgets what the dialler still writes, then closes; bounded in bytes and time. */
class Drain extends IdleOwner {
  readonly #watch: Watch | undefined;
  readonly #timers: Timers;
  readonly #limits: StreamSettings['limits'];
  #timer: Timer | undefined;
  #bytes = 0;

  constructor({ watch, timers }: RejectedStream, { limits }: StreamSettings) {
    super();
    this.#watch = watch;
    this.#timers = timers;
    this.#limits = limits;
  }

  start(socket: StreamSocket): void {
    this.#timer = this.#timers.set(this.#limits.rejectDrainMs, () => socket.destroy());
    if (socket.readableEnded) this.onEnd(socket);
    else socket.resume();
  }

  override onData(socket: StreamSocket, chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#limits.rejectDrainBytes) socket.destroy();
    else this.#watch?.push(chunk);
  }

  override onEnd(socket: StreamSocket): void {
    this.#watch?.end(true);
    socket.end();
  }

  override onClose(): void {
    this.#timer?.clear();
    this.#watch?.end(false);
  }
}

/** The sentence in the error frame. It names the dialler's label and never ours: a stranger is not told what would be accepted. */
function explain({ header, direction, reason }: RejectedStream): string {
  if (MALFORMED.has(reason)) return `ringfence: the stream's label header is malformed (${reason})`;
  if (reason === 'label_foreign') return `ringfence: label "${escapeLabel(header.label)}" is not accepted here`;
  if (reason === 'label_missing') return 'ringfence: streams without a label are not accepted here';
  if (SHIELDED.has(reason) || reason === 'hold_limit') return `ringfence: the stream is not let through (${reason})`;
  const side = direction === 'outbound' ? 'the peer that was dialled' : 'the peer';
  const label = header.label.length === 0 ? 'without a label' : `with label "${escapeLabel(header.label)}"`;
  return `ringfence: ${side} is not admitted (stream ${label})`;
}

/** Label bytes as printable ASCII, everything else as \\xNN, bounded; safe in any log line. */
export function escapeLabel(label: Uint8Array): string {
  let out = '';
  for (const byte of label) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    const next = plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
    if (out.length + next.length > LABEL_TEXT_MAX_CHARS) return `${out}…`;
    out += next;
  }
  return out;
}
