/**
 * The members that our own gossip names, as our app must see them: memberlist state.go `aliveNode`, `suspectNode`, `deadNode` and
 * `mergeState`, without timers and refutation. A member's name is the key, as decodeText gives it, so that no two names fall together.
 *
 * What differs from a member: our app's own rows are its table, so they count as they are; its other words may move a member, because
 * it repeats only what it took. A member that is gone for REAPED_MS may come back under any incarnation, as after state.go
 * `resetNodes`. A suspect that nobody buries or clears stays one.
 */
import type { Identity, Outside } from '../policy/identity.ts';
import { NODE_META_MAX_BYTES } from '../wire/limits.ts';
import type { MessageOf } from '../wire/messages.ts';
import { NODE_STATE, type PushPullNode } from '../wire/push-pull.ts';
import { AppName, type IsLocal } from './app-name.ts';
import { BoundedTable } from './bounded.ts';
import { hasBadVersions, type Versions, versionsOf } from './member-versions.ts';
import { addressText, NAME_MAX_CHARS } from './tuple.ts';

/** memberlist config.go `DefaultLANConfig` GossipToTheDeadTime: after it a dead member is forgotten. WAN has 60 s. */
export const REAPED_MS = 30_000;

/** How long a dead or left member is still shown, at least. */
export const GONE_MS = 10 * 60_000;

/** A member that nobody names for so long is forgotten: a push/pull names all, every few minutes even in rings of thousands. */
export const SILENT_MS = 60 * 60_000;

export type MemberState = keyof typeof NODE_STATE;
const STATES = Object.keys(NODE_STATE) as MemberState[];

export interface Member {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly state: MemberState;
  readonly incarnation: number;
  /** Undefined when no message carried all six. */
  readonly protocol: Versions | undefined;
  readonly delegate: Versions | undefined;
  /** At most NODE_META_MAX_BYTES, what was longer is cut; a copy. */
  readonly meta: Uint8Array;
  readonly firstSeenMs: number;
  /** Since when gossip has it at `address`: what came from there before is no word of its. */
  readonly addressSinceMs: number;
  /** When our own gossip last named it. */
  readonly lastSeenMs: number;
  readonly stateSinceMs: number;
  readonly outside: Outside | undefined;
}

/** When something is said, and whether our own app says it. */
export interface Word {
  readonly atMs: number;
  readonly byApp: boolean;
}

export interface MembersOptions {
  readonly limit: number;
  readonly identity: Identity;
  readonly isLocal: IsLocal;
  /** Whether nobody can make up that this address is a member's; such members outlive any flood of names. */
  vouched(address: string, nowMs: number): boolean;
  /** How long who is gone is kept at least. */
  readonly keptMs?: number;
}

type Writable = { -readonly [K in keyof Member]: Member[K] };
type Alive = Omit<MessageOf<'alive'>, 'type'>;
type Accusation = Omit<MessageOf<'suspect'>, 'type'>;

export class Members {
  readonly #options: MembersOptions;
  readonly #table: BoundedTable<Writable>;
  #identity: Identity;
  #tooLong = 0;
  #changes = 0;
  readonly app: AppName;

  constructor(options: MembersOptions) {
    this.#options = options;
    this.#identity = options.identity;
    this.app = new AppName(options.isLocal);
    this.#table = new BoundedTable(options.limit);
  }

  get size(): number {
    return this.#table.size;
  }

  /** Members that made room before their time, found none, or have a longer name than the table takes. */
  get evictions(): number {
    return this.#table.evictions + this.#tooLong;
  }

  /** Grows whenever a member came, went, moved, or changed its state or its side of the identity rules. */
  get changes(): number {
    return this.#changes + this.#table.evictions;
  }

