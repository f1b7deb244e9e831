/**
 * The gate keeps things from packet to packet: verdicts by state and view, who is admitted, where a peer's records are. Here it meets the
 * same judgement made anew for each frame (judge), over everything that may change in between; and it must not allocate.
 */
import { deepStrictEqual } from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import t from 'tap';
import type { FenceContext, Rejection } from '../../src/datapath/engine.ts';
import { type Inside, NO_INSIDE } from '../../src/datapath/inside.ts';
import { createRingWriter, RING_BYTES } from '../../src/datapath/inspection-ring.ts';
import { judge, stateOfLabel } from '../../src/datapath/judge.ts';
import { createPacketGate, passedPacket } from '../../src/datapath/packet-gate.ts';
import { createPacketPeer, type PacketPeer } from '../../src/datapath/packet-peer.ts';
import { createAdmission, NO_ADMISSION_RULES } from '../../src/policy/admission.ts';
import { createSnapshot, type PolicySettings, type Snapshot } from '../../src/policy/decide.ts';
import { DIRECTIONS, type Direction } from '../../src/policy/facts.ts';
import { harmOfPacket } from '../../src/policy/shield-packet.ts';
import { DIALECTS, STAGES, TAKES } from '../../src/policy/stage.ts';
import { createTally, TALLY_BYTES } from '../../src/policy/tally.ts';
import { HEARD_FRESH_MS } from '../../src/ring/packet-interest.ts';
import { createPeerTable, type Evidence, type PeerTable, peerTableBytes } from '../../src/ring/peers.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { addPacketLabel, encodeLabelHeader, peekPacketLabel } from '../../src/wire/label.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { encodeProbe, isProbe } from '../../src/wire/probe.ts';
import { PROPERTY } from '../property.ts';
import { FOREIGN, makeContext, OWN } from './harness.ts';

const HEADER = encodeLabelHeader(OWN);
const NONE = new Uint8Array(0);
/** So small that the peers of a run displace each other all the time. */
const TABLE = { peers: 2, windowMs: 600_000, foreignMs: 10_000 };
const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.1.0.3', '192.0.2.4', 'fd00::5', 'no address'];
const PORTS = [7946, 7947];

const ping = (from: string) =>
  encodeMessage({
    ...{ type: 'ping', SeqNo: 7, Node: 'app', SourceNode: 'm', SourcePort: 7946 },
    SourceAddr: (parseAddress(from) ?? NONE).slice(12),
  });
const BODIES: readonly Uint8Array[] = [
  NONE,
  encodeMessage({ type: 'user', data: Buffer.from('hello') }),
  ping('10.0.0.1'),
  ping('192.0.2.9'),
  encodeProbe({ seqNo: 1, node: '' }),
  // A compound of an empty part.
  Buffer.of(7, 1, 0, 0),
  encodeCompound([ping('10.0.0.2'), encodeMessage({ type: 'user', data: Buffer.from('news') })]),
];

const MARKS: readonly ((body: Uint8Array) => Uint8Array)[] = [
  (body) => addPacketLabel(body, HEADER),
  (body) => addPacketLabel(body, HEADER),
  (body) => body,
  (body) => body,
  (body) => addPacketLabel(body, encodeLabelHeader(FOREIGN)),
  (body) => addPacketLabel(body, encodeLabelHeader(OWN.subarray(0, 5))),
  (body) => addPacketLabel(addPacketLabel(body, HEADER), HEADER),
  (body) => Buffer.concat([Buffer.of(244, 0), body]),
  () => HEADER.subarray(0, HEADER.length - 1),
  () => Buffer.of(244),
];

const BASE = makeContext().context;
const START: PolicySettings = {
  ...{ stage: 'observe', sends: 'none', takes: 'none', wire: 'none' },
  ...{ unterminatedTls: 'reject', shield: true },
};

