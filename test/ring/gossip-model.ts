/**
 * A small memberlist in simulated time, on real frames: members gossip, probe, suspect, bury, refute, exchange tables and reconnect as
 * memberlist state.go does, and some have a fence whose ring reads every frame and whose quarantine rewrites it.
 */
import { inspectPacket } from '../../src/ring/inspect-packet.ts';
import { createStreamInspection } from '../../src/ring/inspect-stream.ts';
import { createQuarantine } from '../../src/ring/quarantine.ts';
import { quarantinePacket } from '../../src/ring/quarantine-packet.ts';
import { quarantinePushPull } from '../../src/ring/quarantine-push-pull.ts';
import { createRing, type Ring, type RingOptions } from '../../src/ring/ring.ts';
import type { FrameSource } from '../../src/ring/source.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { encodeMessage, type Message } from '../../src/wire/messages.ts';
import { decodePushPull, encodePushPull, NODE_STATE, type PushPullNode } from '../../src/wire/push-pull.ts';
import { walkPacket } from '../../src/wire/walk.ts';

export const TICK_MS = 500;
const SUSPICION_MS = 6_000;
const DEAD_KEPT_MS = 30_000;
const TRANSMITS = 4;
const GOSSIP_NODES = 3;
const PUSH_PULL_EVERY_MS = 30_000;
const PORT = 7946;

type State = keyof typeof NODE_STATE;
const STATES = Object.keys(NODE_STATE) as State[];

/** Deterministic numbers in [0, 1). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Row {
  readonly name: string;
  address: string;
  incarnation: number;
  state: State;
  changedMs: number;
}

/** What a fence sees, for a test to keep its own books. */
export type Watch = (source: FrameSource, messages: readonly Message[], rows: readonly PushPullNode[]) => void;

export interface ModelFence {
  readonly ring: Ring;
  /** Foreign labels are rejected, as from `accept` on. */
  quarantine: boolean;
  readonly watch: Watch | undefined;
}

const bytesOf = (address: string) => Uint8Array.from(address.split('.').map(Number));
const VSN = Uint8Array.of(1, 5, 2, 2, 5, 4);
const NO_BYTES = new Uint8Array(0);

export class ModelMember {
  readonly world: World;
  readonly name: string;
  address: string;
  /** What this member's frames carry on the wire; undefined: nothing. */
  label: string | undefined;
  fence: ModelFence | undefined;
  readonly table = new Map<string, Row>();
  readonly queue = new Map<string, { readonly bytes: Uint8Array; left: number }>();
  readonly suspicions = new Map<string, number>();
  up = true;
  nextPushPullMs: number;

  constructor(world: World, name: string, address: string, label: string | undefined) {
    this.world = world;
    this.name = name;
    this.address = address;
    this.label = label;
    this.nextPushPullMs = world.nowMs + world.random() * PUSH_PULL_EVERY_MS;
    this.table.set(name, { name, address, incarnation: 1, state: 'alive', changedMs: world.nowMs });
    this.announce();
  }

  get self(): Row {
    return this.table.get(this.name) as Row;
  }

  announce(): void {
    const { name, address, incarnation } = this.self;
    this.send({
      type: 'alive',
      Node: name,
      Addr: bytesOf(address),
      Port: PORT,
      Incarnation: incarnation,
      Meta: NO_BYTES,
      Vsn: VSN,
    });
  }

  /** Queues a broadcast; a newer one about the same member takes an older one's place. */
  send(message: Extract<Message, { Node: string }>): void {
    this.queue.set(message.Node, { bytes: encodeMessage(message), left: TRANSMITS });
  }

  alive(message: Extract<Message, { type: 'alive' }>): void {
    const { Node: name, Incarnation: incarnation } = message;
    const address = Array.from(message.Addr).join('.');
    const known = this.table.get(name);
    if (name === this.name) {
      if (incarnation > this.self.incarnation) this.refute(incarnation);
      return;
    }
    if (known !== undefined) {
      const moved = known.address !== address;
      if (moved && known.state !== 'left' && known.state !== 'dead') return;
      if (incarnation <= known.incarnation && !moved) return;
    }
    this.suspicions.delete(name);
    this.table.set(name, { name, address, incarnation, state: 'alive', changedMs: this.world.nowMs });
    this.send(message);
  }

  suspect(node: string, incarnation: number, from: string): void {
    const known = this.table.get(node);
    if (known === undefined || incarnation < known.incarnation || known.state !== 'alive') return;
    if (node === this.name) {
      this.refute(incarnation);
      return;
    }
    Object.assign(known, { incarnation, state: 'suspect', changedMs: this.world.nowMs });
    this.suspicions.set(node, this.world.nowMs + SUSPICION_MS);
    this.send({ type: 'suspect', Node: node, Incarnation: incarnation, From: from });
  }

