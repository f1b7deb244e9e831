/**
 * The portable path: the fence binds the advertised address, the app another, and what peers send passes here; unprivileged, any
 * platform. It guards inbound traffic. An app in the same process can send through it too (outboundPacket, outboundStream).
 */
import type { RemoteInfo } from 'node:dgram';
import { connect, isIPv6, type Socket } from 'node:net';
import type { Direction } from '../policy/facts.ts';
import { formatEndpoint } from '../wire/address.ts';
import { UDP_PAYLOAD_MAX_BYTES } from '../wire/limits.ts';
import { type AppHealth, createAppHealth } from './app-health.ts';
import { type AppWatch, waitForAppToLeave, watchApp } from './app-watch.ts';
import { type BoundSockets, bindBoth } from './bind.ts';
import { BoundedSender, Departures } from './bounded-sender.ts';
import { socketAddressFor } from './endpoint.ts';
import type { Cut, DataPath, Endpoint, FenceContext, OpenCounts } from './engine.ts';
import type { Keep } from './judge.ts';
import { type KernelDropsWatch, watchKernelDrops } from './kernel-drops.ts';
import { createNodeStreams } from './node-streams.ts';
import type { ListenOptions } from './options.ts';
import { createPacketGate, type PacketGate, passedPacket } from './packet-gate.ts';
import { type Remote, Remotes } from './remotes.ts';
import { listenFaults, serveStreams } from './serve-streams.ts';
import { createSessions, type Sessions } from './sessions.ts';
import type { Streams } from './streams.ts';
import { TurnBatch } from './turn-batch.ts';

export interface ListenPath extends DataPath {
  /** Where peers reach the fence; the port that was really bound once it has started. */
  listening(): Endpoint;
  /** Sends a datagram of an app in this process to a peer, judged as outbound, from the advertised socket. Never throws. */
  outboundPacket(packet: Uint8Array, to: Endpoint): void;
  /**
   * Carries a stream that an app in this process dialled to a peer, judged as outbound; it leaves from the advertised host address.
   * `socket` is the fence's end of it, accepted as Streams.accept demands.
   */
  outboundStream(socket: Socket, to: Endpoint): void;
}

const UNREACHABLE: ReadonlySet<string> = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH']);
const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

const NO_BYTES = new Uint8Array(0);

/** Makes the portable path of one fence; nothing is opened before `start`. */
export function createListenPath(context: FenceContext, options: ListenOptions): ListenPath {
  return new PortableListen(context, options);
}

interface Offered {
  packet: Uint8Array;
  direction: Direction;
  remote: Remote | undefined;
  atMs: number;
}

class PortableListen implements ListenPath {
  readonly engine = 'portable';
  readonly #context: FenceContext;
  readonly #options: ListenOptions;
  readonly #gates: Readonly<Record<Direction, PacketGate>>;
  readonly #health: AppHealth;
  readonly #streams: Streams<Socket>;
  readonly #remotes = new Remotes();
  #sessions: Sessions | undefined;
  #toPeers: BoundedSender | undefined;
  readonly #departures: Departures;
  #bound: BoundSockets | undefined;
  #watch: AppWatch | undefined;
  #kernelDrops: KernelDropsWatch | undefined;
  #stopped = false;
  /** The packet at hand, for `#keep`: one function, so that none is made for each packet. */
  readonly #offered: Offered = { packet: NO_BYTES, direction: 'inbound', remote: undefined, atMs: 0 };
  readonly #keep: Keep = () => {
    const { direction, remote, atMs } = this.#offered;
    // A sender in this process may use its buffer again.
    const packet = Buffer.from(this.#offered.packet);
    return () => {
      if (remote !== undefined) this.#pass(packet, direction, remote, atMs, this.#context.now());
    };
  };
  #closeServer: (() => Promise<void>) | undefined;

