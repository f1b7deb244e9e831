/**
 * memberlist's own error message, `13 msgpack{Error}`, as a receiver answers a stream that it will not take: net.go `errResp`,
 * written by `handleConn` and logged by `sendAndReceiveState` as "remote error: …". Answers carry no label header.
 *
 * The msgpack is the old spec, which every memberlist reads: fixmap, fixraw, raw16; never str8, which old readers do not know.
 */
import { MESSAGE_TYPE } from './message-type.ts';

/** Bytes of an error text: an escaped label of 255 bytes at four characters each, and a sentence around it. */
export const ERROR_TEXT_MAX_BYTES = 1_280;

const FIXMAP_1 = 0x81;
const FIXRAW = 0xa0;
const FIXRAW_MAX_BYTES = 31;
const RAW16 = 0xda;
const KEY = Buffer.from('Error', 'latin1');

/** The frame for `text`, cut to ERROR_TEXT_MAX_BYTES of UTF-8 at a character; a new buffer that the caller owns. */
export function encodeErrorFrame(text: string): Uint8Array {
  const body = cutUtf8(Buffer.from(text, 'utf8'), ERROR_TEXT_MAX_BYTES);
  const head = body.length <= FIXRAW_MAX_BYTES ? [FIXRAW | body.length] : [RAW16, body.length >> 8, body.length & 0xff];
  return Uint8Array.from([MESSAGE_TYPE.err, FIXMAP_1, FIXRAW | KEY.length, ...KEY, ...head, ...body]);
}

/** At most `maxBytes` of `bytes`, never ending inside a character. */
function cutUtf8(bytes: Uint8Array, maxBytes: number): Uint8Array {
  if (bytes.length <= maxBytes) return bytes;
  let end = maxBytes;
  // 10xxxxxx continues a character: the cut must stand before the byte that starts one.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}
