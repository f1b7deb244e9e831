/** What the data path tests share: a fence's context with real policy, memory and counters, recording servers, and bounded waits. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { confirmFin } from '../../src/datapath/endings.ts';
import {
  type Endpoint,
  type Fault,
  type FenceContext,
  type FenceRules,
  NO_DOUBTS,
  type PathLimits,
  type Rejection,
  type StreamSettings,
} from '../../src/datapath/engine.ts';
import { type Inside, NO_INSIDE } from '../../src/datapath/inside.ts';
import type { Keep } from '../../src/datapath/judge.ts';
import { createNodeStreams } from '../../src/datapath/node-streams.ts';
import { createPacketGate, passedPacket } from '../../src/datapath/packet-gate.ts';
import { createPacketPeer } from '../../src/datapath/packet-peer.ts';
import type { Streams } from '../../src/datapath/streams.ts';
import { type Cidr, createAdmission, NO_ADMISSION_RULES } from '../../src/policy/admission.ts';
import { createSnapshot, type PolicySettings } from '../../src/policy/decide.ts';
import type { Direction } from '../../src/policy/facts.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { createTally, type DropReason, TALLY_BYTES } from '../../src/policy/tally.ts';
import { readTallies, type TallyReading } from '../../src/policy/tally-reading.ts';
import { createPeerTable, peerTableBytes } from '../../src/ring/peers.ts';
import { LIMITS } from './limits.ts';

export { LIMITS } from './limits.ts';

export const OWN = Buffer.from('prod.traces');
export const FOREIGN = Buffer.from('other.traces');

/** Waits of the tests end after this, ms, whatever happens. */
export const PATIENCE_MS = 8_000;

export interface TestContext {
  readonly context: FenceContext;
  readonly rejections: Rejection[];
  readonly faults: Fault[];
  /** What was counted here, and in the memory that `more` shares with another thread. */
  reading(more?: readonly ArrayBufferLike[]): TallyReading;
  setStage(stage: Stage): void;
  /** Its rules as they are told to another thread. */
  rules(): FenceRules;
}

const EVERYONE: Cidr[] = [{ address: '127.0.0.0', prefix: 8, family: 'ipv4' }];

/** A fence that predates labels (none/none, wire none) unless told otherwise; loopback is admitted. */
export function makeContext(policy: Partial<PolicySettings> = {}, cidrs: readonly Cidr[] = EVERYONE): TestContext {
  const settings: PolicySettings = {
    stage: 'enforce',
    sends: 'none',
    takes: 'none',
    wire: 'none',
    unterminatedTls: 'reject',
    shield: true,
    ...policy,
  };
  let policyNow = settings;
  let snapshot = createSnapshot(settings);
  const rules = { ...NO_ADMISSION_RULES, cidrs };
  const admission = createAdmission(rules);
  const buffer = new ArrayBuffer(TALLY_BYTES);
  const rejections: Rejection[] = [];
  const faults: Fault[] = [];
  return {
    rejections,
    faults,
    reading: (more = []) => readTallies([buffer, ...more]),
    setStage: (stage) => {
      policyNow = { ...settings, stage };
      snapshot = createSnapshot(policyNow);
    },
    rules: () => ({ policy: policyNow, admission: rules, starting: false }),
    context: {
      name: 'test',
      label: OWN,
      snapshot: () => snapshot,
      admission: () => admission,
      starting: () => false,
      doubts: NO_DOUBTS,
      peers: createPeerTable(new SharedArrayBuffer(peerTableBytes(64)), {
        peers: 64,
        windowMs: 600_000,
        foreignMs: 10_000,
      }),
      tally: createTally(buffer),
      now: () => performance.timeOrigin + performance.now(),
      onRejection: (rejection) => rejections.push(rejection),
      inside: NO_INSIDE,
      onFault: (fault) => faults.push(fault),
    },
  };
}

