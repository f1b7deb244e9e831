/**
 * What can be read of an encrypted stream without its keys: how long it is. A member that cannot open a stream answers with an error
 * of one fixed sentence, sealed like everything else (memberlist net.go `handleConn`, security.go `decryptPayload`), and nothing else
 * that members answer is exactly as long: an ack is shorter, a push/pull longer. Which of the two did not fit, the key or the label in
 * the associated data, it does not say.
 */
import { COMPRESS_ALGORITHM, encodeCompress } from './compress.ts';
import { SEALED_STREAM_HEADER_BYTES, streamFrameBytes } from './encryption.ts';
import { encodeErrorFrame } from './error-frame.ts';

/** The sentence, as memberlist up to v0.5 and since writes it. */
const SENTENCES = [
  'No installed keys could decrypt the message',
  'no installed keys could decrypt the message',
] as const;

/** security.go `encryptedLength` of version 1: version, nonce and tag. */
const OVERHEAD_BYTES = 29;

/** Whole frames, of members that compress and that do not. */
const REFUSAL_BYTES: ReadonlySet<number> = new Set(
  SENTENCES.map(encodeErrorFrame)
    .flatMap((plain) => [
      plain,
      encodeCompress(plain, COMPRESS_ALGORITHM.lzw),
      encodeCompress(plain, COMPRESS_ALGORITHM.snappy),
    ])
    .map(({ length }) => SEALED_STREAM_HEADER_BYTES + OVERHEAD_BYTES + length),
);

/**
 * Longer than every other error that a member answers, compressed or not ("encryption is configured but remote state is not
 * encrypted" has 58 characters), so a push/pull. One of a single short-named member is shorter, and says nothing here.
 */
const OPENED_MIN_BYTES = SEALED_STREAM_HEADER_BYTES + OVERHEAD_BYTES + 130;

/** What an answer says about its request: it could not be opened, it was (a push/pull came back), or nothing that can be told. */
export type SealedAnswer = 'refused' | 'opened' | 'unknown';

/** What `readSealedAnswer` reads: the frame's header, and the encryption version. */
export const SEALED_ANSWER_HEAD_BYTES = SEALED_STREAM_HEADER_BYTES + 1;

/**
 * Reads the first bytes of an encrypted answer (`10 len32 vsn …`); `unknown` as long as they are too few, and for version 0 (members of
 * protocol version 1), whose padding makes unlike answers alike.
 */
export function readSealedAnswer(head: Uint8Array): SealedAnswer {
  const bytes = streamFrameBytes(head);
  if (bytes === undefined || head[SEALED_STREAM_HEADER_BYTES] !== 1) return 'unknown';
  if (REFUSAL_BYTES.has(bytes)) return 'refused';
  return bytes >= OPENED_MIN_BYTES ? 'opened' : 'unknown';
}
