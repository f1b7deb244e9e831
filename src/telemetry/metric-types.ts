/** What metrics are made of: what they read of a fence, and their form. */
import type { DnsName } from '../control/resolver.ts';
import type { StageOrigin } from '../control/stage-types.ts';
import type { BypassDropped, OpenCounts } from '../datapath/engine.ts';
import type { InspectionSkipped } from '../datapath/inspection-queue.ts';
import type { Stage } from '../policy/stage.ts';
import type { TallyReading } from '../policy/tally-reading.ts';
import type { PeerRecord } from '../ring/peers.ts';
import type { Ring } from '../ring/ring-types.ts';
import type { SealedPeer } from '../ring/seals.ts';
import type { Shape } from './possible.ts';
import type { Evictions } from './sightings.ts';

/** What a fence gives for its metrics. */
export interface MetricsFence {
  readonly name: string;
  readonly shape: Shape;
  /** The memory window, ms. */
  readonly windowMs: number;
  now(): number;
  stage(): Stage;
  /** Changes of the stage since the start, by where they led and who made them. */
  stageChanges(): readonly { readonly to: Stage; readonly origin: StageOrigin; readonly count: number }[];
  /** Whether going up to `to` is safe; false for a stage that is not above the present one. */
  readyToAdvance(to: Stage): boolean;
  tallies(): readonly ArrayBufferLike[];
  counts(): OpenCounts;
  /** Each configured name of admit.dns, and what it last answered. */
  dnsNames(): readonly DnsName[];
  appUp(): boolean | undefined;
  bypassDropped(): BypassDropped | undefined;
  floodGuard(): boolean | undefined;
  peerRecords(nowMs: number): readonly PeerRecord[];
  peerEvictions(): number;
  foreignPeers(nowMs: number): ReadonlySet<string>;
  steadyForeignLabels(nowMs: number, limit: number): readonly string[];
  sightingEvictions(): Evictions;
  /** What gossip says of the ring; undefined while inspection is off. */
  readonly ring: Pick<Ring, 'memberCounts' | 'alarms' | 'warnings' | 'evictions'> | undefined;
  inspectionSkipped(): InspectionSkipped | undefined;
  /** When the fence's certificate ends, ms since the epoch; undefined without TLS. */
  tlsNotAfterMs(): number | undefined;
  /** Whether something is wrong with the certificate files, or the certificate in use. */
  tlsProblem(): boolean;
  /** How many gossip keys are in use. */
  gossipKeys(): number;
  /** Who opens whose encrypted gossip; none while inspection is off. */
  sealedPeers(nowMs: number): readonly SealedPeer[];
  sealEvictions(): number;
}

/** One fence at one scrape. */
export interface Scrape {
  readonly fence: MetricsFence;
  readonly nowMs: number;
  readonly tally: TallyReading;
  readonly records: readonly PeerRecord[];
  readonly counts: OpenCounts;
}

export type Labels = Readonly<Record<string, string>>;
export interface MetricValue {
  readonly labels: Labels;
  readonly value: number;
  readonly metricName?: string;
}

export interface MetricSpec {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  read(scrape: Scrape): readonly MetricValue[];
}

/** A series. */
export const one = (value: number, labels: Labels = {}): MetricValue => ({ labels, value });