/** One packet through a gate of its own; what is sent of it, undefined when nothing is. */
export function throughGate(
  context: FenceContext,
  packet: Uint8Array,
  direction: Direction,
  peer: Endpoint,
  keep?: Keep,
): Buffer | undefined {
  const gate = createPacketGate(context, direction, 'native');
  const known = createPacketPeer(peer.address, peer.port);
  return gate.pass(packet, 0, packet.length, known, context.now(), keep) ? Buffer.from(passedPacket(gate)) : undefined;
}

/** Non-zero rejections as `direction transport kind reason`, with their counts. */
export function rejected(reading: TallyReading): Record<string, number> {
  const out: Record<string, number> = {};
  for (const { direction, transport, kind, reason, value } of reading.rejected) {
    if (value > 0) out[`${direction} ${transport} ${kind} ${reason}`] = value;
  }
  return out;
}

/** Non-zero frames as `direction transport kind label_state verdict`, with their counts. */
export function frames(reading: TallyReading): Record<string, number> {
  const out: Record<string, number> = {};
  for (const { direction, transport, kind, labelState, verdict, value } of reading.frames) {
    if (value > 0) out[`${direction} ${transport} ${kind} ${labelState} ${verdict}`] = value;
  }
  return out;
}

export function dropped(reading: TallyReading): Partial<Record<DropReason, number>> {
  return Object.fromEntries(
    reading.dropped.filter(({ value }) => value > 0).map(({ reason, value }) => [reason, value]),
  );
}

/** Waits for `condition`, at most PATIENCE_MS. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited ${PATIENCE_MS} ms in vain for: ${what}`);
    await pause(5);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** How a connection ended, as its reader sees it. */
export type Ending = 'open' | 'fin' | 'reset';

/** One side of a connection with everything that arrived on it. */
export interface Recorded {
  readonly socket: Socket;
  /** The other side's address, as it was when the connection was made. */
  readonly from: string | undefined;
  readonly chunks: Buffer[];
  received(): Buffer;
  ending(): Ending;
  /** Waits for the end of what the other side sends. */
  ended(): Promise<Ending>;
}

/** Records what arrives on `socket`; a reset that libuv reports as an end is told apart. */
export function record(socket: Socket): Recorded {
  const chunks: Buffer[] = [];
  let ending: Ending = 'open';
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => {
    if (ending === 'open') ending = 'reset';
  });
  socket.on('end', () =>
    confirmFin(socket, () => {
      if (ending === 'open') ending = 'fin';
    }),
  );
  return {
    socket,
    from: socket.remoteAddress,
    chunks,
    received: () => Buffer.concat(chunks),
    ending: () => ending,
    async ended() {
      await until('the end of a connection', () => ending !== 'open');
      return ending;
    },
  };
}

/** A server that records every connection made to it. */
export interface Recorder {
  readonly server: Server;
  readonly port: number;
  readonly connections: Recorded[];
  close(): Promise<void>;
}

/** Starts one on `host`; `onConnection` may answer. */
export async function startRecorder(
  onConnection: (recorded: Recorded) => void = () => undefined,
  host = '127.0.0.1',
): Promise<Recorder> {
  const connections: Recorded[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const recorded = record(socket);
    connections.push(recorded);
    onConnection(recorded);
  });
  server.listen(0, host);
  await once(server, 'listening');
  return {
    server,
    port: (server.address() as AddressInfo).port,
    connections,
    async close() {
      for (const { socket } of connections) socket.destroy();
      server.close();
    },
  };
}

/** Answers with what arrived, and its FIN with a FIN. */
export function echo({ socket }: Recorded): void {
  socket.on('data', (chunk) => {
    if (!socket.write(chunk)) socket.pause();
  });
  socket.on('drain', () => socket.resume());
  socket.on('end', () => socket.end());
}

