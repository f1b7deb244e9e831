/** What a capture gives, whatever its file format: frames, or why there are no more. */

export type CaptureFormat = 'pcap' | 'pcapng' | 'hex';

/** One captured frame. */
export interface CapturedFrame {
  /** Counted from 1, as Wireshark and tcpdump do. */
  readonly number: number;
  /** Milliseconds since the epoch, with a fraction; undefined where the capture has no times. */
  readonly atMs: number | undefined;
  /** What the bytes start with: see link.ts. */
  readonly linkType: number;
  /** What was captured; a view that is good until the callback returns. */
  readonly bytes: Uint8Array;
  /** What was on the wire: more than `bytes.length` when a snapshot length cut the frame. */
  readonly wireBytes: number;
}

export type OnFrame = (frame: CapturedFrame) => void;

/** Why reading stopped. Only append. */
export const CAPTURE_REASONS = [
  'empty',
  'not_a_capture',
  'version_unknown',
  'record_length',
  'block_length',
  'byte_order',
  'interface_unknown',
  'interfaces_limit',
  'hex_line',
  'hex_length',
] as const;
export type CaptureReason = (typeof CAPTURE_REASONS)[number];

/** A sentence each, for people. */
export const CAPTURE_SENTENCES = {
  empty: 'there is nothing in it',
  not_a_capture: 'neither pcap, pcapng nor hex text',
  version_unknown: 'a pcap file of an unknown version',
  record_length: 'a pcap record claims more bytes than any capture holds',
  block_length: 'a pcapng block has an impossible length',
  byte_order: 'a pcapng section has no byte-order mark',
  interface_unknown: 'a pcapng packet names an interface that was not described',
  interfaces_limit: 'a pcapng section has too many interfaces',
  hex_line: 'a line that is no hex text',
  hex_length: 'a line or a frame of hex text is too long',
} as const satisfies Record<CaptureReason, string>;

export interface CaptureFailure {
  readonly reason: CaptureReason;
  /** Offset in the file of the record, block or line. */
  readonly at: number;
}

/** One format's reading, fed from a queue. */
export interface FormatReader {
  /** Reads one record: true when it did and may go on, false when it needs more bytes, or why it cannot go on. */
  step(): boolean | CaptureFailure;
  /** The bytes have ended: reads what only the end completes, or says what is wrong with it. */
  end(): CaptureFailure | undefined;
}