  dead(node: string, incarnation: number, from: string): void {
    const known = this.table.get(node);
    if (known === undefined || incarnation < known.incarnation || known.state === 'dead' || known.state === 'left')
      return;
    this.suspicions.delete(node);
    if (node === this.name && this.up) {
      this.refute(incarnation);
      return;
    }
    Object.assign(known, { incarnation, state: node === from ? 'left' : 'dead', changedMs: this.world.nowMs });
    this.send({ type: 'dead', Node: node, Incarnation: incarnation, From: from });
  }

  refute(accused: number): void {
    this.self.incarnation = Math.max(this.self.incarnation, accused) + 1;
    this.announce();
  }

  handle(message: Message): void {
    if (message.type === 'alive') this.alive(message);
    else if (message.type === 'suspect') this.suspect(message.Node, message.Incarnation, message.From);
    else if (message.type === 'dead') this.dead(message.Node, message.Incarnation, message.From);
  }

  merge(rows: readonly PushPullNode[]): void {
    for (const { Name: Node, Addr, Port, Incarnation, State, Meta, Vsn } of rows) {
      const state = STATES[State];
      if (state === 'alive') this.alive({ type: 'alive', Node, Addr, Port, Incarnation, Meta, Vsn });
      else if (state === 'left') this.dead(Node, Incarnation, Node);
      else this.suspect(Node, Incarnation, this.name);
    }
  }

  rows(): PushPullNode[] {
    return [...this.table.values()].map(({ name, address, incarnation, state }) => ({
      Name: name,
      Addr: bytesOf(address),
      Port: PORT,
      Meta: NO_BYTES,
      Incarnation: incarnation,
      State: NODE_STATE[state],
      Vsn: VSN,
    }));
  }

  /** One round of everything that is due. */
  tick(): void {
    const { nowMs } = this.world;
    for (const [name, row] of this.table) {
      const gone = row.state === 'dead' || row.state === 'left';
      if (gone && nowMs - row.changedMs > DEAD_KEPT_MS) this.table.delete(name);
    }
    for (const [name, atMs] of this.suspicions) {
      const row = this.table.get(name);
      if (atMs <= nowMs && row !== undefined) this.dead(name, row.incarnation, this.name);
    }
    this.gossip();
    if (nowMs % 1_000 === 0) this.probe();
    if (nowMs < this.nextPushPullMs) return;
    this.nextPushPullMs = nowMs + PUSH_PULL_EVERY_MS;
    const target = this.world.pick(this.others((row) => row.state === 'alive'));
    if (target !== undefined) this.exchange(target.address, false);
  }

  others(fits: (row: Row) => boolean): Row[] {
    return [...this.table.values()].filter((row) => row.name !== this.name && fits(row));
  }

  gossip(): void {
    for (let i = 0; i < GOSSIP_NODES && this.queue.size > 0; i++) {
      const target = this.world.pick(this.others((row) => row.state !== 'left'));
      if (target === undefined) return;
      const parts: Uint8Array[] = [];
      for (const [name, broadcast] of this.queue) {
        parts.push(broadcast.bytes);
        if (--broadcast.left === 0) this.queue.delete(name);
      }
      this.world.packet(this, target.address, parts.length === 1 ? (parts[0] as Uint8Array) : encodeCompound(parts));
    }
  }

  /** Probes one member over UDP, then TCP. */
  probe(): void {
    const target = this.world.pick(this.others((row) => row.state === 'alive' || row.state === 'suspect'));
    if (target === undefined) return;
    const { name: Node, address, incarnation } = target;
    const ping = encodeMessage({
      type: 'ping',
      SeqNo: 7,
      Node,
      SourceAddr: bytesOf(this.address),
      SourcePort: PORT,
      SourceNode: this.name,
    });
    if (this.world.pinged(this, Node, address, ping) || this.world.stream(this, address, ping) === Node) return;
    if (target.state === 'alive') this.suspect(Node, incarnation, this.name);
  }

  /** A push/pull that this member dials. */
  exchange(address: string, join: boolean): void {
    this.world.stream(this, address, encodePushPull({ join, nodes: this.rows(), userState: NO_BYTES }));
  }
}

export class World {
  readonly random: () => number;
  readonly members: ModelMember[] = [];
  nowMs = 0;
  loss: number;

  constructor(seed: number, loss = 0.02) {
    this.random = randomOf(seed);
    this.loss = loss;
  }

  pick<T>(from: readonly T[]): T | undefined {
    return from[Math.floor(this.random() * from.length)];
  }