/** A stream engine behind a listening port, every stream of it dialled through to `targetPort`. */
export interface TestFence {
  readonly streams: Pick<Streams, 'counts' | 'appUp' | 'stop'>;
  readonly port: number;
  /** Streams that were dialled through. */
  dials(): number;
  close(): Promise<void>;
}

/** What startFence opens a stream engine over. */
export interface StreamEngine {
  /** Accepts on a port of 127.0.0.1 what `direction` says at that moment, and dials `targetPort` there. */
  open(made: TestContext, settings: StreamSettings, stand: EngineStand): Promise<Omit<TestFence, 'dials'>>;
}

interface EngineStand {
  readonly targetPort: number;
  direction(): Direction;
  onDial(): void;
}

/** node's sockets. */
const PORTABLE: StreamEngine = {
  async open(made, settings, { targetPort, direction, onDial }) {
    const streams = createNodeStreams(made.context, settings);
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      const peer = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
      const dial = () => {
        onDial();
        return connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
      };
      streams.accept(socket, { direction: direction(), peer, dial });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return {
      streams,
      port: (server.address() as AddressInfo).port,
      async close() {
        streams.stop();
        server.close();
        await once(server, 'close');
      },
    };
  },
};

let engine = PORTABLE;

/** Has every fence of this process that the engine can serve started over it (linux/both-engines.ts). */
export function useEngine(other: StreamEngine): void {
  engine = other;
}

export async function startFence(
  made: TestContext,
  targetPort: number,
  options: { direction?: Direction | (() => Direction); limits?: Partial<PathLimits> } & Partial<
    Omit<StreamSettings, 'limits'>
  > = {},
): Promise<TestFence> {
  const { direction = 'inbound', limits, transport = 'auto', rejectStreams = 'explain', ...tls } = options;
  const settings = { transport, rejectStreams, ...tls, limits: { ...LIMITS, ...limits } };
  let dials = 0;
  const stand: EngineStand = {
    targetPort,
    direction: typeof direction === 'function' ? direction : () => direction,
    onDial: () => void dials++,
  };
  // TLS that the fence opens, and Alertmanager's connections, are node's in every mode.
  const nodesOwn = settings.tls !== undefined || transport === 'alertmanager';
  const open = await (nodesOwn ? PORTABLE : engine).open(made, settings, stand);
  return { ...open, dials: () => dials };
}

/** Dials `port` and records the answer; when it resolves the connection is open, or was reset already. */
export async function dial(port: number, localAddress?: string, host = '127.0.0.1'): Promise<Recorded> {
  const from = localAddress === undefined ? {} : { localAddress };
  const socket = connect({ port, host, allowHalfOpen: true, ...from });
  const recorded = record(socket);
  await until('a connection', () => !socket.connecting);
  return recorded;
}

/** Writes `chunks` one by one, each in a packet of its own as far as the system allows, then a FIN. */
export async function sendAll(to: Recorded, chunks: readonly Uint8Array[], fin = true): Promise<void> {
  to.socket.setNoDelay(true);
  for (const chunk of chunks) {
    to.socket.write(chunk);
    if (chunks.length > 1) await new Promise((resolve) => setImmediate(resolve));
  }
  if (fin) to.socket.end();
}

/** A small seeded generator (mulberry32), so that a failing run can be had again. */
export function seeded(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Cuts `bytes` at `cuts` random places. */
export function cutAt(bytes: Buffer, cuts: number, random: () => number): Buffer[] {
  const at = Array.from({ length: cuts }, () => Math.floor(random() * (bytes.length + 1))).sort((a, b) => a - b);
  const out: Buffer[] = [];
  let from = 0;
  for (const to of [...at, bytes.length]) {
    if (to > from) out.push(bytes.subarray(from, to));
    from = Math.max(from, to);
  }
  return out;
}

/** The same fence with something to look below the label with. */
export function withInside(made: TestContext, inside: Partial<Inside>): TestContext {
  return { ...made, context: { ...made.context, inside: { ...NO_INSIDE, ...inside } } };
}
