/** What reads frames for a fence: the ring's inspection, and where excerpts of rejected frames go. */
import type { Inspector } from '../datapath/inspection.ts';
import { inspectPacket } from '../ring/inspect-packet.ts';
import { createStreamInspection, STREAM_BUDGET } from '../ring/inspect-stream.ts';
import type { Ring } from '../ring/ring-types.ts';
import type { FrameSource } from '../ring/source.ts';
import type { Keyring } from '../wire/encryption.ts';

/** What one encrypted stream may hold until it is whole: there are up to 192 at once, and a larger one is not looked into. */
const SEALED_HELD_BYTES = 4 * 1024 * 1024;

/** Tells `ring` what frames say; `onExcerpt` what each held, escaped. */
export function createInspector(
  ring: Ring,
  keyring: () => Keyring | undefined,
  onExcerpt: (source: FrameSource, text: string) => void,
): Inspector {
  const budget = { ...STREAM_BUDGET, sealedBytes: SEALED_HELD_BYTES };
  return {
    packet: (source, bytes) => onExcerpt(source, inspectPacket(ring, source, bytes, keyring()).excerpt),
    stream(source) {
      const inspection = createStreamInspection(ring, source, keyring(), budget);
      return {
        push: (chunk) => inspection.push(chunk),
        end: (complete) => onExcerpt(source, inspection.end(complete).excerpt),
      };
    },
  };
}