/** One fence, its clock and rules in our hands; `other` is another thread's view of its table. */
class World {
  readonly context: FenceContext;
  readonly other: PeerTable;
  readonly rejections: Rejection[] = [];
  readonly #tally = new ArrayBuffer(TALLY_BYTES);
  nowMs = 1_000_000;
  snapshot = snapshotOf(START);
  admission = createAdmission(NO_ADMISSION_RULES);

  constructor() {
    const buffer = new SharedArrayBuffer(peerTableBytes(TABLE.peers));
    this.other = createPeerTable(buffer, TABLE);
    this.context = {
      ...BASE,
      snapshot: () => this.snapshot,
      admission: () => this.admission,
      peers: createPeerTable(buffer, TABLE),
      tally: createTally(this.#tally),
      now: () => this.nowMs,
      onRejection: (rejection) => this.rejections.push(rejection),
    };
  }

  seen() {
    const records = this.context.peers.records(this.nowMs);
    return { records, evictions: this.context.peers.evictions(), tally: new Float64Array(this.#tally) };
  }
}

/** What the gate does, with nothing kept: the label, judge, and the verdict carried out as the design says. */
function reference({ context }: World, packet: Uint8Array, direction: Direction, address: string, port: number) {
  const peeked = peekPacketLabel(packet);
  const label = peeked.ok ? peeked.value.label : NONE;
  const body = packet.subarray(peeked.ok ? peeked.value.bodyAt : 0);
  const where = { direction, transport: 'native', kind: 'packet' } as const;
  const mayReach = (to: Uint8Array) => {
    const text = formatAddress(to);
    return text === address || context.admission().admits(text) || context.peers.recall(to, context.now()).proven;
  };
  const { verdict, rewrite } = judge(context, {
    ...where,
    state: peeked.ok ? stateOfLabel(label, OWN) : peeked.reason,
    peer: { address, port },
    label,
    bytes: packet.length,
    handshake: false,
    look: () => (direction === 'inbound' ? harmOfPacket(body, mayReach, true) : undefined),
    neutral: () => isProbe(body),
  });
  if (verdict === 'reject') return undefined;
  context.tally.bytes(where, packet.length);
  if (rewrite === 'keep' || context.snapshot().settings.stage === 'observe') return Buffer.from(packet);
  return Buffer.from(rewrite === 'add' ? addPacketLabel(body, HEADER) : body);
}

type Step =
  | {
      readonly do: 'packet';
      direction: Direction;
      body: number;
      mark: number;
      address: number;
      port: number;
      at: number;
    }
  | { readonly do: 'policy'; readonly policy: PolicySettings }
  | { readonly do: 'admit'; readonly cidr: string | undefined; readonly shared: readonly number[] }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'learn'; readonly address: number; readonly evidence: Evidence };

const index = (list: readonly unknown[]) => fc.nat({ max: list.length - 1 });
const STEP: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      ...{ do: fc.constant('packet' as const), direction: fc.constantFrom(...DIRECTIONS), body: index(BODIES) },
      ...{ mark: index(MARKS), address: index(ADDRESSES), port: index(PORTS), at: fc.nat({ max: 40 }) },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('policy' as const),
      policy: fc.record({
        ...{ stage: fc.constantFrom(...STAGES), sends: fc.constantFrom(...DIALECTS), takes: fc.constantFrom(...TAKES) },
        ...{
          wire: fc.constantFrom(...DIALECTS),
          shield: fc.boolean(),
          unterminatedTls: fc.constant('reject' as const),
        },
      }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('admit' as const),
      cidr: fc.constantFrom(undefined, '10.0.0.0', '10.1.0.0', '192.0.2.0'),
      shared: fc.array(index(ADDRESSES), { maxLength: 2 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 60, 110, 5_001, 11_000, 600_001) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...{ do: fc.constant('learn' as const), address: index(ADDRESSES) },
      evidence: fc.constantFrom<Evidence>('own', 'none', 'foreign'),
    }),
  },
);

const SNAPSHOTS = new Map<string, Snapshot>();

/** Made once: there are few, and each takes milliseconds. */
function snapshotOf(policy: PolicySettings): Snapshot {
  const key = JSON.stringify(policy);
  const made = SNAPSHOTS.get(key) ?? createSnapshot(policy);
  SNAPSHOTS.set(key, made);
  return made;
}

