/** What a fence in the engine's thread is given to look below the label: rules by message, and rings that carry frames to the main thread. */
import { createQuarantine, type QuarantineSet } from '../../ring/quarantine.ts';
import { createKeyring, type Keyring } from '../../wire/encryption.ts';
import { sameBytes } from '../../wire/label.ts';
import { watchKeyOfRing } from '../app-seals.ts';
import type { Inside, InsideRules } from '../inside.ts';
import { INSPECTED_REJECTED_MAX, INSPECTED_STREAMS_MAX } from '../inspection-places.ts';
import { createRingWriter } from '../inspection-ring.ts';
import { createStreamRingWriter } from '../inspection-stream-writer.ts';
import type { InspectionRings } from '../options.ts';

const NO_BYTES = new Uint8Array(0);

export interface WorkerInside extends Inside {
  /** Takes effect with the next packet. */
  change(rules: InsideRules): void;
  /**
   * Whether what waits to be inspected should be looked at soon: streams, whose rest is not told once the reader has enough, rejected frames, and
   * so many packets that they could fill their ring before the next look.
   */
  isUrgent(): boolean;
}

/** Without `rings` nothing is inspected. `onRingKey`: members were seen to seal with this key. */
export function createWorkerInside(
  rules: InsideRules,
  rings: InspectionRings | undefined,
  onRingKey: (key: Uint8Array) => void = () => undefined,
): WorkerInside {
  let keys: readonly Uint8Array[] = [];
  let keyring: Keyring | undefined;
  let quarantine: QuarantineSet | undefined;
  let reseal = false;
  const change = (next: InsideRules): void => {
    // The same keys stay one keyring: what is known of it goes by that.
    if (!sameKeys(keys, next.keys)) {
      keys = next.keys;
      keyring = keys.length > 0 ? watched(createKeyring(keys), keys, onRingKey) : undefined;
    }
    quarantine = next.quarantine === undefined ? undefined : createQuarantine(next.quarantine);
    ({ reseal } = next);
  };
  change(rules);
  const own = rings === undefined ? undefined : createRingWriter(rings.own);
  const rejected = rings === undefined ? undefined : createRingWriter(rings.rejected);
  const ownStreams = rings === undefined ? undefined : createStreamRingWriter(rings.ownStreams, INSPECTED_STREAMS_MAX);
  const rejectedStreams =
    rings === undefined ? undefined : createStreamRingWriter(rings.rejectedStreams, INSPECTED_REJECTED_MAX);
  return {
    keyring: () => keyring,
    reseal: () => reseal,
    quarantine: () => quarantine,
    room: (isRejected, bytes) => (isRejected ? rejected : own)?.room(bytes) === true,
    packet: (source, memory, at, end) => void (source.rejected ? rejected : own)?.write(source, memory, at, end),
    stream: (source) => (source.rejected ? rejectedStreams : ownStreams)?.open(source),
    change,
    isUrgent: () =>
      own?.isFilling() === true || [rejected, ownStreams, rejectedStreams].some((ring) => ring?.waiting() === true),
  };
}

function sameKeys(some: readonly Uint8Array[], others: readonly Uint8Array[]): boolean {
  return some.length === others.length && some.every((key, i) => sameBytes(key, others[i] ?? NO_BYTES));
}

function watched(keyring: Keyring, keys: readonly Uint8Array[], onRingKey: (key: Uint8Array) => void): Keyring {
  watchKeyOfRing(keyring, (at) => onRingKey(keys[at] ?? NO_BYTES));
  return keyring;
}
