/** What the admin API sees of the process: filled by the composition root, read at each request. Texts are escaped already. */

import type { DnsName } from '../control/resolver.ts';
import type { StageAnswer, StageMachine, StageWish } from '../control/stage-types.ts';
import type { InspectionSkipped } from '../datapath/inspection-queue.ts';
import type { Direction, Kind, LabelState } from '../policy/facts.ts';
import type { RejectReason } from '../policy/reason.ts';
import type { Dialects, Stage } from '../policy/stage.ts';
import type { TallyReading } from '../policy/tally-reading.ts';
import type { Evidence } from '../ring/evidence.ts';
import type { Fallback } from '../ring/fallbacks.ts';
import type { PeerRecord } from '../ring/peers.ts';
import type { Situation } from '../ring/readiness.ts';
import type { Step } from '../ring/readiness-types.ts';
import type { Removable } from '../ring/removable.ts';
import type { Ring } from '../ring/ring-types.ts';
import type { SealedPeer } from '../ring/seals.ts';
import type { Transport } from '../wire/transport.ts';

export interface RejectionView {
  readonly peer: string;
  readonly direction: Direction;
  readonly transport: Transport;
  readonly kind: Kind;
  readonly reason: RejectReason;
  readonly labelState: LabelState;
  readonly label: string;
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
  /** What the frame held, once it was read, escaped; empty before. */
  readonly excerpt: string;
}

/** What is known of gossip encryption: nothing of the keys themselves. */
export interface EncryptionView {
  /** How many keys are in use; 0: none are configured. */
  keys(): number;
  readonly reseal: boolean;
  /** Why the key files cannot be read as they are now. */
  problem(): string | undefined;
}

/** What is known of the fence's own certificate. */
export interface TlsView {
  /** When the one in use ends, ms since the epoch; undefined: this fence opens no TLS. */
  notAfterMs(): number | undefined;
  /** What is wrong with the files or the certificate in use. */
  problem(): string | undefined;
}

export interface FenceView {
  readonly name: string;
  readonly cluster: string;
  readonly mode: 'listen' | 'transparent';
  /** Whether what the app dials passes the fence. */
  readonly guardsOutbound: boolean;
  readonly engine: 'portable' | 'linux';
  /** Why that one, in one line. */
  readonly engineReason: string;
  readonly dialects: Dialects;
  readonly hasAdmissionRules: boolean;
  /** The highest stage that this fence can carry out, and why; undefined when there is no bound. */
  readonly ceiling: { readonly stage: Stage; readonly why: string } | undefined;
  now(): number;
  stage(): Stage;
  /** Goes through the guard of the stage machine; the answer comes when it is in force in every thread. */
  requestStage(wish: StageWish): Promise<StageAnswer>;
  appUp(): boolean | undefined;
  /** Why it is not ready, as last looked; empty when it is. */
  notReady(): readonly string[];
  tally(): TallyReading;
  open(): { readonly sessions: number; readonly streamsInbound: number; readonly streamsOutbound: number };
  peers(): readonly PeerRecord[];
  rejections(limit: number): readonly RejectionView[];
  /** Rejections that came too fast to be among them. */
  rejectionsLeftOut(): number;
  foreignLabels(limit: number): readonly { readonly label: string; readonly count: number; readonly lastMs: number }[];
  foreignPeers(): number;
  /** What gossip says of the ring; undefined while inspection is off. */
  readonly ring: Pick<Ring, RingParts> | undefined;
  inspectionSkipped(): InspectionSkipped | undefined;
  /** Who opens whose encrypted gossip; none while inspection is off. */
  sealedPeers(): readonly SealedPeer[];
  /** Whether foreign members are stripped, from accept on. */
  readonly quarantine: boolean;
  readonly encryption: EncryptionView;
  readonly tls: TlsView;
  /** What is wrong with the files of the process: the configuration as it is now, the state file. */
  fileProblems(): readonly string[];
  readonly adoption: AdoptionView;
}

/** How far the fence is on its way to the own label, and what is known of the others. */
export interface AdoptionView {
  /** The cluster's label. */
  readonly label: Uint8Array;
  /** The app's name in gossip; undefined until it is known. */
  member(): string | undefined;
  readonly machine: Pick<StageMachine, 'origin' | 'sinceMs' | 'starting' | 'auto' | 'waitsFor'>;
  readonly evidence: {
    situation(): Situation;
    evidence(): readonly Evidence[];
    step(to: Stage): Step;
    fallbacks(): readonly Fallback[];
    /** How many addresses are known to have several members behind them. */
    ambiguous(): number;
    removable(): Removable;
  };
  /** Each configured DNS name and what it last answered. */
  dns(): readonly DnsName[];
}

type RingParts =
  | 'members'
  | 'memberCounts'
  | 'foreignTuples'
  | 'instances'
  | 'alarms'
  | 'warnings'
  | 'canTellMerges'
  | 'warmingUp'
  | 'quarantineRules';

export interface AdminView {
  readonly version: string;
  readonly fences: readonly FenceView[];
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>;
}
