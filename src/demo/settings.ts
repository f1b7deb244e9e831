/** What an embedded member is made from. The numbers are memberlist's config.go `DefaultLANConfig`. */
import type { Endpoint } from '../datapath/engine.ts';

export interface MemberTiming {
  readonly probeIntervalMs: number;
  readonly probeTimeoutMs: number;
  readonly gossipIntervalMs: number;
  readonly pushPullIntervalMs: number;
  /** How long a dead member is still gossiped to: it may only be cut off, and hear that it has to refute. */
  readonly gossipToTheDeadMs: number;
  readonly streamTimeoutMs: number;
}

export const LAN_TIMING: MemberTiming = {
  probeIntervalMs: 1_000,
  probeTimeoutMs: 500,
  gossipIntervalMs: 200,
  pushPullIntervalMs: 30_000,
  gossipToTheDeadMs: 30_000,
  streamTimeoutMs: 10_000,
};

export interface MemberSettings {
  /** Unique in its ring. */
  readonly name: string;
  /** Where others reach this member: the fence's address, where it has one. */
  readonly advertise: Endpoint;
  readonly timing: MemberTiming;
}

export const INDIRECT_CHECKS = 3;
export const GOSSIP_NODES = 3;
export const RETRANSMIT_MULT = 4;
export const SUSPICION_MULT = 4;
export const SUSPICION_MAX_TIMEOUT_MULT = 6;

/** config.go `UDPBufferSize`: the largest packet that a sender builds, bytes. */
export const PACKET_MAX_BYTES = 1_400;

/** Protocol min, max, current and delegate min, max, current, as a stock member without a delegate states them. */
export const VERSIONS = Uint8Array.of(1, 5, 2, 0, 0, 0);

/** Members that a table holds, dead ones included: a demo has a dozen, and a stranger must not fill the memory. */
export const MEMBERS_MAX = 1_000;

/** Bytes of one stream that are read: room for MEMBERS_MAX states and some user state. */
export const STREAM_MAX_BYTES = 4 * 1024 * 1024;

/** net.go `maxPushPullRequests`: streams that are served at once. */
export const STREAMS_MAX = 128;

/** Pings under way on behalf of others (indirect), and own ones: each lives for a probe interval at most. */
export const PENDING_ACKS_MAX = 512;

/** Characters of a node's name; with it and the largest metadata, gossip about a member still fits a packet. */
export const NAME_MAX_CHARS = 255;
