/**
 * Rewriting the label of a dskit packet connection while it flows:
 *
 *   1 len8 addr[len8] [244 len8 label] message … digest(16)
 *                     `------ packet --------'
 *
 * The digest is the MD5 of the packet, so whoever adds or strips a label must rewrite it; it ends the connection, so the last 16
 * bytes of what has arrived are always held back. Mirrors dskit kv/memberlist/tcp_transport.go `writeTo` (writer) and
 * `handleConnection` (reader). MD5 is no protection here, only the checksum that the protocol has.
 */
import { createHash } from 'node:crypto';
import { sameBytes } from './label.ts';
import { DSKIT_DIGEST_BYTES, DSKIT_PACKET_MAX_BYTES } from './limits.ts';
import type { Decoded, MalformedReason } from './reason.ts';
import type { StreamHeader } from './stream-header.ts';

export interface DskitRewriterOptions {
  /** What decodeStreamHeader said of this connection: a dskit packet that is not malformed. */
  readonly header: Pick<StreamHeader, 'labelAt' | 'bodyAt'>;
  /** What becomes of the label; `strip` removes the bytes between the header's `labelAt` and `bodyAt`. */
  readonly rewrite: 'keep' | 'add' | 'strip';
  /** From encodeLabelHeader; used for `add` only, and not copied. */
  readonly labelHeader: Uint8Array;
  /** Cap of the packet as received, prefix and digest not counted. Default DSKIT_PACKET_MAX_BYTES; for tests a smaller one. */
  readonly maxPacketBytes?: number;
}

/** The bytes to forward, in order. They are views of the pushed chunk or new buffers: do not change a chunk before it is written. */
export type DskitChunks = Decoded<readonly Uint8Array[]>;

/** One connection's rewriting, fed with every byte of it from the first on. Holds at most 16 bytes between calls. */
export interface DskitRewriter {
  /** Takes what arrived, in any chunking. `dskit_oversize` is final: every later call says it again. */
  push(chunk: Uint8Array): DskitChunks;
  /**
   * The sender's FIN. Gives the held bytes with the digest that the rewritten packet must have, or why the connection is malformed.
   * Then, and at any abort, the caller must reset the other side: a dskit reader delivers whatever a FIN ended.
   */
  end(): DskitChunks;
}

const NO_CHUNKS: DskitChunks = { ok: true, value: [] };

/** Starts the rewriting of one connection. The outcome does not depend on the chunking. */
export function createDskitRewriter(options: DskitRewriterOptions): DskitRewriter {
  const { header, rewrite, labelHeader, maxPacketBytes = DSKIT_PACKET_MAX_BYTES } = options;
  const { labelAt } = header;
  const bodyAt = rewrite === 'strip' ? header.bodyAt : labelAt;
  const receivedHash = createHash('md5');
  const sentHash = createHash('md5');
  let held: Uint8Array = new Uint8Array(0);
  let receivedBytes = 0;
  let releasedBytes = 0;
  let labelled = rewrite !== 'add';
  let failed: DskitChunks | undefined;

  const fail = (reason: MalformedReason): DskitChunks => {
    failed = { ok: false, reason, at: receivedBytes };
    held = new Uint8Array(0);
    return failed;
  };

  /** Adds the label where the packet starts, also when the packet turns out to be empty. */
  const addLabel = (out: Uint8Array[]): void => {
    labelled = true;
    sentHash.update(labelHeader);
    out.push(labelHeader);
  };

  /** Passes on bytes that are known to stand before the digest. */
  const release = (bytes: Uint8Array, out: Uint8Array[]): void => {
    const packetStart = clamp(labelAt - releasedBytes, bytes.length);
    const bodyStart = clamp(bodyAt - releasedBytes, bytes.length);
    releasedBytes += bytes.length;
    if (packetStart > 0) out.push(bytes.subarray(0, packetStart));
    if (packetStart === bytes.length) return;
    receivedHash.update(bytes.subarray(packetStart));
    if (!labelled) addLabel(out);
    if (bodyStart === bytes.length) return;
    const body = bytes.subarray(bodyStart);
    sentHash.update(body);
    out.push(body);
  };

  return {
    push(chunk) {
      if (failed !== undefined) return failed;
      if (chunk.length === 0) return NO_CHUNKS;
      receivedBytes += chunk.length;
      if (receivedBytes - labelAt - DSKIT_DIGEST_BYTES > maxPacketBytes) return fail('dskit_oversize');
      const out: Uint8Array[] = [];
      const [known, last] = holdBack(held, chunk);
      for (const bytes of known) release(bytes, out);
      held = last;
      return { ok: true, value: out };
    },
    end() {
      if (failed !== undefined) return failed;
      // Shorter than its prefix and a digest, or cut inside the label that was to be stripped: nothing right can come out.
      if (releasedBytes < bodyAt || held.length < DSKIT_DIGEST_BYTES) return fail('dskit_truncated');
      const out: Uint8Array[] = [];
      if (!labelled) addLabel(out);
      out.push(rewriteDigest(held, receivedHash.digest(), sentHash.digest()));
      return { ok: true, value: out };
    },
  };
}

/** Splits what has arrived into bytes that cannot be the digest and the last DSKIT_DIGEST_BYTES, copied, that may be. */
function holdBack(held: Uint8Array, chunk: Uint8Array): [known: Uint8Array[], last: Uint8Array] {
  if (chunk.length >= DSKIT_DIGEST_BYTES) {
    const cut = chunk.length - DSKIT_DIGEST_BYTES;
    return [[held, chunk.subarray(0, cut)].filter(isNotEmpty), Uint8Array.from(chunk.subarray(cut))];
  }
  const joined = new Uint8Array(held.length + chunk.length);
  joined.set(held);
  joined.set(chunk, held.length);
  const cut = Math.max(0, joined.length - DSKIT_DIGEST_BYTES);
  return [[joined.subarray(0, cut)].filter(isNotEmpty), joined.subarray(cut)];
}

/**
 * The digest to send, of what was received with `received` and is sent changed. A packet that came with a wrong digest leaves with a wrong one: the receiver's check is the only sign that the
 * packet was damaged, and repairing it here would hide that.
 */
export function rewriteDigest(received: Uint8Array, ofReceived: Uint8Array, ofSent: Uint8Array): Uint8Array {
  if (sameBytes(received, ofReceived)) return ofSent;
  if (!sameBytes(received, ofSent)) return received;
  const wrong = Uint8Array.from(received);
  wrong[0] = (wrong[0] ?? 0) ^ 1;
  return wrong;
}

function isNotEmpty(bytes: Uint8Array): boolean {
  return bytes.length > 0;
}

function clamp(value: number, max: number): number {
  return Math.min(Math.max(value, 0), max);
}
