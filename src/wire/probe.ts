/**
 * The fence's own ping: memberlist's `ping` (net.go `ping`) with one field more, in front of the others:
 *
 *   0 map{Ringfence: nil, Node, SeqNo}
 *
 * Every release's msgpack reader skips a field that its struct does not have, so members answer it as any ping. Other fences tell it by that
 * field: it says nothing about what the app behind its sender speaks. It names no source, so the answer comes to the socket that sent it.
 */
import { MESSAGE_TYPE } from './message-type.ts';
import { encodeMessage } from './messages.ts';

const FIELD = 'Ringfence';
/** msgpack: a map of up to fifteen entries, raw bytes of up to 31, nil. */
const FIXMAP = 0x80;
const FIXRAW = 0xa0;
const NIL = 0xc0;

/** What stands behind the type byte and the map's head. */
const MARK = Uint8Array.of(FIXRAW | FIELD.length, ...Buffer.from(FIELD, 'latin1'), NIL);
const MARK_AT = 2;
const NO_BYTES = new Uint8Array(0);

export interface Probe {
  /** 0..2^32-1; the answer carries it. */
  readonly seqNo: number;
  /** The member's name, which drops a ping for another; empty: whoever is there answers. */
  readonly node: string;
}

/** The message's bytes, to stand behind a label header; a new buffer. Throws a RangeError for a number that is no u32. */
export function encodeProbe({ seqNo, node }: Probe): Uint8Array {
  const ping = encodeMessage({
    type: 'ping',
    SeqNo: seqNo,
    Node: node,
    SourceAddr: NO_BYTES,
    SourcePort: 0,
    SourceNode: '',
  });
  const entries = ping[1] as number;
  return Buffer.concat([Uint8Array.of(MESSAGE_TYPE.ping, entries + 1), MARK, ping.subarray(MARK_AT)]);
}

/**
 * Whether the message from `at` to `end` (after its label, not encrypted) is a fence's ping. Total, without reading on: whoever writes the mark asks for
 * not being learned from, and gets nothing by it.
 */
export function isProbe(bytes: Uint8Array, at = 0, end = bytes.length): boolean {
  if (end - at < MARK_AT + MARK.length || bytes[at] !== MESSAGE_TYPE.ping) return false;
  const head = bytes[at + 1] as number;
  if ((head & 0xf0) !== FIXMAP || head === FIXMAP) return false;
  for (let i = 0; i < MARK.length; i++) if (bytes[at + MARK_AT + i] !== MARK[i]) return false;
  return true;
}