  constructor(context: FenceContext, options: ListenOptions) {
    this.#context = context;
    this.#options = options;
    this.#gates = {
      inbound: createPacketGate(context, 'inbound', 'native'),
      outbound: createPacketGate(context, 'outbound', 'native'),
    };
    this.#health = createAppHealth(context);
    this.#streams = createNodeStreams(context, options.streams, this.#health);
    this.#departures = new Departures(context.tally, 'outbound', () => context.now());
  }

  async start(): Promise<void> {
    const { app, listen, streams } = this.#options;
    const { tally } = this.#context;
    const now = () => this.#context.now();
    const bound = await bindBoth(listen);
    this.#bound = bound;
    const arrivals = new TurnBatch<RemoteInfo>(now, (packet, { address, port }, atMs) => {
      this.#forward(packet, 'inbound', this.#remotes.of(address, port), atMs);
    });
    const answers = new TurnBatch<Remote>(now, (packet, remote, atMs) => {
      this.#forward(packet, 'outbound', remote, atMs);
    });
    this.#sessions = createSessions({
      app,
      sessions: streams.limits.sessions,
      sessionIdleMs: streams.limits.sessionIdleMs,
      context: this.#context,
      onAnswer: (packet, remote) => answers.add(packet, remote),
    });
    const onFault = listenFaults(this.#context, bound.at);
    this.#closeServer = serveStreams(bound.tcp, { streams: this.#streams, app, onFault });
    const onFailure = ({ code }: NodeJS.ErrnoException) => {
      tally.dropped(UNREACHABLE.has(code ?? '') ? 'peer_unreachable' : 'send_failed');
    };
    this.#toPeers = new BoundedSender(bound.udp, { tally, departures: this.#departures, onFailure });
    bound.udp.on('message', (packet, from) => arrivals.add(packet, from));
    bound.udp.on('error', (error) => onFault('udp_failed', error));
    this.#watch = watchApp(app, this.#health);
    this.#kernelDrops = watchKernelDrops([bound.at], tally);
  }

  listening(): Endpoint {
    return this.#bound?.at ?? this.#options.listen;
  }

  outboundPacket(packet: Uint8Array, to: Endpoint): void {
    const socketAddress = socketAddressFor(to.address, this.#options.listen.address);
    this.#forward(packet, 'outbound', this.#remotes.of(socketAddress, to.port), this.#context.now());
  }

  outboundStream(socket: Socket, to: Endpoint): void {
    if (this.#stopped) {
      socket.destroy();
      return;
    }
    const { address } = this.#options.listen;
    const from = WILDCARDS.has(address) || isIPv6(address) !== isIPv6(to.address) ? {} : { localAddress: address };
    const dial = () => connect({ host: to.address, port: to.port, allowHalfOpen: true, ...from });
    this.#streams.accept(socket, { direction: 'outbound', peer: to, dial });
  }

  counts(): OpenCounts {
    const { inbound, outbound } = this.#streams.counts();
    return {
      sessions: this.#sessions?.count() ?? 0,
      sessionEvictions: this.#sessions?.evictions() ?? 0,
      streamsInbound: inbound,
      streamsOutbound: outbound,
      waitingFrames: this.#context.doubts.waiting(),
    };
  }

  appUp(): boolean | undefined {
    return this.#health.up();
  }

  async notReady(): Promise<readonly string[]> {
    const reasons: string[] = [];
    if (this.#bound === undefined) reasons.push(`the sockets on ${formatEndpoint(this.#options.listen)} are not open`);
    if (this.#health.up() !== true) reasons.push(`the app at ${formatEndpoint(this.#options.app)} is not reachable`);
    return reasons;
  }

  /** Nothing to tell: the rules are asked for every frame. */
  rulesChanged(): Promise<void> {
    return Promise.resolve();
  }

  answered(address?: string): void {
    this.#context.doubts.answered(address);
  }

  /** Nothing to tell either: the rules are asked for every frame. */
  insideChanged(): void {}

  tallies(): readonly ArrayBufferLike[] {
    return [];
  }

  async drain(graceMs: number): Promise<void> {
    await waitForAppToLeave(this.#options.app, graceMs, () => this.#stopped);
  }

  async stop(): Promise<Cut> {
    if (this.#stopped) return { streams: 0, sessions: 0 };
    this.#stopped = true;
    this.#watch?.stop();
    this.#kernelDrops?.stop();
    this.#bound?.udp.close();
    const closed = this.#closeServer?.();
    const streams = this.#streams.stop();
    const sessions = this.#sessions?.stop() ?? 0;
    await closed;
    this.#bound = undefined;
    return { streams, sessions };
  }

  #forward(packet: Uint8Array, direction: Direction, remote: Remote, atMs: number): void {
    this.#offered.packet = packet;
    this.#offered.direction = direction;
    this.#offered.remote = remote;
    this.#offered.atMs = atMs;
    this.#pass(packet, direction, remote, atMs, atMs, this.#keep);
  }

  #pass(packet: Uint8Array, direction: Direction, remote: Remote, atMs: number, nowMs: number, keep?: Keep): void {
    const gate = this.#gates[direction];
    if (!gate.pass(packet, 0, packet.length, remote.peer, nowMs, keep)) return;
    const out = passedPacket(gate);
    if (this.#bound === undefined || this.#stopped || out.length > UDP_PAYLOAD_MAX_BYTES) {
      this.#context.tally.dropped('send_failed');
      return;
    }
    if (direction === 'inbound') this.#sessions?.send(out, remote, nowMs, atMs);
    else {
      this.#departures.arrived(atMs);
      this.#toPeers?.sendTo(out, remote.peer.port, remote.socketAddress);
    }
  }
}