/** Everything but packets, alike in both worlds. */
function change(world: World, step: Exclude<Step, { do: 'packet' }>): void {
  if (step.do === 'wait') world.nowMs += step.ms;
  else if (step.do === 'policy') world.snapshot = snapshotOf(step.policy);
  else if (step.do === 'learn') {
    const bytes = parseAddress(ADDRESSES[step.address] ?? '');
    if (bytes !== undefined) world.other.learn(bytes, step.evidence, world.nowMs);
  } else {
    const cidrs = step.cidr === undefined ? [] : [{ address: step.cidr, prefix: 16, family: 'ipv4' as const }];
    const shared = step.shared.map((i) => ADDRESSES[i] ?? '');
    world.admission = createAdmission({ ...NO_ADMISSION_RULES, cidrs, shared });
  }
}

t.test('what is kept between packets changes nothing', async (t) => {
  let [passed, rejected, evicted] = [0, 0, 0];
  const run = (steps: readonly Step[]) => {
    const [kept, anew] = [new World(), new World()];
    const gates = {
      inbound: createPacketGate(kept.context, 'inbound', 'native'),
      outbound: createPacketGate(kept.context, 'outbound', 'native'),
    };
    const peers = ADDRESSES.map((address) => PORTS.map((port) => createPacketPeer(address, port)));
    for (const step of steps) {
      if (step.do !== 'packet') {
        change(kept, step);
        change(anew, step);
        continue;
      }
      const packet = (MARKS[step.mark] as (body: Uint8Array) => Uint8Array)(BODIES[step.body] as Uint8Array);
      // What stands around it in memory looks like more of it.
      const memory = Buffer.alloc(packet.length + 80, 244);
      memory.set(packet, step.at);
      const gate = gates[step.direction];
      const peer = (peers[step.address] as PacketPeer[])[step.port] as PacketPeer;
      const passes = gate.pass(memory, step.at, packet.length, peer, kept.nowMs);
      const wanted = reference(anew, packet, step.direction, peer.address, peer.port);
      deepStrictEqual(passes ? Buffer.from(passedPacket(gate)) : undefined, wanted, JSON.stringify(step));
      if (passes) passed++;
      else rejected++;
    }
    deepStrictEqual(kept.seen(), anew.seen());
    deepStrictEqual(kept.rejections, anew.rejections);
    evicted += kept.context.peers.evictions();
  };
  t.doesNotThrow(() =>
    fc.assert(fc.property(fc.array(STEP, { minLength: 20, maxLength: 120, size: 'max' }), run), PROPERTY),
  );
  t.ok(passed > 500 && rejected > 500 && evicted > 50, `passed ${passed}, rejected ${rejected}, evicted ${evicted}`);
});

const PASSING = [
  {
    name: 'a user message, which inspection does not read',
    direction: 'inbound',
    stage: 'accept',
    packet: addPacketLabel(Buffer.alloc(180, 8), HEADER),
    read: false,
  },
  {
    name: 'a message that inspection reads',
    direction: 'inbound',
    stage: 'accept',
    packet: addPacketLabel(Buffer.alloc(180, 11), HEADER),
    read: true,
  },
  {
    name: 'a compound with a ping, scanned by the shield',
    direction: 'inbound',
    stage: 'accept',
    packet: addPacketLabel(encodeCompound([ping('10.0.0.1'), ping('10.0.0.1')]), HEADER),
    read: true,
  },
  {
    name: 'an unlabelled frame of a member',
    direction: 'inbound',
    stage: 'accept',
    packet: Buffer.alloc(180, 11),
    read: true,
  },
  { name: 'what the app sends', direction: 'outbound', stage: 'enforce', packet: Buffer.alloc(180, 8), read: true },
] as const;

