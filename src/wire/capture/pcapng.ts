/**
 * pcapng files: sections of blocks, each `type(4) length(4) body length(4)` in its section's byte order.
 *
 *   section header     0x0a0d0d0a length magic(4: 1a2b3c4d) major(2) minor(2) section-length(8) options
 *   interface          1 length link(2) reserved(2) snaplen(4) options
 *   enhanced packet    6 length interface(4) time-high(4) time-low(4) captured(4) on-the-wire(4) bytes, padded to 4
 *   packet (obsolete)  2 the same, with interface(2) drops(2)
 *   simple packet      3 length on-the-wire(4) bytes, padded to 4; of interface 0, without a time
 *
 * After the IETF draft draft-ietf-opsawg-pcapng. Blocks of other types are skipped. Options read: if_tsresol, if_tsoffset.
 */
import type { ByteQueue } from './byte-queue.ts';
import { BIG_ENDIAN, type ByteOrder, LITTLE_ENDIAN, u32be } from './bytes.ts';
import type { CaptureFailure, CaptureReason, FormatReader, OnFrame } from './frame.ts';
import { BLOCK_MAX_BYTES, INTERFACES_MAX } from './limits.ts';

const BLOCK = { interface: 1, packet: 2, simple: 3, enhanced: 6, section: 0x0a0d0d0a } as const;
/** The byte-order mark of a section, as a big-endian writer has it, and as a little-endian one. */
const MARK_BIG = 0x1a2b3c4d;
const MARK_LITTLE = 0x4d3c2b1a;
/** Type and length in front, length behind. */
const FRAME_BYTES = 12;
const OPTION = { end: 0, timeResolution: 9, timeOffset: 14 } as const;

/** Smallest lengths of the blocks that are read: their fixed fields and the frame around them. */
const SHORTEST: Readonly<Record<number, number>> = {
  [BLOCK.section]: 28,
  [BLOCK.interface]: 20,
  [BLOCK.packet]: 32,
  [BLOCK.simple]: 16,
  [BLOCK.enhanced]: 32,
};

interface Interface {
  readonly linkType: number;
  readonly snapBytes: number;
  readonly ticksPerMs: number;
  readonly offsetMs: number;
}

/** Whether the four bytes of `magic` start a pcapng file; the number reads the same in both orders. */
export function isPcapng(magic: Uint8Array): boolean {
  return u32be(magic, 0) === BLOCK.section;
}

/** Reads a pcapng file from its first section on. */
export function createPcapngReader(queue: ByteQueue, onFrame: OnFrame): FormatReader {
  let order: ByteOrder = BIG_ENDIAN;
  let interfaces: Interface[] = [];
  let skipBytes = 0;
  let frames = 0;

  const fail = (reason: CaptureReason): CaptureFailure => ({ reason, at: queue.offset() });

  const emit = (from: Interface, atMs: number | undefined, bytes: Uint8Array, wireBytes: number) =>
    onFrame({ number: ++frames, atMs, linkType: from.linkType, bytes, wireBytes: Math.max(wireBytes, bytes.length) });

  const readPacket = (block: Uint8Array, id: number): CaptureReason | undefined => {
    const from = interfaces[id];
    if (from === undefined) return 'interface_unknown';
    const captured = order.u32(block, 20);
    if (captured > block.length - 32) return 'block_length';
    const ticks = order.u32(block, 12) * 2 ** 32 + order.u32(block, 16);
    const atMs = ticks / from.ticksPerMs + from.offsetMs;
    emit(from, atMs, block.subarray(28, 28 + captured), order.u32(block, 24));
    return undefined;
  };

  const readSimple = (block: Uint8Array): CaptureReason | undefined => {
    const [from] = interfaces;
    if (from === undefined) return 'interface_unknown';
    const wireBytes = order.u32(block, 8);
    const room = block.length - 16;
    const captured = Math.min(wireBytes, from.snapBytes === 0 ? room : from.snapBytes, room);
    emit(from, undefined, block.subarray(12, 12 + captured), wireBytes);
    return undefined;
  };

  const readBlock = (type: number, block: Uint8Array): CaptureReason | undefined => {
    if (order.u32(block, block.length - 4) !== block.length) return 'block_length';
    if (type === BLOCK.section) interfaces = [];
    else if (type === BLOCK.enhanced) return readPacket(block, order.u32(block, 8));
    else if (type === BLOCK.packet) return readPacket(block, order.u16(block, 8));
    else if (type === BLOCK.simple) return readSimple(block);
    else if (interfaces.length === INTERFACES_MAX) return 'interfaces_limit';
    else interfaces.push(readInterface(block, order));
    return undefined;
  };

  const step = (): boolean | CaptureFailure => {
    if (skipBytes > 0) {
      skipBytes -= queue.skip(skipBytes);
      return skipBytes === 0;
    }
    const head = queue.peek(FRAME_BYTES);
    if (head === undefined) return false;
    const section = u32be(head, 0) === BLOCK.section;
    if (section) {
      const mark = u32be(head, 8);
      if (mark !== MARK_BIG && mark !== MARK_LITTLE) return fail('byte_order');
      order = mark === MARK_BIG ? BIG_ENDIAN : LITTLE_ENDIAN;
    }
    const type = order.u32(head, 0);
    const length = order.u32(head, 4);
    const shortest = SHORTEST[type];
    if (length % 4 !== 0 || length < (shortest ?? FRAME_BYTES)) return fail('block_length');
    if (shortest === undefined) {
      skipBytes = length;
      return true;
    }
    if (length > BLOCK_MAX_BYTES) return fail('block_length');
    const block = queue.peek(length);
    if (block === undefined) return false;
    const wrong = readBlock(type, block);
    if (wrong !== undefined) return fail(wrong);
    queue.skip(length);
    return true;
  };

  return { step, end: () => undefined };
}

function readInterface(block: Uint8Array, order: ByteOrder): Interface {
  let ticksPerMs = 1e3;
  let offsetMs = 0;
  const end = block.length - 4;
  for (let at = 16; at + 4 <= end; ) {
    const code = order.u16(block, at);
    const size = order.u16(block, at + 2);
    const value = at + 4;
    if (code === OPTION.end || value + size > end) break;
    if (code === OPTION.timeResolution && size === 1) ticksPerMs = ticksPerMsOf(block[value] ?? 0);
    if (code === OPTION.timeOffset && size === 8) offsetMs = signed64(block, value, order) * 1e3;
    at = value + Math.ceil(size / 4) * 4;
  }
  return { linkType: order.u16(block, 8), snapBytes: order.u32(block, 12), ticksPerMs, offsetMs };
}

/** if_tsresol: a negative power of ten, or of two when the top bit is set. */
function ticksPerMsOf(resolution: number): number {
  const perSecond = resolution & 0x80 ? 2 ** (resolution & 0x7f) : 10 ** resolution;
  return perSecond / 1e3;
}

/** As a number: exact for every offset that is a time. */
function signed64(bytes: Uint8Array, at: number, order: ByteOrder): number {
  const big = order === BIG_ENDIAN;
  return (order.u32(bytes, big ? at : at + 4) | 0) * 2 ** 32 + order.u32(bytes, big ? at + 4 : at);
}
