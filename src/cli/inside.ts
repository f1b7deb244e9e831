/** What a fence is given to look below the label: its keys, quarantine, and the inspection that feeds its ring. */
import type { FenceConfig } from '../config/types.ts';
import { every } from '../datapath/coarse.ts';
import type { Fault } from '../datapath/engine.ts';
import { type Inside, type InsideRules, NO_INSIDE } from '../datapath/inside.ts';
import { createInspection } from '../datapath/inspection.ts';
import type { Pump } from '../datapath/inspection-pump.ts';
import type { InspectionSkipped } from '../datapath/inspection-queue.ts';
import { createRingLane, RING_BYTES } from '../datapath/inspection-ring.ts';
import { createStreamRingLane } from '../datapath/inspection-stream-lane.ts';
import {
  createStreamRing,
  STREAM_RING_OWN_BYTES,
  STREAM_RING_REJECTED_BYTES,
} from '../datapath/inspection-stream-ring.ts';
import type { InspectionRings } from '../datapath/options.ts';
import { createQuarantine, type QuarantineRules, type QuarantineSet } from '../ring/quarantine.ts';
import { createRing } from '../ring/ring.ts';
import type { Ring } from '../ring/ring-types.ts';
import { createSeals, type Seals } from '../ring/seals.ts';
import { apartText } from '../ring/seals-text.ts';
import type { FrameSource } from '../ring/source.ts';
import { type GossipKeys, openGossipKeys } from './gossip-keys.ts';
import { createInspector } from './inspector.ts';
import { createOwnAddresses } from './own-addresses.ts';

/** Between looks for changed rules, ms: what a worker knows is at most so much older than what inspection has read (inspection-pump.ts). */
const LOOK_INTERVAL_MS = 1_000;
/** Looks for rules to one for findings: that walks every table, 17 ms for 10,000 members. */
const LOOKS_PER_FINDING = 3;

/** Fences that this process has started. */
let started = 0;

export interface FenceInside {
  /** For the data path's context. */
  readonly inside: Inside;
  /** For the worker. */
  readonly rings: InspectionRings | undefined;
  /** Has what waits in the rings looked at soon. */
  inspect(): void;
  rules(): InsideRules;
  /** Frames left out; undefined while inspection is off. */
  skipped(): InspectionSkipped | undefined;
  /** What gossip says of the ring; undefined while inspection is off. */
  readonly ring: Ring | undefined;
  /** Who opens whose encrypted gossip; undefined while inspection is off. */
  readonly seals: Seals | undefined;
  readonly keys: Pick<GossipKeys, 'keyring' | 'problem'>;
  /** Keeps keys and rules current from now on; `onChange` says that workers should be told, `onFindings` comes every few seconds. */
  start(onChange: () => void, onFindings: () => void): void;
  stop(): void;
}

export interface InsideOptions {
  readonly config: FenceConfig;
  readonly pump: Pump;
  now(): number;
  /** Whether the address lately showed the own label. */
  proven(address: string, nowMs: number): boolean;
  /** Whether foreign members are stripped; asked about once a second, because a reload changes it. */
  quarantine(): boolean;
  /** How long something may look foreign before it is warned of, ms; a reload changes it too. */
  graceMs(): number;
  /** Whether the stage lets frames be changed. */
  mayChange(): boolean;
  /** What an inspected frame held, escaped. */
  onExcerpt(source: FrameSource, text: () => string): void;
  onFault(fault: Fault): void;
}

/** Reads the key files once. Rejects with a KeyFileError when one cannot be used. */
export async function composeInside(options: InsideOptions): Promise<FenceInside> {
  const { config, now } = options;
  const keys = await openGossipKeys(config.encryption.keyFiles, options.onFault);
  const eyes = config.inspectBytesPerSecond > 0 ? openEyes(options, keys) : undefined;
  const quarantine = createQuarantineWatch(eyes?.ring, options.quarantine, now);
  const { reseal } = config.encryption;
  let cancel: (() => void) | undefined;
  return {
    inside: {
      keyring: keys.keyring,
      reseal: () => reseal,
      quarantine: quarantine.set,
      room: eyes?.inspection.room ?? NO_INSIDE.room,
      packet: eyes?.inspection.packet ?? NO_INSIDE.packet,
      stream: eyes?.inspection.stream ?? NO_INSIDE.stream,
    },
    rings: eyes?.rings,
    inspect: () => options.pump.wake(),
    rules: () => ({ keys: keys.bytes(), reseal, quarantine: quarantine.rules() }),
    skipped: () => eyes?.inspection.skipped(),
    ring: eyes?.ring,
    seals: eyes?.seals,
    keys,
    start(onChange, onFindings) {
      keys.start(onChange);
      // Not in the same second as every other fence: they look at the same moments.
      let looks = started++ % LOOKS_PER_FINDING;
      cancel ??= every(LOOK_INTERVAL_MS, () => {
        if (quarantine.look()) onChange();
        if (++looks % LOOKS_PER_FINDING === 0) onFindings();
      });
    },
    stop() {
      cancel?.();
      keys.stop();
      eyes?.inspection.stop();
    },
  };
}

function openEyes(options: InsideOptions, keys: GossipKeys) {
  const { config, pump, now, proven, mayChange, onExcerpt, onFault } = options;
  const own = createOwnAddresses(config.mode, now);
  const ring = createRing({
    startedMs: now(),
    warmUpMs: config.warmUpMs,
    windowMs: config.memory.windowMs,
    identity: { cidrs: config.cidrs, names: config.names },
    get graceMs() {
      return options.graceMs();
    },
    proven,
    isLocal: (address, port) => port === own.port && own.has(address),
    quarantining: () => options.quarantine() && mayChange(),
  });
  const seals = createSeals({
    peers: config.memory.peers,
    windowMs: config.memory.windowMs,
    onApart(peer) {
      const here = { keys: keys.keyring()?.size ?? 0, reseal: config.encryption.reseal };
      onFault({ code: 'gossip_sealed_apart', message: apartText(peer, here) });
    },
  });
  // Where no thread fills them they cost no memory but their first pages.
  const rings: InspectionRings = {
    own: new SharedArrayBuffer(RING_BYTES),
    rejected: new SharedArrayBuffer(RING_BYTES),
    ownStreams: createStreamRing(STREAM_RING_OWN_BYTES),
    rejectedStreams: createStreamRing(STREAM_RING_REJECTED_BYTES),
  };
  const inspection = createInspection({
    bytesPerSecond: config.inspectBytesPerSecond,
    pump,
    inspector: createInspector(ring, seals, keys.keyring, onExcerpt),
    lanes: [
      createRingLane(rings.own),
      createRingLane(rings.rejected),
      createStreamRingLane(rings.ownStreams),
      createStreamRingLane(rings.rejectedStreams),
    ],
  });
  return { ring, rings, seals, inspection };
}

/** Makes the set anew when the ring's rules change; without a ring, or while `on` is false, there is none. */
function createQuarantineWatch(ring: Ring | undefined, on: () => boolean, now: () => number) {
  let rules: QuarantineRules | undefined;
  let set: QuarantineSet | undefined;
  /** Whether they changed. */
  const look = (): boolean => {
    const latest = on() ? ring?.quarantineRules(now()) : undefined;
    if (latest === rules) return false;
    rules = latest;
    set = latest === undefined ? undefined : createQuarantine(latest);
    return true;
  };
  look();
  return { set: () => set, rules: () => rules, look };
}
