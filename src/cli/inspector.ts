/** What reads frames for a fence: the ring's inspection, and where excerpts of rejected frames go. */
import type { Inspector } from '../datapath/inspection.ts';
import { inspectPacket } from '../ring/inspect-packet.ts';
import type { Ring } from '../ring/ring-types.ts';
import type { FrameSource } from '../ring/source.ts';
import type { Keyring } from '../wire/encryption.ts';

/** Tells `ring` what frames say; `onExcerpt` what each held, escaped. */
export function createInspector(
  ring: Ring,
  keyring: () => Keyring | undefined,
  onExcerpt: (source: FrameSource, text: string) => void,
): Inspector {
  return {
    packet(source, bytes) {
      const { excerpt } = inspectPacket(ring, source, bytes, keyring());
      onExcerpt(source, excerpt);
    },
    stream: () => ({ push: () => false, end: () => undefined }),
  };
}
