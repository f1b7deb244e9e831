/** What is sent of a stream that passes: its first bytes with the label as decided, and what is done to the rest. */
import type { Rewrite } from '../policy/decide.ts';
import { createDskitRewriter } from '../wire/dskit.ts';
import { DSKIT_DIGEST_BYTES, DSKIT_PACKET_MAX_BYTES } from '../wire/limits.ts';
import type { MalformedReason } from '../wire/reason.ts';
import type { StreamHeader } from '../wire/stream-header.ts';
import type { Transform } from './relay.ts';

export interface Rewritten {
  /** Views of `head` and of the label header, in order. */
  readonly first: readonly Uint8Array[];
  readonly transform: Transform | undefined;
  /** Why the stream cannot pass after all: it was too large already. */
  readonly cut: MalformedReason | undefined;
}

/** Rewrites `head`, everything that was read of the stream with `header`. `labelHeader` comes from encodeLabelHeader. */
export function rewriteStream(
  header: StreamHeader,
  head: Uint8Array,
  rewrite: Rewrite,
  labelHeader: Uint8Array,
): Rewritten {
  if (header.kind === 'packet') {
    const transform = rewrite === 'keep' ? capPacket(header) : createDskitRewriter({ header, rewrite, labelHeader });
    const first = transform.push(head);
    return first.ok ? { first: first.value, transform, cut: undefined } : { first: [], transform, cut: first.reason };
  }
  const prefix = head.subarray(0, header.labelAt);
  const first = {
    keep: () => [head],
    add: () => [prefix, labelHeader, head.subarray(header.labelAt)],
    strip: () => [prefix, head.subarray(header.bodyAt)],
  }[rewrite]();
  return { first, transform: undefined, cut: undefined };
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
