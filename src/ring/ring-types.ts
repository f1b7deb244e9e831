/** The ring's interface: what it is fed with, and what it shows. */
import type { IdentityRules } from '../policy/identity.ts';
import type { SealForm } from '../wire/encryption.ts';
import type { KvPair } from '../wire/kv.ts';
import type { Message } from '../wire/messages.ts';
import type { PushPullNode } from '../wire/push-pull.ts';
import type { AddressRules } from './address-rules.ts';
import type { IsLocal } from './app-name.ts';
import type { ForeignSighting } from './foreign.ts';
import type { KvInstance, KvKey } from './instances.ts';
import type { MemberView } from './member-view.ts';
import type { MemberState } from './members.ts';
import type { MergeAlarm } from './merge.ts';
import type { QuarantineRules } from './quarantine.ts';
import type { FrameSource } from './source.ts';
import type { MergeWarning } from './warnings.ts';

/** A sighting, and whether the tuple counts as our own nevertheless. */
export interface ForeignTuple extends ForeignSighting {
  readonly own: boolean;
}

/** Bounds of the tables, in entries. */
export interface RingLimits {
  readonly members: number;
  readonly foreignTuples: number;
  readonly foreignTuplesPerSender: number;
  readonly kvKeys: number;
  readonly instances: number;
  readonly alarms: number;
  readonly warnings: number;
}

/** Members: the largest rings known have some thousands. The rest follows: a foreign ring is no larger, and who merges names it whole. */
export const RING_LIMITS: RingLimits = {
  members: 10_000,
  foreignTuples: 16_384,
  foreignTuplesPerSender: 10_000,
  kvKeys: 1_000,
  instances: 10_000,
  alarms: 1_000,
  warnings: 1_000,
};

export interface RingOptions {
  /** When the fence started: the warm-up (merge.ts) counts from here. */
  readonly startedMs: number;
  /** Default WARM_UP_MS; 0 where the order of all frames is known, as in a capture. */
  readonly warmUpMs?: number;
  /** How long who is dead must be remembered, so that readiness waits for them: the window of the memory of peers. */
  readonly windowMs?: number;
  readonly identity: IdentityRules;
  /** How long something may look foreign before it is warned of, ms. */
  readonly graceMs: number;
  readonly limits?: Partial<RingLimits>;
  /** Whether the address lately showed the own label (ring/peers.ts). */
  proven(address: string, nowMs: number): boolean;
  /** Whether a member there is our own app. Default: nowhere. */
  isLocal?: IsLocal;
  /** Whether quarantine is carried out now: what it strips does not become our app's view. Default: never. */
  quarantining?(): boolean;
}

/** What a push/pull's header says. */
export interface PushPullHeader {
  readonly nodes: number;
  readonly userStateBytes: number;
  readonly join: boolean;
}

/** Entries that made room before their time, or found none, by table. */
export type RingEvictions = Readonly<
  Record<'members' | 'own_tuples' | 'foreign_tuples' | 'addresses' | 'kv_keys' | 'instances', number>
>;

export interface Ring {
  /** A frame arrived or left; `form` is how it was sealed, where keys opened it. Before what is inside of it. */
  frame(source: FrameSource, form: SealForm | undefined): void;
  message(source: FrameSource, message: Message): void;
  pushPull(source: FrameSource, header: PushPullHeader): void;
  /** Every row that the header announced was read. */
  tableRead(source: FrameSource, header: PushPullHeader): void;
  node(source: FrameSource, node: PushPullNode): void;
  kv(source: FrameSource, pair: KvPair): void;
  /** When a member table of somebody who does not just join was last read whole; 0: never. */
  tableMs(): number;
  /** Our own app's name, as it is; undefined until it is known. */
  app(): string | undefined;
  members(nowMs: number): MemberView[];
  /** How many members there are in each state, without copies of them. */
  memberCounts(nowMs: number): Readonly<Record<MemberState, number>>;
  foreignTuples(nowMs: number): ForeignTuple[];
  instances(nowMs: number): { readonly keys: KvKey[]; readonly instances: KvInstance[] };
  /** Standing alarms, the newest first. */
  alarms(nowMs: number): MergeAlarm[];
  /** Alarms ever raised. */
  alarmsRaised(): number;
  warnings(nowMs: number): MergeWarning[];
  /** Without identity rules and foreign sightings an unlabelled merge cannot be told from growth. */
  canTellMerges(): boolean;
  warmingUp(nowMs: number): boolean;
  /** The same object until something changed; about a second old at most. */
  quarantineRules(nowMs: number): QuarantineRules;
  /** What gossip says of addresses, for admission. The same object until something changed; about a second old at most. */
  addressRules(nowMs: number): AddressRules;
  /** Takes other identity rules, for everything that is known; walks every member. */
  setIdentity(rules: IdentityRules): void;
  evictions(): RingEvictions;
}
