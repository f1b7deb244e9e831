/** Who sends what to whom: the tables of flows, labels and problems, added to while the capture is read. */
import { FLOWS_MAX, LABELS_MAX, PROBLEMS_MAX, SENDERS_MAX } from './inspect-bounds.ts';
import type { LabelText, See } from './inspect-findings.ts';
import type { Sealing } from './inspect-packet.ts';
import { type Evidence, type FlowRow, type LabelRow, type Problem, timeText } from './inspect-report.ts';

/** One packet, or one TCP exchange. */
export interface TrafficFrame {
  readonly protocol: FlowRow['protocol'];
  readonly source: string;
  readonly destination: string;
  readonly transport: string;
  /** Undefined where it cannot be known: TLS, broken headers, connections seen midway. */
  readonly label: LabelText | undefined;
  readonly bytes: number;
  readonly sealing: Sealing;
  readonly atMs: number | undefined;
}

/** Message types and how often each was seen. */
export type Kinds = Record<string, number>;

interface Flow {
  readonly row: Omit<FlowRow, 'frames' | 'bytes' | 'kinds'>;
  readonly kinds: Kinds;
  frames: number;
  bytes: number;
}

interface LabelEntry {
  readonly senders: Set<string>;
  frames: number;
  bytes: number;
  firstMs: number | undefined;
  lastMs: number | undefined;
}

export interface Traffic {
  /** Counts a frame and gives its flow's message counts, to be added to. */
  frame(frame: TrafficFrame, sender: string): Kinds;
  problem(reason: string, sentence: string, source: string, destination: string, see: See): void;
  /** Labels seen, without those beyond the bound. */
  knowsLabel(label: LabelText): boolean;
  flows(): readonly FlowRow[];
  /** `members` says how many members gossip named under a label. */
  labels(members: (label: LabelText) => number): readonly LabelRow[];
  problems(): readonly Problem[];
  /** Frames and problems that went into no row because of the bounds. */
  leftOut(): { readonly flows: number; readonly labels: number; readonly problems: number };
}

export function createTraffic(): Traffic {
  const flows = new Map<string, Flow>();
  const labels = new Map<LabelText, LabelEntry>();
  const problems = new Map<string, Problem & { count: number; readonly first: Evidence }>();
  const leftOut = { flows: 0, labels: 0, problems: 0 };

  const flowOf = ({ protocol, source, destination, transport, label, sealing }: TrafficFrame): Flow | undefined => {
    const key = `${protocol} ${source} ${destination} ${transport} ${sealing} ${label === undefined ? '?' : label === null ? '' : `"${label}"`}`;
    const known = flows.get(key);
    if (known !== undefined || flows.size === FLOWS_MAX) return known;
    const row = { protocol, source, destination, transport, label: label ?? null, encrypted: sealing };
    const flow: Flow = { row, kinds: {}, frames: 0, bytes: 0 };
    flows.set(key, flow);
    return flow;
  };
  const countLabel = (label: LabelText, { bytes, atMs }: TrafficFrame, sender: string): void => {
    let entry = labels.get(label);
    if (entry === undefined) {
      if (labels.size === LABELS_MAX) {
        leftOut.labels++;
        return;
      }
      entry = { senders: new Set(), frames: 0, bytes: 0, firstMs: atMs, lastMs: atMs };
      labels.set(label, entry);
    }
    entry.frames++;
    entry.bytes += bytes;
    entry.lastMs = atMs ?? entry.lastMs;
    if (entry.senders.size < SENDERS_MAX) entry.senders.add(sender);
  };

  return {
    frame(frame, sender) {
      if (frame.label !== undefined) countLabel(frame.label, frame, sender);
      const flow = flowOf(frame);
      if (flow === undefined) {
        leftOut.flows++;
        return {};
      }
      flow.frames++;
      flow.bytes += frame.bytes;
      return flow.kinds;
    },
    problem(reason, sentence, source, destination, see) {
      const key = `${reason} ${source} ${destination}`;
      const known = problems.get(key);
      if (known !== undefined) known.count++;
      else if (problems.size === PROBLEMS_MAX) leftOut.problems++;
      else problems.set(key, { reason, sentence, source, destination, count: 1, first: see() });
    },
    knowsLabel: (label) => labels.has(label),
    flows: () =>
      [...flows.values()]
        .map(({ row, frames, bytes, kinds }) => ({ ...row, frames, bytes, kinds }))
        .toSorted((a, b) => b.frames - a.frames),
    labels: (members) =>
      [...labels].map(([label, { senders, frames, bytes, firstMs, lastMs }]) => ({
        label,
        senders: [...senders].toSorted(),
        frames,
        bytes,
        members: members(label),
        firstAt: timeText(firstMs),
        lastAt: timeText(lastMs),
      })),
    problems: () => [...problems.values()],
    leftOut: () => leftOut,
  };
}
