/**
 * A byte ring in shared memory that carries packets to inspect from a worker thread (one writer) to the main thread (one reader).
 * Nothing blocks and nothing is posted: a full ring leaves the packet out and counts it.
 *
 * Layout: i32 written, i32 taken (byte counts, wrapping at 2^32), i32 left out full, i32 left out too large, then CAPACITY bytes of
 * records, 8-byte aligned: u32 size, u32 payload bytes, f64 atMs, u8 direction, transport, kind, label state, flags (1 rejected, 2
 * answer), address bytes, label bytes, u8 unused, u16 port, 6 unused; then address (text), label, payload. A record that would cross
 * the end starts at the beginning, and WRAP stands in its place.
 */
import { DIRECTIONS, KINDS, LABEL_STATES } from '../policy/facts.ts';
import type { FrameSource } from '../ring/source.ts';
import { LABEL_MAX_BYTES } from '../wire/limits.ts';
import { TRANSPORTS } from '../wire/transport.ts';
import type { Lane } from './inspection-queue.ts';

/** Room for more than a second of a busy member's packets; a power of two, so that positions wrap evenly. */
export const RING_CAPACITY_BYTES = 1024 * 1024;

const WRITTEN = 0;
const TAKEN = 1;
const LEFT_FULL = 2;
const LEFT_LARGE = 3;
const HEADER_BYTES = 16;
const RECORD_BYTES = 32;
const WRAP = 0xffff_ffff;
/** Longer address text is none: IPv6 has at most 45 characters. */
const ADDRESS_MAX_CHARACTERS = 64;
/** Half of the ring: a larger record could wait for room that two others never leave together. */
const RECORD_MAX_BYTES = RING_CAPACITY_BYTES / 2;

/** Bytes of the buffer that a ring lives in. */
export const RING_BYTES = HEADER_BYTES + RING_CAPACITY_BYTES;

interface Parts {
  readonly words: Int32Array;
  readonly block: Buffer;
}

function partsOf(buffer: ArrayBufferLike): Parts {
  if (buffer.byteLength !== RING_BYTES) throw new RangeError(`an inspection ring has ${RING_BYTES} bytes`);
  return { words: new Int32Array(buffer, 0, 4), block: Buffer.from(buffer, HEADER_BYTES) };
}

const place = (position: number): number => position & (RING_CAPACITY_BYTES - 1);

/** The writer's end; one for a buffer, in one thread. The function copies a packet in, or counts it as left out. */
export function createRingWriter(buffer: ArrayBufferLike): (source: FrameSource, bytes: Uint8Array) => boolean {
  const { words, block } = partsOf(buffer);
  return (source, bytes) => {
    const { address, port } = source.peer;
    const addressBytes = Math.min(address.length, ADDRESS_MAX_CHARACTERS);
    const labelBytes = Math.min(source.label.length, LABEL_MAX_BYTES);
    const size = (RECORD_BYTES + addressBytes + labelBytes + bytes.length + 7) & ~7;
    if (size > RECORD_MAX_BYTES) {
      Atomics.add(words, LEFT_LARGE, 1);
      return false;
    }
    // Only this thread writes it.
    let written = words[WRITTEN] ?? 0;
    const used = (written - Atomics.load(words, TAKEN)) >>> 0;
    const toEnd = RING_CAPACITY_BYTES - place(written);
    const skip = toEnd < size ? toEnd : 0;
    if (used + skip + size > RING_CAPACITY_BYTES) {
      Atomics.add(words, LEFT_FULL, 1);
      return false;
    }
    if (skip > 0) {
      block.writeUInt32LE(WRAP, place(written));
      written += skip;
    }
    const at = place(written);
    block.writeUInt32LE(size, at);
    block.writeUInt32LE(bytes.length, at + 4);
    block.writeDoubleLE(source.atMs, at + 8);
    block[at + 16] = DIRECTIONS.indexOf(source.direction);
    block[at + 17] = TRANSPORTS.indexOf(source.transport);
    block[at + 18] = KINDS.indexOf(source.kind);
    block[at + 19] = LABEL_STATES.indexOf(source.labelState);
    block[at + 20] = (source.rejected ? 1 : 0) | (source.answer ? 2 : 0);
    block[at + 21] = addressBytes;
    block[at + 22] = labelBytes;
    block.writeUInt16LE(port & 0xffff, at + 24);
    block.write(address, at + RECORD_BYTES, addressBytes, 'latin1');
    block.set(source.label.subarray(0, labelBytes), at + RECORD_BYTES + addressBytes);
    block.set(bytes, at + RECORD_BYTES + addressBytes + labelBytes);
    Atomics.store(words, WRITTEN, (written + size) | 0);
    return true;
  };
}

/** The reader's end; one for a buffer, in one thread. What it takes is copied out. */
export function createRingLane(buffer: ArrayBufferLike): Lane {
  const { words, block } = partsOf(buffer);
  const waiting = (): boolean => Atomics.load(words, WRITTEN) !== words[TAKEN];
  return {
    waiting,
    take() {
      if (!waiting()) return undefined;
      let taken = words[TAKEN] ?? 0;
      if (block.readUInt32LE(place(taken)) === WRAP) taken += RING_CAPACITY_BYTES - place(taken);
      const at = place(taken);
      const { source, bytes } = readRecord(block, at);
      Atomics.store(words, TAKEN, (taken + block.readUInt32LE(at)) | 0);
      return { type: 'packet', source, bytes };
    },
    skipped: () => ({
      queue_full: Atomics.load(words, LEFT_FULL) >>> 0,
      frame_too_large: Atomics.load(words, LEFT_LARGE) >>> 0,
    }),
  };
}

function readRecord(block: Buffer, at: number): { readonly source: FrameSource; readonly bytes: Uint8Array } {
  const byte = (offset: number): number => block[at + offset] ?? 0;
  const labelAt = at + RECORD_BYTES + byte(21);
  const bytesAt = labelAt + byte(22);
  const flags = byte(20);
  const source: FrameSource = {
    atMs: block.readDoubleLE(at + 8),
    direction: DIRECTIONS[byte(16)] ?? 'inbound',
    transport: TRANSPORTS[byte(17)] ?? 'unknown',
    kind: KINDS[byte(18)] ?? 'packet',
    peer: { address: block.toString('latin1', at + RECORD_BYTES, labelAt), port: block.readUInt16LE(at + 24) },
    labelState: LABEL_STATES[byte(19)] ?? 'malformed',
    label: new Uint8Array(block.subarray(labelAt, bytesAt)),
    rejected: (flags & 1) !== 0,
    answer: (flags & 2) !== 0,
  };
  return { source, bytes: new Uint8Array(block.subarray(bytesAt, bytesAt + block.readUInt32LE(at + 4))) };
}
