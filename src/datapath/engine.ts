/** What every data path implements, and what it is given. Policy, memory and counters come by argument from the composition root. */
import type { Admission, AdmissionRules } from '../policy/admission.ts';
import type { PolicySettings, Snapshot } from '../policy/decide.ts';
import type { Direction, Kind, LabelState } from '../policy/facts.ts';
import type { RejectReason } from '../policy/reason.ts';
import type { Stage } from '../policy/stage.ts';
import type { Tally } from '../policy/tally.ts';
import type { PeerTable } from '../ring/peers.ts';
import type { Transport, TransportSetting } from '../wire/transport.ts';
import type { Inside } from './inside.ts';
import type { Resettable, StreamSocket } from './socket.ts';
import type { TlsTerms } from './tls-socket.ts';

/** A remote member's address, or the app's. */
export interface Endpoint {
  /** Text without a zone; IPv4-mapped IPv6 is written as IPv4. */
  readonly address: string;
  readonly port: number;
}

/** One rejected frame, or in `observe` one that the next stage would reject, for logs and the API. Counting does not depend on it: a path under flood may leave events out. */
export interface Rejection {
  readonly atMs: number;
  readonly direction: Direction;
  readonly transport: Transport;
  readonly kind: Kind;
  readonly peer: Endpoint;
  readonly labelState: LabelState;
  readonly reason: RejectReason;
  /** The frame passed, in `observe`; this next stage would have rejected it. Undefined when the rejection was carried out. */
  readonly wouldRejectAt?: Stage;
  /** The label that the frame carried, as bytes (0..255), attacker-chosen: escape before showing. A copy. */
  readonly label: Uint8Array;
  /** How long the frame was, as far as it was read. */
  readonly bytes: number;
}

/** What decides about frames, as it crosses to other threads: plain data that is taken whole, so that no frame meets half of a change. */
export interface FenceRules {
  readonly policy: PolicySettings;
  readonly admission: AdmissionRules;
  /** The stage is not known yet (control/starter.ts): every frame may wait for it. */
  readonly starting: boolean;
}

/** Somebody of whom it is not known who they are. */
export interface Stranger {
  /** As formatAddress writes it. */
  readonly address: string;
  /** Whether no single datagram could have made it up: a completed TCP handshake, or our own app dials it. */
  readonly reached: boolean;
}

/** Where frames wait until it is known who their peer is (datapath/doubts.ts). */
export interface Doubts {
  /**
   * Whether an answer about `peer` may come soon (DNS; at a fresh start the fences of the first peers), so that its frame of `bytes`
   * may wait: `again` is called once then, when there is an answer or no time left. False where asking cannot help, or too much waits
   * already: the frame is decided by what is known. `again` is never called before this returns.
   */
  wait(peer: Stranger, bytes: number, again: () => void): boolean;
  /** Has a peer asked about whose frame does not wait: in `observe`, where nothing does. */
  ask(peer: Stranger): void;
  /** What was asked about `address`, without it about everyone, is answered: what waited for that is decided by the rules of now. */
  answered(address?: string, upTo?: number): void;
  /** Frames that wait now. */
  waiting(): number;
}

export const NO_DOUBTS: Doubts = {
  wait: () => false,
  ask: () => undefined,
  answered: () => undefined,
  waiting: () => 0,
};

/** What a path needs of its fence. `snapshot`, `admission` and `starting` are asked for every frame, because they can change at any time. */
export interface FenceContext {
  readonly name: string;
  /** The cluster label, 1..255 bytes. */
  readonly label: Uint8Array;
  snapshot(): Snapshot;
  admission(): Admission;
  /** Whether the stage is not known yet. */
  starting(): boolean;
  readonly doubts: Doubts;
  readonly peers: PeerTable;
  readonly tally: Tally;
  /** What looks below the label. */
  readonly inside: Inside;
  /** Milliseconds since the Unix epoch that never run backwards, comparable across threads. */
  now(): number;
  onRejection(rejection: Rejection): void;
  /** Something on our side went wrong or came right again (app unreachable, socket error). `message` is one line, escaped. */
  onFault(fault: Fault): void;
}

export interface Fault {
  readonly code: string;
  readonly message: string;
  /** What it is about, from the configuration: faults of one code about different things are told apart. */
  readonly about?: string;
}

