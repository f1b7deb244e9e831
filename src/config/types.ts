/** What the configuration becomes: plain values for the composition root. */
import type { Endpoint, PathLimits, StreamSettings } from '../datapath/engine.ts';
import type { TcpSource } from '../datapath/options.ts';
import type { VerifyServer } from '../datapath/tls-socket.ts';
import type { Cidr } from '../policy/admission.ts';
import type { Dialects, Stage } from '../policy/stage.ts';
import type { PeerTableOptions } from '../ring/peers.ts';
import type { ConfigFile } from './schema.ts';

export interface ListenMode {
  readonly kind: 'listen';
  readonly listen: Endpoint;
  readonly app: Endpoint;
  /** The app runs in this process and sends through the fence too (the demo's members); a file cannot say so. */
  readonly appInside?: boolean;
}

export interface TransparentMode {
  readonly kind: 'transparent';
  readonly port: number;
  readonly peerPorts: readonly number[];
  readonly proxyPort: number;
  readonly uid: number;
  readonly tcpSource: TcpSource;
  readonly whenDown: 'closed' | 'open';
}

export type EngineSetting = 'auto' | 'linux' | 'portable';

/** One fence, checked. */
export interface FenceConfig {
  readonly name: string;
  readonly cluster: string;
  /** `cluster` as UTF-8, 1..255 bytes. */
  readonly label: Uint8Array;
  /** The explicit stage; undefined: the state file, the fences of the first peers, or `floor` say where it starts. */
  readonly stage: Stage | undefined;
  /** Whether it climbs by itself. */
  readonly auto: boolean;
  /** The lowest stage that it can be in: `accept` where app and wire speak different dialects. */
  readonly floor: 'observe' | 'accept';
  /** The highest stage that this mode can carry out, and why it ends there; undefined when there is no such bound. */
  readonly ceiling: { readonly stage: Stage; readonly why: string } | undefined;
  readonly dialects: Dialects;
  readonly mode: ListenMode | TransparentMode;
  /** What carries its traffic; auto: the Linux engine where it can run. */
  readonly engine: EngineSetting;
  readonly cidrs: readonly Cidr[];
  readonly unterminatedTls: 'pass' | 'reject';
  readonly shield: boolean;
  /** Whether foreign members are stripped from passing gossip. */
  readonly quarantine: boolean;
  /** Names whose addresses are members. */
  readonly dns: readonly string[];
  /** Patterns of node names that members have; empty: any. */
  readonly names: readonly string[];
  /** How long an address stays admitted after it left DNS, and a member may be outside the identity rules before it is a warning, ms. */
  readonly graceMs: number;
  /** How long after a start everything that the own gossip lists counts as own, ms. */
  readonly warmUpMs: number;
  /** Bytes of frames read below their label each second; 0: inspection is off. */
  readonly inspectBytesPerSecond: number;
  /** Rejected packets a second from which the kernel drops such packets; 0: it never does. */
  readonly floodPacketsPerSecond: number;
  readonly encryption: {
    /** Paths of the files with the gossip keys; empty: none. */
    readonly keyFiles: readonly string[];
    /** Whether outbound frames are sealed as a native member would seal them. */
    readonly reseal: boolean;
  };
  /** The files and rules of a TLS transport; undefined without one. */
  readonly tls: TlsConfig | undefined;
  readonly streams: StreamSettings;
  readonly memory: PeerTableOptions;
  readonly drainGraceMs: number;
  readonly adoption: AdoptionConfig;
}

/** Times and bounds of adoption. */
export interface AdoptionConfig {
  readonly dnsRefreshMs: number;
  /** How long a frame waits for what is asked about its peer, ms. */
  readonly strangerWaitMs: number;
  readonly strangerWaitBytes: number;
  readonly probeIntervalMs: number;
  /** How long a step must have been safe before auto takes it, ms. */
  readonly settleMs: number;
}

export interface TlsConfig {
  readonly certFile: string;
  readonly keyFile: string;
  /** Empty where nothing is verified. */
  readonly caFile: string;
  readonly clientAuth: boolean;
  readonly verifyServer: VerifyServer;
  readonly serverName: string;
}

export type { PathLimits };

export interface AdminConfig {
  readonly address: Endpoint;
  /** Empty: only loopback may change a stage. */
  readonly writeToken: string;
}

export interface LogConfig {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'json' | 'text';
}

/** Something that an operator should know and that stops nothing. */
export interface ConfigNote {
  readonly level: 'info' | 'warn';
  /** One line: `FILE:LINE: path: what`. */
  readonly text: string;
}

export interface Config {
  readonly fences: readonly FenceConfig[];
  readonly admin: AdminConfig;
  /** Where stages are kept; undefined: nowhere. */
  readonly stateFile: string | undefined;
  readonly log: LogConfig;
  readonly notes: readonly ConfigNote[];
  /** The checked file as it stands, defaults filled in: to be compared with another one. */
  readonly file: ConfigFile;
}
