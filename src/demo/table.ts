/**
 * The member list, and what gossip does to it: alive, suspect, dead, incarnations and refutation. Mirrors memberlist state.go
 * `aliveNode`, `suspectNode`, `deadNode`, `refute` and `mergeState`.
 */
import type { Endpoint } from '../datapath/engine.ts';
import { sameBytes } from '../wire/label.ts';
import { NODE_META_MAX_BYTES } from '../wire/limits.ts';
import { encodeMessage, type MessageOf } from '../wire/messages.ts';
import { NODE_STATE, type PushPullNode } from '../wire/push-pull.ts';
import { addressBytes, endpointOf, sameEndpoint } from './address.ts';
import { MEMBERS_MAX, type MemberSettings, NAME_MAX_CHARS, VERSIONS } from './settings.ts';
import { type Suspicion, startSuspicion } from './suspicion.ts';

export type MemberState = keyof typeof NODE_STATE;

export interface Member {
  readonly name: string;
  endpoint: Endpoint;
  meta: Uint8Array;
  versions: Uint8Array;
  incarnation: number;
  state: MemberState;
  /** performance.now() of the last change of state. */
  changedMs: number;
}

export interface TableEvent {
  readonly kind: 'joined' | 'suspected' | 'died' | 'left' | 'refuted' | 'conflict';
  readonly name: string;
  readonly endpoint: Endpoint;
}

export interface TableOptions {
  readonly settings: MemberSettings;
  broadcast(name: string, message: Uint8Array, done?: () => void): void;
  onEvent(event: TableEvent): void;
}

type Alive = MessageOf<'alive'>;
type Accusation = Pick<MessageOf<'suspect'>, 'Node' | 'Incarnation' | 'From'>;

export class MemberTable {
  readonly #options: TableOptions;
  readonly #members = new Map<string, Member>();
  readonly #suspicions = new Map<string, Suspicion>();
  readonly #self: Member;
  #leaving = false;
  #stopped = false;