/** Frees what nobody holds. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

t.test('a passing packet allocates nothing', async (t) => {
  const collect = collector();
  /** The engine compiles it when it likes, later on a busy machine; from then on every round is like the last. */
  const ROUNDS_MAX = 60;
  const PACKETS = 25_600;
  const BATCH = 32;
  /** The smallest object there is has 16 bytes; this test's clock makes one a batch. */
  const LIMIT_BYTES = (PACKETS / 8) * 16;
  for (const { name, direction, stage, packet, read } of PASSING) {
    const world = new World();
    world.snapshot = createSnapshot({ ...world.snapshot.settings, stage, wire: 'own', shield: true });
    world.admission = createAdmission({
      ...NO_ADMISSION_RULES,
      cidrs: [{ address: '10.0.0.0', prefix: 8, family: 'ipv4' }],
    });
    // Inspection is on, and full: that is how it is under load.
    const ring = createRingWriter(new SharedArrayBuffer(RING_BYTES));
    let offered = 0;
    const inside: Inside = {
      ...NO_INSIDE,
      room: (_rejected, bytes) => ring.room(bytes),
      packet(source, bytes, at, end) {
        offered++;
        ring.write(source, bytes, at, end);
      },
    };
    const gate = createPacketGate({ ...world.context, inside }, direction, 'native');
    const peers = [7946, 7947].map((port) => createPacketPeer('10.0.0.1', port));
    const memory = Buffer.alloc(packet.length + 64);
    memory.set(packet, 32);
    let [failed, least] = [0, Number.POSITIVE_INFINITY];
    // As a path does: one time for all that arrived together.
    const batch = (nowMs: number) => {
      for (let i = 0; i < BATCH; i++) {
        if (!gate.pass(memory, 32, packet.length, peers[i & 1] as PacketPeer, nowMs)) failed++;
      }
    };
    for (let round = 0; round < ROUNDS_MAX && least >= LIMIT_BYTES; round++) {
      collect();
      const before = process.memoryUsage().heapUsed;
      for (let i = 0; i < PACKETS / BATCH; i++) {
        world.nowMs += 0.25;
        batch(world.nowMs);
      }
      least = Math.min(least, process.memoryUsage().heapUsed - before);
    }
    t.equal(failed, 0, `${name}: all of them pass`);
    if (read) t.ok(offered > 100 && offered < PACKETS, `${name}: inspection took ${offered} and was full then`);
    else t.ok(offered > 0 && offered <= 4 * ROUNDS_MAX, `${name}: inspection was told ${offered} times that it came`);
    t.ok(least < LIMIT_BYTES, `${name}: ${(least / PACKETS).toFixed(3)} bytes a packet`);
  }
});