  /** Takes other identity rules, for every member. */
  setIdentity(identity: Identity): void {
    this.#identity = identity;
    this.#changes++;
    for (const member of this.#table.values()) member.outside = identity.outside(member.name, member.address);
  }

  isApp(name: string): boolean {
    return name === this.app.name;
  }

  get(name: string): Member | undefined {
    return this.#table.get(name);
  }

  /** The live records: read only, and not beyond the next message. */
  all(): Generator<Member> {
    return this.#table.values();
  }

  /** Where members are that are alive or suspect. */
  livingAddresses(): Set<string> {
    const addresses = new Set<string>();
    for (const { state, address } of this.#table.values()) {
      if (state === 'alive' || state === 'suspect') addresses.add(address);
    }
    return addresses;
  }

  alive(word: Word, message: Alive): void {
    if (hasBadVersions(message.Vsn)) return;
    const known = this.#table.get(message.Node);
    if (known === undefined) {
      this.#add(word, message, 'alive');
      return;
    }
    const address = addressText(message.Addr);
    const moved = known.address !== address || known.port !== message.Port;
    const gone = known.state === 'dead' || known.state === 'left';
    const reaped = gone && word.atMs - known.stateSinceMs > REAPED_MS;
    const mayMove = known.state === 'left' || reaped || word.byApp;
    if (moved && !mayMove) return;
    this.#touch(word, known);
    if (message.Incarnation <= known.incarnation && !moved && !reaped) return;
    this.#take(word, known, message, 'alive');
  }

  suspect({ atMs, byApp }: Word, { Node, Incarnation }: Accusation): void {
    const known = this.#table.get(Node);
    if (known === undefined || Incarnation < known.incarnation || known.state !== 'alive') return;
    // Our app refutes what others say of it.
    if (this.isApp(Node) && !byApp) return;
    known.incarnation = Incarnation;
    this.#change(known, 'suspect', atMs);
  }

  dead({ atMs, byApp }: Word, { Node, Incarnation, From }: Accusation): void {
    const known = this.#table.get(Node);
    if (known === undefined || Incarnation < known.incarnation) return;
    if (known.state === 'dead' || known.state === 'left' || (this.isApp(Node) && !byApp)) return;
    known.incarnation = Incarnation;
    this.#change(known, From === Node ? 'left' : 'dead', atMs);
  }

  /** A row of a push/pull; a state that memberlist does not know is nothing to it either. */
  row(word: Word, { Name, State, ...rest }: PushPullNode): void {
    const state = STATES[State];
    if (state === undefined) return;
    if (word.byApp) this.#appRow(word, { Node: Name, ...rest }, state);
    else if (state === 'alive') this.alive(word, { Node: Name, ...rest });
    else {
      const { Incarnation } = rest;
      if (state === 'left') this.dead(word, { Node: Name, Incarnation, From: Name });
      // A member that another one holds for dead is only suspected, so that it can refute.
      else this.suspect(word, { Node: Name, Incarnation, From: '' });
      const known = this.#table.get(Name);
      if (known !== undefined) this.#touch(word, known);
    }
  }

  /** Forgets who is gone, and whom nobody names any more. */
  prune(nowMs: number): void {
    const before = this.#table.size;
    const goneMs = Math.max(GONE_MS, this.#options.keptMs ?? 0);
    this.#table.prune(({ state, stateSinceMs, lastSeenMs }) => {
      const goneLong = (state === 'dead' || state === 'left') && nowMs - stateSinceMs > goneMs;
      return goneLong || nowMs - lastSeenMs > SILENT_MS;
    });
    this.#changes += before - this.#table.size;
  }

  #appRow(word: Word, message: Alive, state: MemberState): void {
    const known = this.#table.get(message.Node);
    if (known === undefined) this.#add(word, message, state);
    else this.#take(word, known, message, state);
  }

  #add(word: Word, message: Alive, state: MemberState): void {
    if (message.Node.length > NAME_MAX_CHARS) {
      this.#tooLong++;
      return;
    }
    const member: Writable = {
      name: message.Node,
      address: '',
      port: 0,
      state,
      incarnation: 0,
      protocol: undefined,
      delegate: undefined,
      meta: new Uint8Array(0),
      firstSeenMs: word.atMs,
      addressSinceMs: word.atMs,
      lastSeenMs: word.atMs,
      stateSinceMs: word.atMs,
      outside: undefined,
    };
    this.#take(word, member, message, state);
  }

  #take(word: Word, member: Writable, message: Alive, state: MemberState): void {
    const address = addressText(message.Addr);
    if (address !== member.address) {
      member.address = address;
      member.addressSinceMs = word.atMs;
      this.#changes++;
      member.outside = this.#identity.outside(member.name, address);
    }
    if (member.port !== message.Port) this.#changes++;
    member.port = message.Port;
    member.incarnation = message.Incarnation;
    // Not slice: a Buffer would only give a view of the frame.
    member.meta = Uint8Array.from(message.Meta.subarray(0, NODE_META_MAX_BYTES));
    const versions = versionsOf(message.Vsn);
    if (versions !== undefined) Object.assign(member, versions);
    this.#change(member, state, word.atMs);
    if (word.byApp && state === 'alive') this.app.named(member.name, address, member.port);
    this.#touch(word, member);
  }

  #touch({ atMs }: Word, member: Writable): void {
    member.lastSeenMs = atMs;
    this.#table.put(member.name, member, this.#options.vouched(member.address, atMs));
  }

  #change(member: Writable, state: MemberState, atMs: number): void {
    if (member.state === state) return;
    member.state = state;
    member.stateSinceMs = atMs;
    this.#changes++;
  }
}
