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
  /** dskit packet: the sender's advertised `ip:port` as it wrote it (bytes as latin1); a hint, not proof. */
  readonly advertised: string;
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
  if (transport === 'tls') return done({ transport, messageType: first });
  if (transport === 'unknown') return done({ transport, malformed: 'stream_unknown_type', messageType: first });
  if (transport === 'alertmanager') return decodeAlertmanagerStream(bytes, ended);
  if (transport === 'native')
    return decodeLabel(bytes, ended, { transport, kind: 'stream', labelAt: 0, advertised: '' });
  if (first === DSKIT_STREAM)
    return decodeLabel(bytes, ended, { transport, kind: 'stream', labelAt: 1, advertised: '' });
  return decodeDskitPacket(bytes, ended);
}

function decodeAlertmanagerStream(bytes: Uint8Array, ended: boolean): StreamHeaderState {
  const transport = 'alertmanager';
  const frame = decodeAlertmanagerFrame(bytes);
  if (!frame.ok) return done({ transport, malformed: frame.reason });
  const malformed = 'alertmanager_malformed';
  if (!frame.done) return ended ? done({ transport, malformed }) : NEED_MORE;
  if (frame.kind === 'packet') return done({ transport, kind: 'packet', malformed });
  return decodeLabel(bytes, ended, { transport, kind: 'stream', labelAt: frame.end, advertised: '' });
}

function decodeDskitPacket(bytes: Uint8Array, ended: boolean): StreamHeaderState {
  const transport = 'dskit';
  const kind = 'packet';
  const addressBytes = bytes[1];
  const truncated = () => (ended ? done({ transport, kind, malformed: 'dskit_truncated' }) : NEED_MORE);
  if (addressBytes === undefined) return truncated();
  const labelAt = 2 + addressBytes;
  if (bytes.length < labelAt) return truncated();
  // Shorter than a digest: dskit refuses it ("not enough data received"), and so the digest is never read as a label.
  if (bytes.length < labelAt + DSKIT_DIGEST_BYTES) {
    if (ended) return truncated();
    return NEED_MORE;
  }
  const advertised = Buffer.from(bytes.subarray(2, labelAt)).toString('latin1');
  // What ends the connection is the digest, so the packet itself ends DSKIT_DIGEST_BYTES before the last byte.
  const packet = bytes.subarray(0, bytes.length - DSKIT_DIGEST_BYTES);
  return decodeLabel(packet, ended, { transport, kind, labelAt, advertised });
}

type Place = Pick<StreamHeader, 'transport' | 'kind' | 'labelAt' | 'advertised'>;

function decodeLabel(bytes: Uint8Array, ended: boolean, place: Place): StreamHeaderState {
  const { labelAt } = place;
  const first = bytes[labelAt];
  if (first === undefined) return ended ? done({ ...place, bodyAt: labelAt }) : NEED_MORE;
  if (first !== MESSAGE_TYPE.hasLabel) return done({ ...place, bodyAt: labelAt, messageType: first });
  const size = bytes[labelAt + 1];
  if (size === 0) return done({ ...place, malformed: 'label_empty' });
  const bodyAt = labelAt + LABEL_HEADER_BYTES + (size ?? 0);
  if (size === undefined || bytes.length < bodyAt) {
    return ended ? done({ ...place, malformed: 'label_truncated' }) : NEED_MORE;
  }
  const next = bytes[bodyAt];
  if (next === undefined && !ended) return NEED_MORE;
  if (next === MESSAGE_TYPE.hasLabel) return done({ ...place, malformed: 'label_double' });
  // Not `slice`: a Buffer's is a view, and would keep (and follow) the caller's memory.
  const label = new Uint8Array(bytes.subarray(labelAt + LABEL_HEADER_BYTES, bodyAt));
  return done({ ...place, bodyAt, label, messageType: next });
}

function done(known: Partial<StreamHeader> & Pick<StreamHeader, 'transport'>): StreamHeaderState {
  const header: StreamHeader = {
    kind: 'stream',
    label: NO_BYTES,
    labelAt: 0,
    bodyAt: known.labelAt ?? 0,
    advertised: '',
    malformed: undefined,
    messageType: undefined,
    ...known,
  };
  return { done: true, header };
}
