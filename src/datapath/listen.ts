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
import { endpointOf, socketAddressFor } from './endpoint.ts';
import type { Cut, DataPath, Endpoint, FenceContext, OpenCounts } from './engine.ts';
import type { Keep } from './judge.ts';
import { type KernelDropsWatch, watchKernelDrops } from './kernel-drops.ts';
import { createNodeStreams } from './node-streams.ts';
import type { ListenOptions } from './options.ts';
import { createPacketGate, type PacketGate, passedPacket } from './packet-gate.ts';
import { createPacketPeer } from './packet-peer.ts';
import { createSessions, type SessionPeer, type Sessions, sendBounded } from './sessions.ts';
import type { Streams } from './streams.ts';

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

/** Faults of the listening sockets are reported at most this often, ms: without descriptors every accept fails. */
const FAULT_INTERVAL_MS = 1_000;

const UNREACHABLE: ReadonlySet<string> = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH']);
const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** Makes the portable path of one fence; nothing is opened before `start`. */
export function createListenPath(context: FenceContext, options: ListenOptions): ListenPath {
  return new PortableListen(context, options);
}

class PortableListen implements ListenPath {
  readonly engine = 'portable';
  readonly #context: FenceContext;
  readonly #options: ListenOptions;
  readonly #gates: Readonly<Record<Direction, PacketGate>>;
  readonly #health: AppHealth;
  readonly #streams: Streams<Socket>;
  #sessions: Sessions | undefined;
  #bound: BoundSockets | undefined;
  #watch: AppWatch | undefined;
  #kernelDrops: KernelDropsWatch | undefined;
  #stopped = false;
  #faultAtMs = Number.NEGATIVE_INFINITY;

  constructor(context: FenceContext, options: ListenOptions) {
    this.#context = context;
    this.#options = options;
    this.#gates = {
      inbound: createPacketGate(context, 'inbound', 'native'),
      outbound: createPacketGate(context, 'outbound', 'native'),
    };
    this.#health = createAppHealth(context);
    this.#streams = createNodeStreams(context, options.streams, this.#health);
  }

  async start(): Promise<void> {
    const { app, listen, streams } = this.#options;
    const bound = await bindBoth(listen);
    this.#bound = bound;
    this.#sessions = createSessions({
      app,
      sessions: streams.limits.sessions,
      sessionIdleMs: streams.limits.sessionIdleMs,
      tally: this.#context.tally,
      now: () => this.#context.now(),
      onAnswer: (packet, peer) => this.#forward(packet, 'outbound', peer),
    });
    bound.tcp.on('connection', (socket) => this.#accept(socket));
    bound.tcp.on('error', (error) => this.#fault('accept_failed', error));
    bound.udp.on('message', (packet, from) => this.#receive(packet, from));
    bound.udp.on('error', (error) => this.#fault('udp_failed', error));
    this.#watch = watchApp(app, this.#health);
    this.#kernelDrops = watchKernelDrops([bound.at], this.#context.tally);
  }

  listening(): Endpoint {
    return this.#bound?.at ?? this.#options.listen;
  }

  outboundPacket(packet: Uint8Array, to: Endpoint): void {
    const socketAddress = socketAddressFor(to.address, this.#options.listen.address);
    this.#forward(packet, 'outbound', { ...to, socketAddress });
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
    // Its callback waits for every connection, and those are reset next.
    const closed = new Promise<void>((resolve) => {
      if (this.#bound === undefined) resolve();
      else this.#bound.tcp.close(() => resolve());
    });
    const streams = this.#streams.stop();
    const sessions = this.#sessions?.stop() ?? 0;
    await closed;
    this.#bound = undefined;
    return { streams, sessions };
  }

  #accept(socket: Socket): void {
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined || remotePort === undefined || this.#stopped) {
      // Gone before it could be looked at.
      socket.destroy();
      return;
    }
    const { address, port } = this.#options.app;
    const dial = () => connect({ host: address, port, allowHalfOpen: true });
    this.#streams.accept(socket, { direction: 'inbound', peer: endpointOf(remoteAddress, remotePort), dial });
  }

  #receive(packet: Buffer, from: RemoteInfo): void {
    const socketAddress = from.address;
    this.#forward(packet, 'inbound', { ...endpointOf(from.address, from.port), socketAddress });
  }

  #forward(packet: Uint8Array, direction: Direction, peer: SessionPeer): void {
    const atMs = this.#context.now();
    this.#pass(packet, direction, peer, atMs, atMs, () => {
      // A sender in this process may use its buffer again.
      const kept = Buffer.from(packet);
      return () => this.#pass(kept, direction, peer, atMs, this.#context.now());
    });
  }

  #pass(packet: Uint8Array, direction: Direction, peer: SessionPeer, atMs: number, nowMs: number, keep?: Keep): void {
    const { tally } = this.#context;
    const gate = this.#gates[direction];
    const known = createPacketPeer(peer.address, peer.port);
    if (!gate.pass(packet, 0, packet.length, known, nowMs, keep)) return;
    const out = passedPacket(gate);
    if (this.#bound === undefined || this.#stopped || out.length > UDP_PAYLOAD_MAX_BYTES) {
      tally.dropped('send_failed');
      return;
    }
    if (direction === 'inbound') this.#sessions?.send(out, peer);
    else this.#sendToPeer(this.#bound.udp, out, peer);
    tally.forwarded(direction, 'packet', (this.#context.now() - atMs) / 1000);
  }

  #sendToPeer(udp: BoundSockets['udp'], packet: Uint8Array, peer: SessionPeer): void {
    const { tally } = this.#context;
    sendBounded(udp, tally, () => {
      udp.send(packet, peer.port, peer.socketAddress, (error: NodeJS.ErrnoException | null) => {
        if (error) tally.dropped(UNREACHABLE.has(error.code ?? '') ? 'peer_unreachable' : 'send_failed');
      });
    });
  }

  #fault(code: string, error: Error): void {
    const nowMs = this.#context.now();
    if (nowMs - this.#faultAtMs < FAULT_INTERVAL_MS) return;
    this.#faultAtMs = nowMs;
    this.#context.onFault({ code, message: `${formatEndpoint(this.listening())}: ${error.message}` });
  }
}
