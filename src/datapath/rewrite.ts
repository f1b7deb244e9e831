/** What is sent in front of a stream that passes, and what a dskit packet goes through that nothing has to hold. */
import type { Rewrite } from '../policy/decide.ts';
import { createDskitRewriter } from '../wire/dskit.ts';
import { DSKIT_DIGEST_BYTES, DSKIT_PACKET_MAX_BYTES } from '../wire/limits.ts';
import type { StreamHeader } from '../wire/stream-header.ts';
import type { Transform } from './flow.ts';

/** Whether a label header is sent in front of what had one, or had none, before. */
export function sendsLabel({ label }: StreamHeader, rewrite: Rewrite): boolean {
  return rewrite === 'add' || (rewrite === 'keep' && label.length > 0);
}

/**
 * What stands before the message: of `head`, everything that was read of the stream, up to there. Views; none is empty, and the label
 * header is one of its own.
 */
export function rewriteHead(
  { labelAt, bodyAt }: StreamHeader,
  head: Uint8Array,
  rewrite: Rewrite,
  labelHeader: Uint8Array,
): readonly Uint8Array[] {
  const out: Uint8Array[] = [];
  const add = (bytes: Uint8Array): void => void (bytes.length > 0 && out.push(bytes));
  add(head.subarray(0, labelAt));
  if (rewrite === 'add') add(labelHeader);
  else if (rewrite === 'keep') add(head.subarray(labelAt, bodyAt));
  return out;
}

/** First bytes up to this length are written at once: a copy costs less than a write. */
const JOINED_MAX_BYTES = 16 * 1024;

/** The first bytes of a stream as they are written. Alertmanager's stay apart (tls-socket.ts). */
export function inFewWrites({ transport }: StreamHeader, first: readonly Uint8Array[]): readonly Uint8Array[] {
  if (first.length < 2 || transport === 'alertmanager') return first;
  let bytes = 0;
  for (const { length } of first) bytes += length;
  return bytes > JOINED_MAX_BYTES ? first : [Buffer.concat(first, bytes)];
}

/** What a dskit packet connection goes through from its first byte on. `labelHeader` comes from encodeLabelHeader. */
export function packetTransform(header: StreamHeader, rewrite: Rewrite, labelHeader: Uint8Array): Transform {
  return rewrite === 'keep' ? capPacket(header) : createDskitRewriter({ header, rewrite, labelHeader });
}

/** A dskit packet that passes as it is: only its size is watched, digest and all (dskit's receiver reads without a cap). */
function capPacket({ labelAt }: StreamHeader): Transform {
  let bytes = 0;
  return {
    push(chunk) {
      bytes += chunk.length;
      if (bytes - labelAt - DSKIT_DIGEST_BYTES > DSKIT_PACKET_MAX_BYTES) {
        return { ok: false, reason: 'dskit_oversize', at: bytes };
      }
      return { ok: true, value: [chunk] };
    },
    end: () => ({ ok: true, value: [] }),
  };
}
