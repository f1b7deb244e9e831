/**
 * What gossip teaches about the ring: members, foreign sightings, dskit's keys and instances, merges. Fed with what inspection reads
 * from frames, in their order; every table is bounded, and evictions are counted. No clock: frames carry their time, views take it.
 */
import { createIdentity, type IdentityRules } from '../policy/identity.ts';
import type { SealForm } from '../wire/encryption.ts';
import type { KvPair } from '../wire/kv.ts';
import type { Message } from '../wire/messages.ts';
import { NODE_STATE, type PushPullNode } from '../wire/push-pull.ts';
import { type AddressRules, createAddressKeeper } from './address-rules.ts';
import { bringerOf, ForeignTable, type NamedIn } from './foreign.ts';
import { HeardTable } from './heard.ts';
import { Instances, type KvInstance, type KvKey } from './instances.ts';
import { type MemberView, memberViews } from './member-view.ts';
import { type MemberState, Members, SILENT_MS } from './members.ts';
import { type MergeAlarm, MergeWatch, WARM_UP_MS } from './merge.ts';
import {
  createQuarantine,
  NO_QUARANTINE_RULES,
  type QuarantineRules,
  type QuarantineSet,
  type Tuple,
} from './quarantine.ts';
import { fateOfMessage, fateOfRow, isForeignSpeaker } from './quarantine-entry.ts';
import { createRulesKeeper } from './quarantine-rules.ts';
import {
  type ForeignTuple,
  type PushPullHeader,
  RING_LIMITS,
  type Ring,
  type RingEvictions,
  type RingLimits,
  type RingOptions,
} from './ring-types.ts';
import { type FrameSource, isForeignWord, isOwnGossip, spokenByPeer } from './source.ts';
import { tupleOf } from './tuple.ts';
import { type MergeWarning, mergeWarnings } from './warnings.ts';

export * from './ring-types.ts';

/** How often what is too old is looked for, ms. */
const PRUNE_EVERY_MS = 30_000;

/** Own tuples for each member: a restarted one has a new address, and the old one lives on for OWN_TUPLE_MS. */
const OWN_TUPLES_PER_MEMBER = 2;

export function createRing(options: RingOptions): Ring {
  return new RingTables(options);
}

class RingTables implements Ring {
  readonly #options: RingOptions;
  readonly #limits: RingLimits;
  readonly #heard: HeardTable;
  readonly #members: Members;
  readonly #foreign: ForeignTable;
  readonly #merge: MergeWatch;
  readonly #instances: Instances;
  readonly #rules: (nowMs: number) => QuarantineRules;
  readonly #addresses: (nowMs: number) => AddressRules;
  #identity: IdentityRules;
  #hasRules: boolean;
  #set: { readonly rules: QuarantineRules; readonly set: QuarantineSet };
  #prunedMs = 0;
  #tableMs = 0;
  readonly tableMs = () => this.#tableMs;
  readonly app = () => this.#members.app.name;

