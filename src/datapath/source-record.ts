/**
 * A FrameSource in shared memory: f64 atMs, u8 direction, transport, kind, label state, flags (1 rejected, 2 answer), address bytes,
 * label bytes, u8 unused, u16 port, 6 unused; then address (text), label. Begins at a multiple of 8.
 */
import { DIRECTIONS, KINDS, LABEL_STATES } from '../policy/facts.ts';
import type { FrameSource } from '../ring/source.ts';
import { LABEL_MAX_BYTES } from '../wire/limits.ts';
import { TRANSPORTS } from '../wire/transport.ts';

const HEAD_BYTES = 24;
/** Longer address text is none: IPv6 has at most 45 characters. */
const ADDRESS_MAX_CHARACTERS = 64;

/** What a source takes at most. */
export const SOURCE_MAX_BYTES = HEAD_BYTES + ADDRESS_MAX_CHARACTERS + LABEL_MAX_BYTES;

/** What `source` takes. */
export function sourceBytes({ peer, label }: FrameSource): number {
  return HEAD_BYTES + Math.min(peer.address.length, ADDRESS_MAX_CHARACTERS) + Math.min(label.length, LABEL_MAX_BYTES);
}

/** Writes it at `at`; returns where it ends. */
export function writeSource(block: Buffer, at: number, source: FrameSource): number {
  const { address, port } = source.peer;
  const addressBytes = Math.min(address.length, ADDRESS_MAX_CHARACTERS);
  const labelBytes = Math.min(source.label.length, LABEL_MAX_BYTES);
  block.writeDoubleLE(source.atMs, at);
  block[at + 8] = source.direction === 'inbound' ? 0 : 1;
  block[at + 9] = TRANSPORTS.indexOf(source.transport);
  block[at + 10] = source.kind === 'packet' ? 0 : 1;
  block[at + 11] = LABEL_STATES.indexOf(source.labelState);
  block[at + 12] = (source.rejected ? 1 : 0) | (source.answer ? 2 : 0);
  block[at + 13] = addressBytes;
  block[at + 14] = labelBytes;
  block[at + 16] = port & 0xff;
  block[at + 17] = (port >> 8) & 0xff;
  const labelAt = at + HEAD_BYTES + addressBytes;
  // Byte by byte: they are few, and each call into node or V8 costs more than all of them.
  for (let i = 0; i < addressBytes; i++) block[at + HEAD_BYTES + i] = address.charCodeAt(i);
  for (let i = 0; i < labelBytes; i++) block[labelAt + i] = source.label[i] as number;
  return labelAt + labelBytes;
}

/** The one at `at`, copied out, and where it ends. */
export function readSource(block: Buffer, at: number): { readonly source: FrameSource; readonly end: number } {
  const byte = (offset: number): number => block[at + offset] ?? 0;
  const labelAt = at + HEAD_BYTES + byte(13);
  const end = labelAt + byte(14);
  const flags = byte(12);
  const source: FrameSource = {
    atMs: block.readDoubleLE(at),
    direction: DIRECTIONS[byte(8)] ?? 'inbound',
    transport: TRANSPORTS[byte(9)] ?? 'unknown',
    kind: KINDS[byte(10)] ?? 'packet',
    peer: { address: block.toString('latin1', at + HEAD_BYTES, labelAt), port: block.readUInt16LE(at + 16) },
    labelState: LABEL_STATES[byte(11)] ?? 'malformed',
    label: new Uint8Array(block.subarray(labelAt, end)),
    rejected: (flags & 1) !== 0,
    answer: (flags & 2) !== 0,
  };
  return { source, end };
}
