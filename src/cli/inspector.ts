/** What reads frames for a fence: the ring's inspection, and where excerpts of rejected frames go. */
import type { Inspector } from '../datapath/inspection.ts';
import { inspectPacket } from '../ring/inspect-packet.ts';
import { createStreamInspection, STREAM_BUDGET } from '../ring/inspect-stream.ts';
import type { Ring } from '../ring/ring-types.ts';
import type { Seals } from '../ring/seals.ts';
import type { FrameSource } from '../ring/source.ts';
import type { Keyring } from '../wire/encryption.ts';

/** What one encrypted stream may hold until it is whole: there are up to 192 at once, and a larger one is not looked into. */
const SEALED_HELD_BYTES = 4 * 1024 * 1024;

/** Tells `ring` what frames say, and `seals` who opens whose; `onExcerpt` of each what it held, escaped, where it asks. */
export function createInspector(
  ring: Ring,
  seals: Seals,
  keyring: () => Keyring | undefined,
  onExcerpt: (source: FrameSource, text: () => string) => void,
): Inspector {
  const budget = { ...STREAM_BUDGET, sealedBytes: SEALED_HELD_BYTES };
  return {
    packet(source, bytes) {
      seals.packet(source, bytes);
      onExcerpt(source, inspectPacket(ring, source, bytes, keyring()).excerpt);
    },
    stream(source) {
      const inspection = createStreamInspection(ring, source, keyring(), budget);
      const seal = seals.stream(source);
      let wanted = { ring: true, seal: true };
      return {
        push(chunk) {
          wanted = { ring: wanted.ring && inspection.push(chunk), seal: wanted.seal && seal.push(chunk) };
          return wanted.ring || wanted.seal;
        },
        end: (complete) => onExcerpt(source, inspection.end(complete).excerpt),
      };
    },
  };
}