t.test(
  'of messages that it does not read, inspection is told that the peer speaks: ten times a second, and when that changed',
  async (t) => {
    const world = new World();
    world.snapshot = snapshotOf({ ...START, stage: 'accept' });
    world.admission = createAdmission({
      ...NO_ADMISSION_RULES,
      cidrs: [{ address: '10.0.0.0', prefix: 8, family: 'ipv4' }],
    });
    const told: string[] = [];
    let isFull = false;
    const inside: Inside = {
      ...NO_INSIDE,
      room: () => !isFull,
      packet: ({ direction, labelState, rejected }, memory, at, end) =>
        void told.push(
          [direction, labelState, ...(rejected ? ['rejected'] : []), memory.subarray(at, end)[0] ?? ''].join(' '),
        ),
    };
    const context = { ...world.context, inside };
    const [user, news] = [Buffer.of(8, 1, 2), ping('10.0.0.1')];
    const gates = { inbound: createPacketGate(context, 'inbound', 'native') };
    const outbound = createPacketGate(context, 'outbound', 'native');
    const dskit = createPacketGate(context, 'inbound', 'dskit');
    const [one, other] = [createPacketPeer('10.0.0.1', 7946), createPacketPeer('10.0.0.2', 7946)];
    const stranger = createPacketPeer('192.0.2.4', 7946);
    const after = (ms: number, packet: Uint8Array, peer = one, gate = gates.inbound) => {
      told.length = 0;
      world.nowMs += ms;
      gate.pass(packet, 0, packet.length, peer, world.nowMs);
      return told.join();
    };
    const own = addPacketLabel(user, HEADER);
    t.equal(after(0, own), 'inbound own 8', 'the first');
    t.equal(after(0, own), '', 'another at once');
    t.equal(after(HEARD_FRESH_MS - 1, own), '', 'and up to so much later');
    t.equal(after(0, own, other), 'inbound own 8', 'the first of another peer');
    t.equal(after(1, own), 'inbound own 8', 'one so much later than the last that it was told of');
    t.equal(after(1, user), 'inbound none 8', 'without a label');
    t.equal(after(1, own), 'inbound own 8', 'with one again');
    t.equal(after(1, addPacketLabel(news, HEADER)), 'inbound own 0', 'what is read');
    t.equal(after(99, own), '', 'was told of the peer too');
    t.equal(after(99, addPacketLabel(news, HEADER)), 'inbound own 0', 'always');
    t.equal(
      after(1, addPacketLabel(user, encodeLabelHeader(FOREIGN))),
      'inbound foreign rejected 8',
      'what is rejected',
    );
    t.equal(after(1, addPacketLabel(user, encodeLabelHeader(FOREIGN))), 'inbound foreign rejected 8', 'every time');
    t.equal(after(1, own), 'inbound own 8', 'what passes after it');
    t.equal(after(0, user, stranger), 'inbound none rejected 8', 'a stranger');
    t.equal(after(0, user, stranger), 'inbound none rejected 8', 'every time');
    isFull = true;
    t.equal(after(HEARD_FRESH_MS, own), '', 'no room');
    isFull = false;
    t.equal(after(1, own), 'inbound own 8', 'then the next');
    t.equal(after(HEARD_FRESH_MS, user, one, outbound), 'outbound none 8', 'what our own app says');
    t.equal(after(0, user, one, outbound), 'outbound none 8', 'every time');
    t.equal(after(0, own), 'inbound own 8', 'and it is no word of the peer');
    t.equal(after(0, own, one, dskit), 'inbound own 8', 'dskit: what user messages hold is read');
    t.equal(after(0, user, stranger), 'inbound none rejected 8', 'the stranger again');
    world.admission = createAdmission({
      ...NO_ADMISSION_RULES,
      cidrs: [{ address: '192.0.2.0', prefix: 24, family: 'ipv4' }],
    });
    t.equal(after(0, user, stranger), 'inbound none 8', 'at once when it is none any more');
    t.equal(after(0, user, stranger), '', 'and then it is known');
    t.equal(after(1, user), 'inbound none rejected 8', 'nor is one that was known, when it is no more');
    world.snapshot = snapshotOf(START);
    for (let i = 0; i < 2; i++)
      t.equal(after(0, user), 'inbound none 8', 'passed, but what would be rejected is shown');
  },
);

t.test('who is admitted is forgotten with the rules that said so, in the very next packet', async (t) => {
  const world = new World();
  world.snapshot = createSnapshot({ ...world.snapshot.settings, stage: 'accept' });
  const rules = (address: string) =>
    createAdmission({ ...NO_ADMISSION_RULES, cidrs: [{ address, prefix: 24, family: 'ipv4' }] });
  const [admits, refuses] = [rules('10.0.0.0'), rules('10.9.9.0')];
  const gate = createPacketGate(world.context, 'inbound', 'native');
  const peer = createPacketPeer('10.0.0.1', 7946);
  const passes = () => gate.pass(Buffer.from([8, 1, 2]), 0, 3, peer, world.nowMs);
  for (let i = 0; i < 1_000; i++) {
    world.admission = i % 3 === 0 ? admits : refuses;
    if (passes() !== (i % 3 === 0)) throw new Error(`packet ${i} was judged by rules that were gone`);
  }
  world.admission = admits;
  t.ok(passes());
  world.snapshot = createSnapshot({ ...world.snapshot.settings, stage: 'enforce' });
  t.notOk(passes(), 'the same of a stage');
});