  constructor(options: TableOptions) {
    this.#options = options;
    const { name, advertise } = options.settings;
    this.#self = {
      name,
      endpoint: advertise,
      meta: new Uint8Array(0),
      versions: VERSIONS,
      incarnation: 1,
      state: 'alive',
      changedMs: performance.now(),
    };
    this.#members.set(name, this.#self);
    this.#announceSelf();
  }

  /** Everyone that is known, dead and left members included, oneself too. The live objects: read only. */
  all(): readonly Member[] {
    return [...this.#members.values()];
  }

  get size(): number {
    return this.#members.size;
  }

  isSelf(name: string): boolean {
    return name === this.#self.name;
  }

  get(name: string): Member | undefined {
    return this.#members.get(name);
  }

  alive(message: Alive): void {
    const endpoint = endpointOf(message.Addr, message.Port);
    const [min, max] = message.Vsn;
    // state.go refuses these versions; fewer than six bytes crash members up to v0.6.0, and a stock member always sends six.
    if (endpoint === undefined || message.Vsn.length < VERSIONS.length || !min || !max || min > max) return;
    // A stranger's message that no packet of ours can carry would wait in the queue for ever.
    if (message.Node.length > NAME_MAX_CHARS || message.Meta.length > NODE_META_MAX_BYTES) return;
    if (message.Node === this.#self.name) {
      this.#aliveSelf(message, endpoint);
      return;
    }
    const known = this.#members.get(message.Node);
    if (known !== undefined) {
      const moved = !sameEndpoint(known.endpoint, endpoint);
      if (moved && known.state !== 'left') {
        this.#event('conflict', message.Node, endpoint);
        return;
      }
      if (message.Incarnation <= known.incarnation && !moved) return;
    } else if (this.#members.size >= MEMBERS_MAX) {
      return;
    }
    this.#suspicions.get(message.Node)?.cancel();
    this.#suspicions.delete(message.Node);
    const wasGone = known === undefined || known.state === 'dead' || known.state === 'left';
    const changedMs = known?.state === 'alive' ? known.changedMs : performance.now();
    const { Node: name, Incarnation: incarnation } = message;
    // Copies: the message's bytes are a view of the packet.
    const meta = Uint8Array.from(message.Meta);
    const versions = Uint8Array.from(message.Vsn);
    this.#members.set(name, { name, endpoint, meta, versions, incarnation, state: 'alive', changedMs });
    this.#options.broadcast(name, encodeMessage(message));
    if (wasGone) this.#event('joined', name, endpoint);
  }

  /** Somebody else's word about us: ours stands, louder where they differ. */
  #aliveSelf(message: Alive, endpoint: Endpoint): void {
    const self = this.#self;
    if (this.#leaving || message.Incarnation < self.incarnation) return;
    const same = message.Incarnation === self.incarnation && sameBytes(message.Meta, self.meta);
    if (same && sameBytes(message.Vsn, self.versions)) return;
    if (sameEndpoint(endpoint, self.endpoint)) this.#refute(message.Incarnation);
    else this.#event('conflict', self.name, endpoint);
  }

  suspect({ Node, Incarnation, From }: Accusation): void {
    const member = this.#members.get(Node);
    if (member === undefined || Incarnation < member.incarnation || From.length > NAME_MAX_CHARS) return;
    const message = encodeMessage({ type: 'suspect', Node, Incarnation, From });
    const suspicion = this.#suspicions.get(Node);
    if (suspicion !== undefined) {
      if (suspicion.confirm(From)) this.#options.broadcast(Node, message);
      return;
    }
    if (member.state !== 'alive' || this.#stopped) return;
    if (member === this.#self) {
      this.#refute(Incarnation);
      return;
    }
    this.#options.broadcast(Node, message);
    member.incarnation = Incarnation;
    this.#change(member, 'suspect');
    const expire = () => this.dead({ Node, Incarnation: member.incarnation, From: this.#self.name });
    const { probeIntervalMs } = this.#options.settings.timing;
    this.#suspicions.set(Node, startSuspicion(From, this.size, probeIntervalMs, expire));
    this.#event('suspected', Node, member.endpoint);
  }

  dead({ Node, Incarnation, From }: Accusation): void {
    const member = this.#members.get(Node);
    if (member === undefined || Incarnation < member.incarnation || From.length > NAME_MAX_CHARS) return;
    this.#suspicions.get(Node)?.cancel();
    this.#suspicions.delete(Node);
    if (member.state === 'dead' || member.state === 'left') return;
    if (member === this.#self && !this.#leaving) {
      this.#refute(Incarnation);
      return;
    }
    this.#options.broadcast(Node, encodeMessage({ type: 'dead', Node, Incarnation, From }));
    member.incarnation = Incarnation;
    this.#change(member, Node === From ? 'left' : 'dead');
    this.#event(Node === From ? 'left' : 'died', Node, member.endpoint);
  }

  /** Takes over what a push/pull brought; a dead member is only suspected, so that it can refute. */
  merge(nodes: readonly PushPullNode[]): void {
    for (const { Name: Node, Incarnation, State, Addr, Port, Meta, Vsn } of nodes) {
      const From = State === NODE_STATE.left ? Node : this.#self.name;
      if (State === NODE_STATE.alive) this.alive({ type: 'alive', Incarnation, Node, Addr, Port, Meta, Vsn });
      else if (State === NODE_STATE.left) this.dead({ Node, Incarnation, From });
      else if (State === NODE_STATE.dead || State === NODE_STATE.suspect) this.suspect({ Node, Incarnation, From });
    }
  }

  /** The table as a push/pull carries it. */
  states(): PushPullNode[] {
    return this.all().map((member) => ({
      Name: member.name,
      Addr: addressBytes(member.endpoint.address),
      Port: member.endpoint.port,
      Meta: member.meta,
      Incarnation: member.incarnation,
      State: NODE_STATE[member.state],
      Vsn: member.versions,
    }));
  }

  /** Says goodbye; resolves once it was gossiped often enough (or at once, with nobody to tell). */
  leave(): Promise<void> {
    this.#leaving = true;
    const { name: Node, incarnation: Incarnation } = this.#self;
    this.#change(this.#self, 'left');
    return new Promise((resolve) => {
      this.#options.broadcast(Node, encodeMessage({ type: 'dead', Node, Incarnation, From: Node }), resolve);
      const listeners = this.all().some((member) => member !== this.#self && member.state === 'alive');
      if (!listeners) resolve();
    });
  }

  /** Forgets members that are long gone (state.go `resetNodes`). */
  reap(gossipToTheDeadMs: number): void {
    for (const member of this.all()) {
      const gone = member.state === 'dead' || member.state === 'left';
      if (gone && member !== this.#self && performance.now() - member.changedMs > gossipToTheDeadMs) {
        this.#members.delete(member.name);
      }
    }
  }

  /** Ends every timer, for good. */
  stop(): void {
    this.#stopped = true;
    for (const suspicion of this.#suspicions.values()) suspicion.cancel();
    this.#suspicions.clear();
  }

  #refute(accusedIncarnation: number): void {
    // Incarnations are 32 bits on the wire; a forged top value ends the game for memberlist as well.
    this.#self.incarnation = Math.min(2 ** 32 - 1, Math.max(this.#self.incarnation, accusedIncarnation) + 1);
    this.#announceSelf();
    this.#event('refuted', this.#self.name, this.#self.endpoint);
  }

  #announceSelf(): void {
    const { name, endpoint, meta, versions, incarnation } = this.#self;
    const place = { Addr: addressBytes(endpoint.address), Port: endpoint.port };
    const message = {
      type: 'alive',
      Node: name,
      Incarnation: incarnation,
      ...place,
      Meta: meta,
      Vsn: versions,
    } as const;
    this.#options.broadcast(name, encodeMessage(message));
  }

  #change(member: Member, state: MemberState): void {
    member.state = state;
    member.changedMs = performance.now();
  }

  #event(kind: TableEvent['kind'], name: string, endpoint: Endpoint): void {
    this.#options.onEvent({ kind, name, endpoint });
  }
}
