/**
 * Alertmanager's frames, inside its TLS connections:
 *
 *   len32 (little-endian) MemberlistMessage{1 version, 2 kind (0 STREAM, 1 PACKET), 3 from_addr, 4 msg}
 *
 * Packets repeat on one connection, each with its label header inside `msg`; one STREAM frame is followed by a native stream. Mirrors
 * alertmanager cluster/tls_connection.go `read`, `writePacket` and `writeStream`.
 *
 * Alertmanager's `read` makes a buffered reader anew for each frame, so whatever shares a TLS record with the end of a frame is lost: whoever
 * forwards frames writes one, waits until it is written, and only then the next (node:tls joins writes that wait into one record).
 * And it reserves the announced length before a byte of it is there (wire-protocol §6 row 10).
 */
import { ALERTMANAGER_FRAME_MAX_BYTES } from './limits.ts';
import { encodeProto, ProtoReader } from './protobuf.ts';
import type { MalformedReason } from './reason.ts';

const LENGTH_BYTES = 4;

/** tls_connection.go `version`: any other is refused. */
const VERSION = 'v0.1.0';
const KINDS = ['stream', 'packet'] as const;

export interface AlertmanagerMessage {
  readonly kind: (typeof KINDS)[number];
  /** The sender's listen address as it wrote it; a hint, not proof. Empty for a stream. */
  readonly from: string;
  /** A packet's bytes, its label header first, a view; empty for a stream, whose `msg` Alertmanager does not look at. */
  readonly msg: Uint8Array;
}

export interface AlertmanagerFrame extends AlertmanagerMessage {
  readonly ok: true;
  readonly done: true;
  /** Offset of `msg` in the bytes; `end` when it is empty. */
  readonly msgAt: number;
  /** Offset of the first byte after the frame. */
  readonly end: number;
}

/** `needBytes`: how many bytes have to be there before another try makes sense. */
export type AlertmanagerFrameState =
  | AlertmanagerFrame
  | { readonly ok: true; readonly done: false; readonly needBytes: number }
  | { readonly ok: false; readonly reason: MalformedReason; readonly at: number };

/**
 * Reads the frame at the start of `bytes`. Total and pure; a frame over ALERTMANAGER_FRAME_MAX_BYTES is refused by its length alone. Of a
 * repeated field the last counts, unknown fields are skipped, as in every protobuf reader. A known field of the wrong wire type is refused,
 * as gogo/protobuf does (Alertmanager up to 0.31; the library of later releases skips it).
 */
export function decodeAlertmanagerFrame(bytes: Uint8Array): AlertmanagerFrameState {
  if (bytes.length < LENGTH_BYTES) return { ok: true, done: false, needBytes: LENGTH_BYTES };
  const size = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
  if (size > ALERTMANAGER_FRAME_MAX_BYTES) return { ok: false, reason: 'alertmanager_oversize', at: 0 };
  const end = LENGTH_BYTES + size;
  if (bytes.length < end) return { ok: true, done: false, needBytes: end };
  const reader = new ProtoReader(bytes, LENGTH_BYTES, end);
  let version = '';
  let kindNumber = 0;
  let from = '';
  let msg = bytes.subarray(end, end);
  let msgAt = end;
  while (reader.next()) {
    if (reader.field === 1) version = reader.text();
    else if (reader.field === 2) kindNumber = reader.int32();
    else if (reader.field === 3) from = reader.text();
    else if (reader.field === 4) {
      msg = reader.bytes();
      msgAt = reader.valueAt;
    }
  }
  const kind = KINDS[kindNumber];
  if (reader.failure !== undefined || version !== VERSION || kind === undefined) {
    return { ok: false, reason: 'alertmanager_malformed', at: reader.failure?.at ?? LENGTH_BYTES };
  }
  if (kind === 'packet' && msg.length > 0) return { ok: true, done: true, kind, from, msg, msgAt, end };
  return { ok: true, done: true, kind, from, msg: bytes.subarray(end, end), msgAt: end, end };
}

/**
 * A frame as Alertmanager writes it, a new buffer; `from` is written for packets only. Throws a RangeError when it is too long to
 * be read again: `msg` is at most what was decoded and a label.
 */
export function encodeAlertmanagerFrame({ kind, from, msg }: AlertmanagerMessage): Uint8Array {
  const isPacket = kind === 'packet';
  const body = encodeProto([
    [1, VERSION],
    [2, isPacket],
    [3, isPacket ? from : ''],
    [4, isPacket ? msg : new Uint8Array(0)],
  ]);
  if (body.length > ALERTMANAGER_FRAME_MAX_BYTES) throw new RangeError(`a frame of ${body.length} bytes is too long`);
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setUint32(0, body.length, true);
  return Buffer.concat([length, body]);
}
