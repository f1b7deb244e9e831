/**
 * The compress layer: `9 msgpack{Algo, Buf}`. Mirrors memberlist util.go `decompressPayload` and `decompressBuffer`. Algo 0 is LZW;
 * Grafana's fork has 1, Snappy, which upstream refuses.
 */
import { failed, type Parsed } from './codec-reason.ts';
import { decodeLzw } from './lzw.ts';
import { encodeLzw } from './lzw-encode.ts';
import { MESSAGE_TYPE } from './message-type.ts';
import { decodeStruct, type Schema } from './msgpack.ts';
import { encodeStruct } from './msgpack-write.ts';
import { decodeSnappy, encodeSnappy } from './snappy.ts';

const COMPRESS = { fields: { Algo: 'u8', Buf: 'bytes' } } as const satisfies Schema;
/** memberlist net.go `compressionType`, and the fork's. Only append. */
export const COMPRESS_ALGORITHM = { lzw: 0, snappy: 1 } as const;

/**
 * What a compress message (its type byte included) unpacks to, at most `maxBytes`; a new buffer. Unpacking to nothing is `empty`:
 * memberlist up to v0.6.0 dies of that on a stream.
 */
export function openCompress(message: Uint8Array, maxBytes: number): Parsed<Uint8Array> {
  if (message[0] !== MESSAGE_TYPE.compress) return failed(message.length === 0 ? 'empty' : 'type_unexpected', 0);
  const body = decodeStruct(message, 1, COMPRESS);
  if (!body.ok) return body;
  const { Algo, Buf } = body.value.fields;
  if (Algo !== COMPRESS_ALGORITHM.lzw && Algo !== COMPRESS_ALGORITHM.snappy) return failed('compress_algorithm', 1);
  const inner = Algo === COMPRESS_ALGORITHM.lzw ? decodeLzw(Buf, maxBytes) : decodeSnappy(Buf, maxBytes);
  // The whole of Buf is here, so more input would not help: `truncated` of the inside must not read as "wait for more".
  if (!inner.ok) return failed(inner.reason === 'truncated' ? 'lzw_truncated' : inner.reason, 1);
  return inner.value.length === 0 ? failed('empty', 1) : inner;
}

/** The algorithm that a compress message names; undefined when it names none that members know. */
export function compressAlgorithm(message: Uint8Array): 0 | 1 | undefined {
  const body = decodeStruct(message, 1, COMPRESS);
  const algorithm = body.ok ? body.value.fields.Algo : undefined;
  return algorithm === COMPRESS_ALGORITHM.lzw || algorithm === COMPRESS_ALGORITHM.snappy ? algorithm : undefined;
}

/** A compress message around `message`, a new buffer. */
export function encodeCompress(message: Uint8Array, algorithm: 0 | 1): Uint8Array {
  const Buf = algorithm === COMPRESS_ALGORITHM.lzw ? encodeLzw(message) : encodeSnappy(message);
  return Buffer.concat([Uint8Array.of(MESSAGE_TYPE.compress), encodeStruct({ Algo: algorithm, Buf }, COMPRESS)]);
}
