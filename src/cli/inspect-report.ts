/**
 * What `ringfence inspect` says, as data: the JSON document, and what the tables for people are made from. Text that came out of the
 * capture is escaped here already. Times are ISO 8601; null where the capture has none.
 */
import type { DissectCounts } from '../wire/capture/dissect.ts';
import type { CaptureFormat } from '../wire/capture/frame.ts';

/** Of the JSON document; goes up when a field changes its meaning or goes away. */
export const REPORT_VERSION = 1;

/** Where something was seen. */
export interface Evidence {
  /** Number of the frame in the capture, from 1, as tcpdump and Wireshark count. */
  readonly frame: number;
  readonly at: string | null;
  /** `address:port` of who sent it; null for a packet out of hex text. */
  readonly from: string | null;
  /** Null for none. */
  readonly label: string | null;
  /** `alive`, `push/pull`, `packet`, `stream`, `answer`. */
  readonly what: string;
}

export const FINDING_KINDS = [
  'merged_tuple',
  'two_labels',
  'labelled_and_not',
  'crosses_labels',
  'answered_across_labels',
  'name_at_two_addresses',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

/** One statement about the ring, with what proves it. */
export interface Finding {
  readonly kind: FindingKind;
  readonly sentence: string;
  readonly evidence: readonly Evidence[];
}

/** Packets of one sender to one receiver, or TCP exchanges between them, of one label. */
export interface FlowRow {
  readonly protocol: 'udp' | 'tcp' | 'text';
  /** With a port for UDP; a TCP dialler's port means nothing. */
  readonly source: string;
  readonly destination: string;
  readonly transport: string;
  readonly label: string | null;
  readonly frames: number;
  readonly bytes: number;
  /** Messages by type, with how often each was seen; `unreadable` for parts that could not be read. */
  readonly kinds: Readonly<Record<string, number>>;
  /** `no`, `opened` (a key fits) or `sealed` (none does). */
  readonly encrypted: string;
}

export interface LabelRow {
  readonly label: string | null;
  readonly senders: readonly string[];
  readonly frames: number;
  readonly bytes: number;
  readonly members: number;
  readonly firstAt: string | null;
  readonly lastAt: string | null;
}

export interface MemberRow {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly state: string;
  readonly incarnation: number;
  /** Protocol and delegate versions as min-max (current); null when the gossip gave none. */
  readonly versions: string | null;
  readonly zone: string | null;
  /** Whose ring lists it: a member of two rings has two rows. */
  readonly label: string | null;
  /** Under which this name, address and port were gossiped alive. */
  readonly labels: readonly (string | null)[];
  readonly lastAt: string | null;
}

export interface KeyRow {
  readonly key: string;
  readonly codec: string;
  readonly label: string | null;
  readonly bytes: number;
  readonly lastAt: string | null;
}

export interface InstanceRow {
  readonly key: string;
  readonly id: string;
  readonly address: string;
  readonly zone: string;
  readonly state: string;
  readonly label: string | null;
  /** The heartbeat that the instance wrote. */
  readonly heartbeatAt: string | null;
}

/** A malformed, harmful or unreadable frame; the same from the same sender counts up. */
export interface Problem {
  readonly reason: string;
  readonly sentence: string;
  readonly source: string;
  readonly destination: string;
  readonly count: number;
  readonly first: Evidence;
}

/** One packet, or one TCP exchange that has ended, decoded. */
export interface FrameLine {
  /** Of an exchange the last frame. */
  readonly frame: number;
  readonly at: string | null;
  readonly protocol: FlowRow['protocol'];
  readonly source: string;
  readonly destination: string;
  readonly transport: string;
  readonly label: string | null;
  /** What was said, bounded. */
  readonly text: string;
}

export interface CaptureSummary {
  readonly file: string;
  readonly format: CaptureFormat | null;
  readonly firstAt: string | null;
  readonly lastAt: string | null;
  readonly counts: Readonly<DissectCounts>;
  /** What is known to be missing, a sentence each. */
  readonly notes: readonly string[];
}

export interface Report {
  readonly version: number;
  readonly capture: CaptureSummary;
  readonly labels: readonly LabelRow[];
  readonly flows: readonly FlowRow[];
  readonly members: readonly MemberRow[];
  readonly keys: readonly KeyRow[];
  readonly instances: readonly InstanceRow[];
  readonly findings: readonly Finding[];
  readonly problems: readonly Problem[];
}

/** The largest time that a Date takes. */
const TIME_MAX_MS = 8.64e15;

/** A time of the capture as ISO 8601; null without one, or beyond what dates can say. */
export function timeText(atMs: number | undefined): string | null {
  return atMs === undefined || !(Math.abs(atMs) <= TIME_MAX_MS) ? null : new Date(atMs).toISOString();
}