/** What becomes of a native stream that is rejected. */
export type RejectStreams = 'explain' | 'reset' | 'silent';

/** Bounds of streams and sessions; every one can be set under `limits` in the configuration. */
export interface PathLimits {
  readonly headerTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Open streams in total, and of one peer address; for each direction. */
  readonly streams: number;
  readonly streamsPerPeer: number;
  readonly sessions: number;
  readonly sessionIdleMs: number;
  /** How long a rejected stream is drained after its explanation, and how much of it is read. */
  readonly rejectDrainMs: number;
  readonly rejectDrainBytes: number;
  /** How long a stream may take to send what a rule needs before it is passed on. */
  readonly holdTimeoutMs: number;
  /** Bytes held of one stream for that, and of all streams together, for each direction. */
  readonly holdBytes: number;
  readonly holdBytesTotal: number;
  /** Members that one push/pull towards the app may announce. */
  readonly pushPullNodes: number;
  /** Bytes that all open streams towards the app may make it reserve, for each direction. */
  readonly announcedBytes: number;
}

export interface StreamSettings {
  readonly transport: TransportSetting;
  /** Opens TLS on both sides of every connection; what it holds is `transport`. Without it TLS stays as it is. */
  readonly tls?: TlsTerms;
  readonly rejectStreams: RejectStreams;
  readonly limits: PathLimits;
}

/** One accepted connection, as the path that accepted it knows it. */
export interface AcceptedStream<S extends Resettable = StreamSocket> {
  /** Who dialled: inbound, a peer; outbound, the app. */
  readonly direction: Direction;
  /** The remote member, whichever side dialled. */
  readonly peer: Endpoint;
  /**
   * Opens the connection to the other side: to the app for inbound, to the peer for outbound. The socket that it returns is
   * connecting and lets a half-close leave the other half open. Called at most once, and never for a stream that is rejected.
   */
  dial(): S;
  /** Called once, when every socket of the stream has closed, or it was refused. */
  onClosed?(): void;
}

export interface OpenCounts {
  readonly sessions: number;
  readonly streamsInbound: number;
  readonly streamsOutbound: number;
  /** UDP sessions dropped for newer ones since the start. */
  readonly sessionEvictions: number;
  /** Frames that wait until it is known who their peer is, in all threads. */
  readonly waitingFrames: number;
}

/** Packets that the kernel dropped because no fence took them. */
export interface BypassDropped {
  readonly inbound: number;
  readonly outbound: number;
}

/** What a stop cut off. */
export interface Cut {
  readonly streams: number;
  readonly sessions: number;
}

export interface DataPath {
  /** `portable` (node:dgram and node:net) or `linux` (koffi). */
  readonly engine: 'portable' | 'linux';
  /** Opens the sockets. Rejects with a StartError that names the port, file or right at fault. */
  start(): Promise<void>;
  counts(): OpenCounts;
  /** Whether the app was reachable when it was last tried; undefined before the first try. */
  appUp(): boolean | undefined;
  /** The kernel's fail-closed drops; undefined where this path has none or the process may not read them. */
  bypassDropped?(): BypassDropped | undefined;
  /** Whether the kernel drops foreign packets now, because of a flood; absent where it cannot. */
  floodGuard?(): boolean;
  /** Why the path is not ready (rules missing, app not there), a sentence each; empty when it is. */
  notReady(): Promise<readonly string[]>;
  /** Gives workers the rules of now. Resolves once each decides by them, or has not said so for a second (a fault, reported). */
  rulesChanged(): Promise<void>;
  /**
   * What was asked about the stranger at `address` until now, without it about everyone, is answered: its frames that waited, in this thread
   * and in workers, are decided by the rules of now, given before.
   */
  answered(address?: string): void;
  /** Tells workers that keys or quarantine rules changed. */
  insideChanged(): void;
  /** The buffers that this path's own worker threads count in (policy/tally.ts); the context's tally is not among them. */
  tallies(): readonly ArrayBufferLike[];
  /** Keeps forwarding, new frames too, until the app has gone or `graceMs` have passed. */
  drain(graceMs: number): Promise<void>;
  /** Closes everything now and says what that cut. */
  stop(): Promise<Cut>;
}

/** Why a path could not start, for one line to the operator and the exit code. */
export class StartError extends Error {
  override readonly name = 'StartError';
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