  at(address: string): ModelMember | undefined {
    return this.members.find((member) => member.up && member.address === address);
  }

  start(name: string, address: string, label?: string): ModelMember {
    const member = new ModelMember(this, name, address, label);
    this.members.push(member);
    return member;
  }

  fence(member: ModelMember, options: Partial<RingOptions> = {}, watch?: Watch): ModelFence {
    const fence: ModelFence = {
      quarantine: false,
      watch,
      ring: createRing({
        startedMs: this.nowMs,
        identity: { cidrs: [], names: [] },
        graceMs: 60_000,
        proven: () => false,
        quarantining: () => fence.quarantine,
        ...options,
      }),
    };
    member.fence = fence;
    return fence;
  }

  run(untilMs: number, each?: () => void): void {
    while (this.nowMs < untilMs) {
      this.nowMs += TICK_MS;
      for (const member of this.members) if (member.up) member.tick();
      each?.();
    }
  }

  /** One datagram; true when it arrived. */
  packet(from: ModelMember, address: string, bytes: Uint8Array): Uint8Array | undefined {
    const sent = this.#pass(from, 'outbound', { address, port: PORT }, bytes, 'packet', false, undefined);
    const to = this.at(address);
    if (sent === undefined || to === undefined || this.random() < this.loss) return undefined;
    const taken = this.#pass(to, 'inbound', { address: from.address, port: PORT }, sent, 'packet', false, from.label);
    if (taken !== undefined) for (const message of walkPacket(taken).messages) to.handle(message);
    return taken;
  }

  /** Whether a ping over UDP was answered by the member it names. */
  pinged(from: ModelMember, node: string, address: string, ping: Uint8Array): boolean {
    const to = this.at(address);
    if (this.packet(from, address, ping) === undefined || to?.name !== node) return false;
    return this.packet(to, from.address, encodeMessage({ type: 'ackResp', SeqNo: 7, Payload: NO_BYTES })) !== undefined;
  }

  /** An exchange over TCP; the name of who answered. */
  stream(from: ModelMember, address: string, request: Uint8Array): string | undefined {
    const to = this.at(address);
    if (to === undefined) return undefined;
    const there = { address, port: PORT };
    const back = { address: from.address, port: 40_000 };
    const sent = this.#pass(from, 'outbound', there, request, 'stream', false, undefined);
    const taken = sent && this.#pass(to, 'inbound', back, sent, 'stream', false, from.label);
    if (taken === undefined) return undefined;
    const table = decodePushPull(taken);
    const answer = table.ok
      ? encodePushPull({ join: false, nodes: to.rows(), userState: NO_BYTES })
      : encodeMessage({ type: 'ackResp', SeqNo: 7, Payload: NO_BYTES });
    if (table.ok) to.merge(table.value.nodes);
    const answered = this.#pass(to, 'inbound', back, answer, 'stream', true, from.label);
    const arrived = answered && this.#pass(from, 'outbound', there, answered, 'stream', true, undefined);
    if (arrived === undefined) return undefined;
    const theirs = decodePushPull(arrived);
    if (theirs.ok) from.merge(theirs.value.nodes);
    return to.name;
  }

  /** The way of a frame through `member`'s fence, if it has one; undefined when nothing comes out. */
  #pass(
    member: ModelMember,
    direction: 'inbound' | 'outbound',
    peer: FrameSource['peer'],
    bytes: Uint8Array,
    kind: 'packet' | 'stream',
    answer: boolean,
    label: string | undefined,
  ): Uint8Array | undefined {
    const { fence } = member;
    // Without one a member takes unlabelled frames and its own label; one that predates labels drops what it does not know.
    if (fence === undefined) return label === undefined || label === member.label ? bytes : undefined;
    const rejected = label !== undefined;
    const source: FrameSource = {
      ...{ atMs: this.nowMs, direction, transport: 'native', kind, peer, rejected, answer },
      labelState: label === undefined ? 'none' : 'foreign',
      label: Buffer.from(label ?? ''),
    };
    if (kind === 'packet') {
      inspectPacket(fence.ring, source, bytes, undefined);
      fence.watch?.(source, walkPacket(bytes).messages, []);
    } else {
      const inspection = createStreamInspection(fence.ring, source, undefined);
      inspection.push(bytes);
      inspection.end(true);
      const table = decodePushPull(bytes);
      fence.watch?.(source, [], table.ok ? table.value.nodes : []);
    }
    if (rejected) return undefined;
    if (!fence.quarantine) return bytes;
    const set = createQuarantine(fence.ring.quarantineRules(this.nowMs));
    return kind === 'packet' ? quarantinePacket(bytes, set).packet : quarantinePushPull(bytes, set, source).message;
  }
}
