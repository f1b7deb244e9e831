/**
 * The checksum around a packet: `12 crc32-IEEE(4, big-endian) rest`. Mirrors memberlist net.go `ingestPacket` (reading, outermost
 * layer only, and only when all five bytes are there) and `rawSendMsgPacket` (writing, to peers of protocol 5 and later).
 */
import { crc32 } from 'node:zlib';
import { failed, type Parsed } from './codec-reason.ts';
import { MESSAGE_TYPE } from './message-type.ts';

const CRC_HEADER_BYTES = 5;

/** What follows the checksum of `packet` (after its label), or `packet` itself without one. A view of its memory. */
export function openCrc(packet: Uint8Array): Parsed<Uint8Array> {
  if (packet[0] !== MESSAGE_TYPE.hasCrc || packet.length < CRC_HEADER_BYTES) return { ok: true, value: packet };
  const rest = packet.subarray(CRC_HEADER_BYTES);
  const expected = new DataView(packet.buffer, packet.byteOffset, packet.byteLength).getUint32(1);
  return crc32(rest) === expected ? { ok: true, value: rest } : failed('crc_mismatch', 1);
}

/** `message` with its checksum in front, a new buffer. */
export function addCrc(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(CRC_HEADER_BYTES + message.length);
  out[0] = MESSAGE_TYPE.hasCrc;
  new DataView(out.buffer).setUint32(1, crc32(message));
  out.set(message, CRC_HEADER_BYTES);
  return out;
}
