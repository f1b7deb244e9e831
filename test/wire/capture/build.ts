/** Captures and packets made byte by byte, for the tests of this directory. */
import { parseAddress } from '../../../src/wire/address.ts';
import type { CapturedFrame } from '../../../src/wire/capture/frame.ts';
import { createCaptureReader } from '../../../src/wire/capture/reader.ts';

export const FLAGS = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

const be16 = (value: number) => Buffer.from([(value >> 8) & 0xff, value & 0xff]);
const be32 = (value: number) => Buffer.concat([be16(value >>> 16), be16(value & 0xffff)]);

function addressBytes(text: string): Buffer {
  const bytes = Buffer.from(parseAddress(text) ?? new Uint8Array(16));
  return text.includes(':') ? bytes : bytes.subarray(12);
}

export interface Ip4Options {
  readonly id?: number;
  /** In bytes, a multiple of eight. */
  readonly offset?: number;
  readonly more?: boolean;
  readonly options?: Uint8Array;
  /** What the header says; by default what is there. */
  readonly total?: number;
}

export function ip4(from: string, to: string, protocol: number, payload: Uint8Array, options: Ip4Options = {}): Buffer {
  const { id = 1, offset = 0, more = false, options: extra = new Uint8Array(0) } = options;
  const headerBytes = 20 + extra.length;
  const { total = headerBytes + payload.length } = options;
  return Buffer.concat([
    Buffer.from([0x40 | (headerBytes / 4), 0]),
    be16(total),
    be16(id),
    be16((more ? 0x2000 : 0) | (offset / 8)),
    Buffer.from([64, protocol, 0, 0]),
    addressBytes(from),
    addressBytes(to),
    extra,
    payload,
  ]);
}

/** `extensions`: header numbers with their bytes, whose first is filled in. */
export function ip6(
  from: string,
  to: string,
  protocol: number,
  payload: Uint8Array,
  extensions: readonly (readonly [number, readonly number[]])[] = [],
): Buffer {
  const chain = extensions.map(([, bytes], i) => Buffer.from([extensions[i + 1]?.[0] ?? protocol, ...bytes.slice(1)]));
  const rest = Buffer.concat([...chain, payload]);
  return Buffer.concat([
    Buffer.from([0x60, 0, 0, 0]),
    be16(rest.length),
    Buffer.from([extensions[0]?.[0] ?? protocol, 64]),
    addressBytes(from),
    addressBytes(to),
    rest,
  ]);
}

export function udp(from: number, to: number, payload: Uint8Array, length = 8 + payload.length): Buffer {
  return Buffer.concat([be16(from), be16(to), be16(length), be16(0), payload]);
}

export function tcp(
  from: number,
  to: number,
  seq: number,
  flags: number,
  payload: Uint8Array = new Uint8Array(0),
): Buffer {
  return Buffer.concat([
    be16(from),
    be16(to),
    be32(seq >>> 0),
    be32(0),
    Buffer.from([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]),
    payload,
  ]);
}

export function ethernet(type: number, payload: Uint8Array, tags: readonly number[] = []): Buffer {
  const shims = tags.flatMap((tag) => [be16(tag), be16(7)]);
  return Buffer.concat([Buffer.alloc(12, 2), ...shims, be16(type), payload]);
}

export interface Record {
  readonly bytes: Uint8Array;
  readonly atMs?: number;
  readonly wireBytes?: number;
}

export interface PcapOptions {
  readonly big?: boolean;
  readonly nano?: boolean;
  readonly linkType?: number;
}

function words(big: boolean, ...values: readonly number[]): Buffer {
  const out = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) {
    if (big) out.writeUInt32BE(value >>> 0, i * 4);
    else out.writeUInt32LE(value >>> 0, i * 4);
  }
  return out;
}

function halves(big: boolean, ...values: readonly number[]): Buffer {
  const out = Buffer.alloc(values.length * 2);
  for (const [i, value] of values.entries()) {
    if (big) out.writeUInt16BE(value, i * 2);
    else out.writeUInt16LE(value, i * 2);
  }
  return out;
}

export function pcap(
  records: readonly Record[],
  { big = false, nano = false, linkType = 1 }: PcapOptions = {},
): Buffer {
  const header = [words(big, nano ? 0xa1b23c4d : 0xa1b2c3d4), halves(big, 2, 4), words(big, 0, 0, 262_144, linkType)];
  const rows = records.map(({ bytes, atMs = 1_500, wireBytes = bytes.length }) => {
    const fraction = Math.round((atMs % 1_000) * (nano ? 1e6 : 1e3));
    return Buffer.concat([words(big, Math.floor(atMs / 1_000), fraction, bytes.length, wireBytes), bytes]);
  });
  return Buffer.concat([...header, ...rows]);
}

/** pcapng blocks, in one byte order. */
export function pcapng(big: boolean) {
  const block = (type: number, body: Uint8Array): Buffer => {
    const padded = Buffer.concat([body, Buffer.alloc((4 - (body.length % 4)) % 4)]);
    return Buffer.concat([words(big, type, padded.length + 12), padded, words(big, padded.length + 12)]);
  };
  const option = (code: number, value: Uint8Array) =>
    Buffer.concat([halves(big, code, value.length), value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
  return {
    block,
    option,
    section: () =>
      block(0x0a0d0d0a, Buffer.concat([words(big, 0x1a2b3c4d), halves(big, 1, 0), words(big, 0xffffffff, 0xffffffff)])),
    interface: (linkType: number, snapBytes = 0, options: readonly Uint8Array[] = []) =>
      block(1, Buffer.concat([halves(big, linkType, 0), words(big, snapBytes), ...options])),
    enhanced: (id: number, ticks: number, bytes: Uint8Array, wireBytes = bytes.length) =>
      block(6, Buffer.concat([words(big, id, Math.floor(ticks / 2 ** 32), ticks, bytes.length, wireBytes), bytes])),
    obsolete: (id: number, ticks: number, bytes: Uint8Array) =>
      block(
        2,
        Buffer.concat([
          halves(big, id, 0),
          words(big, Math.floor(ticks / 2 ** 32), ticks, bytes.length, bytes.length),
          bytes,
        ]),
      ),
    simple: (wireBytes: number, bytes: Uint8Array) => block(3, Buffer.concat([words(big, wireBytes), bytes])),
    words: (...values: readonly number[]) => words(big, ...values),
  };
}

export interface Read {
  readonly frames: readonly CapturedFrame[];
  readonly format: string | undefined;
  readonly failure: { readonly reason: string; readonly at: number } | undefined;
  readonly cutBytes: number;
}

/** Reads chunks to the end; frames are copies. */
export function readAll(chunks: readonly Uint8Array[]): Read {
  const frames: CapturedFrame[] = [];
  const reader = createCaptureReader((frame) => frames.push({ ...frame, bytes: Uint8Array.from(frame.bytes) }));
  for (const chunk of chunks) reader.push(chunk);
  reader.end();
  return { frames, format: reader.format(), failure: reader.failure(), cutBytes: reader.cutBytes() };
}
