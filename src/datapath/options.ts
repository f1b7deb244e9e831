/** What each data path is made from: plain values that the composition root takes from the configuration. */

import type { PeerTableOptions } from '../ring/peers.ts';
import type { Endpoint, FenceRules, Stranger, StreamSettings } from './engine.ts';
import type { InsideRules } from './inside.ts';

/** The portable path: the fence binds `listen`, the app binds `app` and advertises `listen`. */
export interface ListenOptions {
  readonly listen: Endpoint;
  readonly app: Endpoint;
  readonly streams: StreamSettings;
}

/** Shared rings: packets (inspection-ring.ts) and streams (inspection-stream-ring.ts), those that passed and rejected ones. */
export interface InspectionRings {
  readonly own: SharedArrayBuffer;
  readonly rejected: SharedArrayBuffer;
  readonly ownStreams: SharedArrayBuffer;
  readonly rejectedStreams: SharedArrayBuffer;
}

/** What the engine's thread builds its own view of a fence from. */
export interface WorkerOptions {
  readonly label: Uint8Array;
  readonly peersBuffer: SharedArrayBuffer;
  readonly peers: PeerTableOptions;
  rules(): FenceRules;
  /** Somebody unknown, whose frames wait in the thread; the path's answered(address) ends the wait. To be answered always, and never before this returns. */
  ask(peer: Stranger): void;
  /** How long frames wait for that, ms, and bytes of them at once. */
  readonly waits: { readonly waitMs: number; readonly bytesMax: number };
  /** Rejected packets a second from which the kernel drops such packets; 0: it never does. */
  readonly floodPacketsPerSecond: number;
  inside(): InsideRules;
  /** Where the thread puts what is to be inspected; undefined while inspection is off. */
  readonly rings: InspectionRings | undefined;
  /** What waits there should be looked at soon. */
  inspect(): void;
}

/** Which source address the app sees on TCP: the peer's own, or the pod's. */
export type TcpSource = 'peer' | 'pod';

/** The transparent path: traffic of the gossip port reaches `proxyPort` by the rules of `ringfence intercept`. */
export interface TransparentOptions {
  /** The gossip port, on either side. */
  readonly port: number;
  /** Further gossip ports of peers, TCP and UDP, outbound. */
  readonly peerPorts: readonly number[];
  readonly proxyPort: number;
  /** The user id that the fence runs under: the rules let its own traffic through. */
  readonly uid: number;
  readonly tcpSource: TcpSource;
  readonly streams: StreamSettings;
  readonly worker: WorkerOptions;
}
