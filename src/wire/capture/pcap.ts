/**
 * pcap files: a header of 24 bytes, then records of 16 bytes and what was captured, in the writer's byte order.
 *
 *   magic(4) major(2) minor(2) zone(4) accuracy(4) snaplen(4) network(4)
 *   seconds(4) fraction(4) captured(4) on-the-wire(4) bytes[captured]
 *
 * After the IETF draft draft-ietf-opsawg-pcap; the magic tells byte order and whether fractions are micro- or nanoseconds.
 */
import type { ByteQueue } from './byte-queue.ts';
import { BIG_ENDIAN, type ByteOrder, LITTLE_ENDIAN, u32be } from './bytes.ts';
import type { CaptureFailure, FormatReader, OnFrame } from './frame.ts';
import { RECORD_MAX_BYTES } from './limits.ts';

const HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const VERSION_MAJOR = 2;
const VERSION_MINOR = 4;

/** The upper bits say how long a frame's checksum is; the link type is below them. */
const LINK_TYPE_MASK = 0xffff;

interface Variant {
  readonly order: ByteOrder;
  readonly fractionsPerMs: number;
}

/** The first four bytes, read as big-endian. */
const VARIANTS: ReadonlyMap<number, Variant> = new Map([
  [0xa1b2c3d4, { order: BIG_ENDIAN, fractionsPerMs: 1e3 }],
  [0xd4c3b2a1, { order: LITTLE_ENDIAN, fractionsPerMs: 1e3 }],
  [0xa1b23c4d, { order: BIG_ENDIAN, fractionsPerMs: 1e6 }],
  [0x4d3cb2a1, { order: LITTLE_ENDIAN, fractionsPerMs: 1e6 }],
]);

/** Whether the four bytes of `magic` start a pcap file. */
export function isPcap(magic: Uint8Array): boolean {
  return VARIANTS.has(u32be(magic, 0));
}

/** Reads a pcap file from its magic on. */
export function createPcapReader(queue: ByteQueue, onFrame: OnFrame): FormatReader {
  let variant: Variant | undefined;
  let linkType = 0;
  let frames = 0;

  const readHeader = (): boolean | CaptureFailure => {
    const header = queue.peek(HEADER_BYTES);
    if (header === undefined) return false;
    const { order } = VARIANTS.get(u32be(header, 0)) ?? { order: BIG_ENDIAN };
    if (order.u16(header, 4) !== VERSION_MAJOR || order.u16(header, 6) !== VERSION_MINOR) {
      return { reason: 'version_unknown', at: queue.offset() };
    }
    variant = VARIANTS.get(u32be(header, 0));
    linkType = order.u32(header, 20) & LINK_TYPE_MASK;
    queue.skip(HEADER_BYTES);
    return true;
  };

  const readRecord = ({ order, fractionsPerMs }: Variant): boolean | CaptureFailure => {
    const header = queue.peek(RECORD_HEADER_BYTES);
    if (header === undefined) return false;
    const captured = order.u32(header, 8);
    if (captured > RECORD_MAX_BYTES) return { reason: 'record_length', at: queue.offset() };
    const record = queue.peek(RECORD_HEADER_BYTES + captured);
    if (record === undefined) return false;
    const atMs = order.u32(record, 0) * 1e3 + order.u32(record, 4) / fractionsPerMs;
    // Some writers leave the length on the wire smaller than what they captured.
    const wireBytes = Math.max(captured, order.u32(record, 12));
    onFrame({ number: ++frames, atMs, linkType, bytes: record.subarray(RECORD_HEADER_BYTES), wireBytes });
    queue.skip(RECORD_HEADER_BYTES + captured);
    return true;
  };

  return {
    step: () => (variant === undefined ? readHeader() : readRecord(variant)),
    end: () => undefined,
  };
}
