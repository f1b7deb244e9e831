/**
 * The start of a TCP exchange, read as it arrives, in any chunking:
 *
 *   native         [244 len8 label] message
 *   dskit stream   2 [244 len8 label] message
 *   dskit packet   1 len8 addr[len8] [244 len8 label] message … digest(16)
 *   alertmanager   STREAM frame [244 len8 label] message
 *   tls            22 …
 *
 * Mirrors memberlist label.go `RemoveLabelHeaderFromStream` and dskit tcp_transport.go `handleConnection`. The decoder waits for
 * the byte after a label, or for the end, because a second header is refused; it holds at most STREAM_HEADER_MAX_BYTES. An
 * Alertmanager connection of packets is no exchange: whoever takes those tells it apart by its first frame (wire/alertmanager.ts).
 */
import { decodeAlertmanagerFrame } from './alertmanager.ts';
import { DSKIT_DIGEST_BYTES, LABEL_HEADER_BYTES, LABEL_MAX_BYTES } from './limits.ts';
import { MESSAGE_TYPE } from './message-type.ts';
import type { MalformedReason } from './reason.ts';
import { DSKIT_STREAM, detectTransport, type Transport, type TransportSetting } from './transport.ts';

/**
 * Type byte, address length and address, label header, the byte that shows there is no second header, and a digest. Under
 * Alertmanager's setting a frame (ALERTMANAGER_FRAME_MAX_BYTES and its length) stands in the place of dskit's prefix.
 */
export const STREAM_HEADER_MAX_BYTES = 1 + 1 + 255 + LABEL_HEADER_BYTES + LABEL_MAX_BYTES + 1 + DSKIT_DIGEST_BYTES;

/** What the start of an exchange says. Offsets count from the first byte of the connection. */
export interface StreamHeader {
  readonly transport: Transport;
  /** A dskit packet connection carries one packet; everything else is a stream. */
  readonly kind: 'packet' | 'stream';
  /** The label's bytes, a copy; empty when there is none, when the bytes are malformed, and for TLS. */
  readonly label: Uint8Array;
  /** Where the label header starts or would stand: after the dskit prefix, or after Alertmanager's STREAM frame. */
  readonly labelAt: number;
  /** Where the message starts: after the label header. Equal to `labelAt` without one. */
  readonly bodyAt: number;
  readonly malformed: MalformedReason | undefined;
  /** The first byte of the message (of streams), undefined when the exchange ended before it. */
  readonly messageType: number | undefined;
}

export type StreamHeaderState = { readonly done: false } | { readonly done: true; readonly header: StreamHeader };

const NEED_MORE: StreamHeaderState = { done: false };
const NO_BYTES = new Uint8Array(0);

/** Reads a StreamHeader out of `bytes`, all that has arrived so far; `ended` says that no more will come. Total and pure. */
export function decodeStreamHeader(bytes: Uint8Array, ended: boolean, setting: TransportSetting): StreamHeaderState {
  const first = bytes[0];
  if (first === undefined) return NEED_MORE;
  const transport = detectTransport(first, setting);
  if (transport === 'tls') return done(transport, 'stream', 0, undefined, first);
  if (transport === 'unknown') return done(transport, 'stream', 0, 'stream_unknown_type', first);
  if (transport === 'alertmanager') return decodeAlertmanagerStream(bytes, ended);
  if (transport === 'native') return decodeLabel(bytes, bytes.length, ended, transport, 'stream', 0);
  if (first === DSKIT_STREAM) return decodeLabel(bytes, bytes.length, ended, transport, 'stream', 1);
  return decodeDskitPacket(bytes, ended);
}

/** What a dskit packet connection, of which `bytes` is the start, says of its sender: the advertised `ip:port` as it wrote it (bytes as latin1); a hint, not proof. */
export function advertisedAddress({ transport, kind, labelAt }: StreamHeader, bytes: Uint8Array): string {
  if (transport !== 'dskit' || kind !== 'packet') return '';
  return Buffer.from(bytes.subarray(2, labelAt)).toString('latin1');
}

function decodeAlertmanagerStream(bytes: Uint8Array, ended: boolean): StreamHeaderState {
  const transport = 'alertmanager';
  const frame = decodeAlertmanagerFrame(bytes);
  if (!frame.ok) return done(transport, 'stream', 0, frame.reason, undefined);
  const malformed = 'alertmanager_malformed';
  if (!frame.done) return ended ? done(transport, 'stream', 0, malformed, undefined) : NEED_MORE;
  if (frame.kind === 'packet') return done(transport, 'packet', 0, malformed, undefined);
  return decodeLabel(bytes, bytes.length, ended, transport, 'stream', frame.end);
}

function decodeDskitPacket(bytes: Uint8Array, ended: boolean): StreamHeaderState {
  const addressBytes = bytes[1];
  const labelAt = 2 + (addressBytes ?? 0);
  // Shorter than a digest: dskit refuses it ("not enough data received"), and so the digest is never read as a label.
  if (addressBytes === undefined || bytes.length < labelAt + DSKIT_DIGEST_BYTES) {
    return ended ? done('dskit', 'packet', 0, 'dskit_truncated', undefined) : NEED_MORE;
  }
  // What ends the connection is the digest, so the packet itself ends DSKIT_DIGEST_BYTES before the last byte.
  return decodeLabel(bytes, bytes.length - DSKIT_DIGEST_BYTES, ended, 'dskit', 'packet', labelAt);
}

/** The label header that stands at `labelAt`, or does not; the message ends before `end`. */
function decodeLabel(
  bytes: Uint8Array,
  end: number,
  ended: boolean,
  transport: Transport,
  kind: StreamHeader['kind'],
  labelAt: number,
): StreamHeaderState {
  const first = labelAt < end ? bytes[labelAt] : undefined;
  if (first === undefined) return ended ? done(transport, kind, labelAt, undefined, undefined) : NEED_MORE;
  if (first !== MESSAGE_TYPE.hasLabel) return done(transport, kind, labelAt, undefined, first);
  const size = labelAt + 1 < end ? bytes[labelAt + 1] : undefined;
  if (size === 0) return done(transport, kind, labelAt, 'label_empty', undefined);
  const bodyAt = labelAt + LABEL_HEADER_BYTES + (size ?? 0);
  if (size === undefined || end < bodyAt) {
    return ended ? done(transport, kind, labelAt, 'label_truncated', undefined) : NEED_MORE;
  }
  const messageType = bodyAt < end ? bytes[bodyAt] : undefined;
  if (messageType === undefined && !ended) return NEED_MORE;
  if (messageType === MESSAGE_TYPE.hasLabel) return done(transport, kind, labelAt, 'label_double', undefined);
  // Not `slice`: a Buffer's is a view, and would keep (and follow) the caller's memory.
  const label = new Uint8Array(size);
  for (let i = 0; i < size; i++) label[i] = bytes[labelAt + LABEL_HEADER_BYTES + i] as number;
  return { done: true, header: { transport, kind, label, labelAt, bodyAt, malformed: undefined, messageType } };
}

/** A header without a label that can be read. */
function done(
  transport: Transport,
  kind: StreamHeader['kind'],
  labelAt: number,
  malformed: MalformedReason | undefined,
  messageType: number | undefined,
): StreamHeaderState {
  const header = { transport, kind, label: NO_BYTES, labelAt, bodyAt: labelAt, malformed, messageType };
  return { done: true, header };
}