  constructor(options: RingOptions) {
    const limits = { ...RING_LIMITS, ...options.limits };
    const identity = createIdentity(options.identity);
    const { startedMs, warmUpMs = WARM_UP_MS, proven, isLocal = () => false, windowMs = 0 } = options;
    const provenSince = (address: string, sinceMs: number, nowMs: number) =>
      proven(address, nowMs) && this.#heard.ownLabelMs(address) >= sinceMs;
    const vouched = (address: string, nowMs: number) => this.#heard.vouched(address) || proven(address, nowMs);
    const ownTuples = limits.members * OWN_TUPLES_PER_MEMBER;
    this.#options = options;
    this.#limits = limits;
    this.#identity = options.identity;
    this.#hasRules = identity.hasRules;
    this.#heard = new HeardTable(limits.members * 2);
    this.#members = new Members({ limit: limits.members, identity, isLocal, vouched, keptMs: windowMs });
    this.#foreign = new ForeignTable(limits);
    this.#merge = new MergeWatch(
      { startedMs, warmUpMs, ownTuples, alarms: limits.alarms, provenSince, vouched },
      this.#foreign,
    );
    this.#instances = new Instances(limits, identity);
    this.#addresses = createAddressKeeper(this.#members, this.#foreign, this.#merge, () => this.#identity);
    this.#rules = createRulesKeeper(() => this.#identity, this.#members, this.#foreign, this.#merge, proven);
    this.#set = { rules: NO_QUARANTINE_RULES, set: createQuarantine(NO_QUARANTINE_RULES) };
  }

  frame(source: FrameSource, form: SealForm | undefined): void {
    this.#heard.note(source, form);
    if (source.atMs - this.#prunedMs >= PRUNE_EVERY_MS) this.#prune(source.atMs);
  }

  message(source: FrameSource, message: Message): void {
    const byPeer = spokenByPeer(source);
    if (isForeignWord(source)) {
      if (message.type === 'alive') this.#foreignAlive(source, tupleOf(message.Node, message), 'alive');
      return;
    }
    if (!isOwnGossip(source)) return;
    if (message.type === 'ping' && !byPeer) this.#members.app.show(message.SourceNode);
    if (message.type === 'alive') this.#ownAlive(source, tupleOf(message.Node, message), 'alive');
    const set = this.#quarantine(source);
    if (set !== undefined && fateOfMessage(message, set) !== 'pass') return;
    const word = { atMs: source.atMs, byApp: !byPeer };
    if (message.type === 'alive') this.#members.alive(word, message);
    else if (message.type === 'suspect') this.#members.suspect(word, message);
    else if (message.type === 'dead') this.#members.dead(word, message);
  }

  pushPull(source: FrameSource, _header: PushPullHeader): void {
    if (isOwnGossip(source)) this.#merge.ownTable(source.atMs);
  }

  tableRead(source: FrameSource, { join }: PushPullHeader): void {
    // Who joins lists little more than itself.
    if (isOwnGossip(source) && (source.answer || !join)) this.#tableMs = source.atMs;
  }

  node(source: FrameSource, node: PushPullNode): void {
    const alive = node.State === NODE_STATE.alive;
    if (isForeignWord(source)) {
      if (alive) this.#foreignAlive(source, tupleOf(node.Name, node), 'pushPull');
      return;
    }
    if (!isOwnGossip(source)) return;
    if (alive) this.#ownAlive(source, tupleOf(node.Name, node), 'pushPull');
    const set = this.#quarantine(source);
    if (set !== undefined && fateOfRow(node, set, isForeignSpeaker(source, set)) !== 'pass') return;
    this.#members.row({ atMs: source.atMs, byApp: !spokenByPeer(source) }, node);
  }

  kv(source: FrameSource, pair: KvPair): void {
    if (isOwnGossip(source)) this.#instances.note(pair, source.atMs, this.#merge.warmingUp(source.atMs));
  }

  members(nowMs: number): MemberView[] {
    this.#prune(nowMs);
    return memberViews(this.#members, this.#heard, (key) => {
      const sighting = this.#foreign.get(key);
      return sighting !== undefined && this.#merge.isForeigner(key, sighting, nowMs) ? sighting.label : undefined;
    });
  }

  memberCounts(nowMs: number): Readonly<Record<MemberState, number>> {
    this.#prune(nowMs);
    const counts = { alive: 0, suspect: 0, dead: 0, left: 0 };
    for (const { state } of this.#members.all()) counts[state]++;
    return counts;
  }

  foreignTuples(nowMs: number): ForeignTuple[] {
    this.#prune(nowMs);
    return Array.from(this.#foreign.entries(), ([key, sighting]) => {
      const { name, address, port, label, firstMs, lastMs, broughtBy } = sighting;
      const own = !this.#merge.isForeigner(key, sighting, nowMs);
      return { name, address, port, label, firstMs, lastMs, broughtBy, own };
    });
  }

  instances(nowMs: number): { readonly keys: KvKey[]; readonly instances: KvInstance[] } {
    this.#prune(nowMs);
    return { keys: [...this.#instances.keys()], instances: [...this.#instances.all()] };
  }

  alarms(nowMs: number): MergeAlarm[] {
    this.#prune(nowMs);
    return this.#merge.alarms();
  }

  alarmsRaised(): number {
    return this.#merge.raised;
  }

  warnings(nowMs: number): MergeWarning[] {
    this.#prune(nowMs);
    return mergeWarnings(
      this.#members.all(),
      this.#instances.all(),
      nowMs,
      this.#options.graceMs,
      this.#limits.warnings,
    );
  }

  canTellMerges(): boolean {
    return this.#hasRules || this.#foreign.size > 0;
  }

  warmingUp(nowMs: number): boolean {
    return this.#merge.warmingUp(nowMs);
  }

  quarantineRules(nowMs: number): QuarantineRules {
    return this.#rules(nowMs);
  }

  addressRules(nowMs: number): AddressRules {
    return this.#addresses(nowMs);
  }

  setIdentity(rules: IdentityRules): void {
    const identity = createIdentity(rules);
    this.#identity = rules;
    this.#hasRules = identity.hasRules;
    this.#members.setIdentity(identity);
    this.#instances.setIdentity(identity);
  }

  evictions(): RingEvictions {
    return {
      members: this.#members.evictions,
      own_tuples: this.#merge.ownEvictions,
      foreign_tuples: this.#foreign.evictions,
      addresses: this.#heard.evictions,
      kv_keys: this.#instances.keyEvictions,
      instances: this.#instances.instanceEvictions,
    };
  }

  #ownAlive(source: FrameSource, tuple: Tuple, message: NamedIn): void {
    this.#merge.ownAlive(tuple, bringerOf(source, message));
  }

  #foreignAlive(source: FrameSource, tuple: Tuple, message: NamedIn): void {
    this.#merge.foreignAlive(tuple, source.label, bringerOf(source, message));
  }

  /** What is stripped on the way that `source` took; undefined when nothing is. */
  #quarantine({ atMs }: FrameSource): QuarantineSet | undefined {
    if (this.#options.quarantining?.() !== true) return undefined;
    const rules = this.#rules(atMs);
    if (rules !== this.#set.rules) this.#set = { rules, set: createQuarantine(rules) };
    return this.#set.set;
  }

  #prune(nowMs: number): void {
    this.#prunedMs = nowMs;
    this.#members.prune(nowMs);
    this.#merge.prune(nowMs);
    this.#instances.prune(nowMs);
    this.#instances.match(this.#members.livingAddresses(), nowMs);
    this.#heard.prune(nowMs - SILENT_MS);
  }
}
