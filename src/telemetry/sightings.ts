/** What was rejected lately, for people: recent rejections and foreign labels, in bounded tables; counting is the tally's. */
import type { Endpoint, Rejection } from '../datapath/engine.ts';
import type { FrameSource } from '../ring/source.ts';
import { escapeBytes } from '../wire/escape.ts';

/** Rows of rejections; the one seen longest ago goes first. */
export const REJECTION_ROWS_MAX = 500;

/** Foreign labels that are told apart; the one seen longest ago goes first. */
export const FOREIGN_LABELS_MAX = 1_000;

/** Peers with a foreign label that are told apart. */
export const FOREIGN_PEERS_MAX = 10_000;

/** Rejections that are told apart in one second; under a flood the rest is left out here, and counted by the tally as ever. */
export const SIGHTINGS_PER_SECOND_MAX = 1_000;

/** Rejections of one peer address for one reason, direction, transport and kind. */
export interface RejectionRow extends Pick<Rejection, 'direction' | 'transport' | 'kind' | 'reason' | 'labelState'> {
  /** Undefined when the rejection was carried out; in `observe` the stage that would carry it out. */
  readonly wouldRejectAt: Rejection['wouldRejectAt'] | undefined;
  /** The peer as last seen; its port changes. */
  readonly peer: Endpoint;
  /** The sender's label as last seen, escaped. */
  readonly label: string;
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
  /** What the last inspected frame of this row held, escaped; empty until one was. */
  readonly excerpt: string;
}

export interface ForeignLabel {
  /** Escaped. */
  readonly label: string;
  readonly count: number;
  readonly lastMs: number;
}

export interface Evictions {
  readonly rejections: number;
  readonly foreignLabels: number;
  readonly foreignPeers: number;
}

export interface Sightings {
  note(rejection: Rejection): void;
  /** What a frame held, told some time after its rejection: `text` is escaped and bounded. Frames of no row are ignored, and not asked. */
  excerpt(source: FrameSource, text: () => string): void;
  /** The newest rows first. */
  rejections(limit: number): RejectionRow[];
  /** Labels seen within the window, the most frequent first. */
  foreignLabels(nowMs: number, limit: number): ForeignLabel[];
  /**
   * Labels for a metric: at most `limit`, the most frequent of the window; one that was given stays until it is out of the window, so
   * that a sender of random labels cannot make new series with every scrape.
   */
  steadyForeignLabels(nowMs: number, limit: number): string[];
  /** Addresses that showed a foreign label within the window. */
  foreignPeers(nowMs: number): ReadonlySet<string>;
  evictions(): Evictions;
  /** Rejections that came too fast to be told apart: by so many the counts here are too low. */
  leftOut(): number;
}

/** A table that keeps the `max` entries touched last. */
class RecentTable<Value> {
  readonly #entries = new Map<string, Value>();
  readonly #max: number;
  evicted = 0;
  constructor(max: number) {
    this.#max = max;
  }
  /** Replaces the entry of `key` by what `change` makes of it, and makes it the newest. */
  touch(key: string, change: (old: Value | undefined) => Value): void {
    const value = change(this.#entries.get(key));
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#max) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      this.evicted++;
      return;
    }
  }
  get size(): number {
    return this.#entries.size;
  }
  get(key: string): Value | undefined {
    return this.#entries.get(key);
  }
  /** Replaces an entry that is there, without making it newer. */
  replace(key: string, value: Value): void {
    if (this.#entries.has(key)) this.#entries.set(key, value);
  }
  entries(): [string, Value][] {
    return [...this.#entries];
  }
}

/** Lets `max` through in each second, and counts the rest. */
class RateGate {
  readonly #max: number;
  #startMs = Number.NEGATIVE_INFINITY;
  #count = 0;
  refused = 0;
  constructor(max: number) {
    this.#max = max;
  }
  admits(nowMs: number): boolean {
    if (nowMs - this.#startMs >= 1_000) {
      this.#startMs = nowMs;
      this.#count = 0;
    }
    if (++this.#count <= this.#max) return true;
    this.refused++;
    return false;
  }
}

/** Creates the tables; `windowMs` is the memory window of the fence. */
export function createSightings({ windowMs }: { readonly windowMs: number }): Sightings {
  const rows = new RecentTable<RejectionRow>(REJECTION_ROWS_MAX);
  const labels = new RecentTable<ForeignLabel>(FOREIGN_LABELS_MAX);
  const peers = new RecentTable<number>(FOREIGN_PEERS_MAX);
  /** The key of the row that a peer's frames of one kind went to last: a frame says nothing of the reason it was rejected for. */
  const rowOf = new RecentTable<string>(REJECTION_ROWS_MAX);
  const rate = new RateGate(SIGHTINGS_PER_SECOND_MAX);
  /** Labels given to the metric, with when they were last seen as far as is known. */
  const steady = new Map<string, number>();
  const foreignLabels = (nowMs: number, limit: number): ForeignLabel[] =>
    labels
      .entries()
      .map(([, label]) => label)
      .filter(({ lastMs }) => nowMs - lastMs <= windowMs)
      .sort((a, b) => b.count - a.count || b.lastMs - a.lastMs)
      .slice(0, limit);
  return {
    note(rejection) {
      if (!rate.admits(rejection.atMs)) return;
      const { peer, direction, transport, kind, reason, labelState, wouldRejectAt, atMs } = rejection;
      const label = escapeBytes(rejection.label);
      const key = `${peer.address} ${direction} ${transport} ${kind} ${reason} ${wouldRejectAt ?? ''}`;
      rowOf.touch(frameKey(rejection, wouldRejectAt === undefined), () => key);
      rows.touch(key, (old) => ({
        peer,
        direction,
        transport,
        kind,
        reason,
        labelState,
        wouldRejectAt,
        label,
        count: (old?.count ?? 0) + 1,
        firstMs: old?.firstMs ?? atMs,
        lastMs: atMs,
        excerpt: old?.excerpt ?? '',
      }));
      if (labelState !== 'foreign') return;
      labels.touch(label, (old) => ({ label, count: (old?.count ?? 0) + 1, lastMs: atMs }));
      if (direction === 'inbound') peers.touch(peer.address, () => atMs);
    },
    excerpt(source, text) {
      // Of nearly every fence, with every frame that it lets through.
      if (rowOf.size === 0) return;
      const key = rowOf.get(frameKey(source, source.rejected));
      const row = key === undefined ? undefined : rows.get(key);
      if (key !== undefined && row !== undefined) rows.replace(key, { ...row, excerpt: text() });
    },
    rejections: (limit) =>
      rows
        .entries()
        .slice(-limit)
        .map(([, row]) => row)
        .reverse(),
    foreignLabels,
    steadyForeignLabels(nowMs, limit) {
      const lately = foreignLabels(nowMs, FOREIGN_LABELS_MAX);
      for (const { label, lastMs } of lately) if (steady.has(label)) steady.set(label, lastMs);
      for (const [label, lastMs] of steady) if (nowMs - lastMs > windowMs) steady.delete(label);
      for (const { label, lastMs } of lately) if (steady.size < limit) steady.set(label, lastMs);
      return [...steady.keys()];
    },
    foreignPeers: (nowMs) =>
      new Set(
        peers
          .entries()
          .filter(([, lastMs]) => nowMs - lastMs <= windowMs)
          .map(([address]) => address),
      ),
    evictions: () => ({ rejections: rows.evicted, foreignLabels: labels.evicted, foreignPeers: peers.evicted }),
    leftOut: () => rate.refused,
  };
}

function frameKey(
  frame: Pick<FrameSource, 'peer' | 'direction' | 'transport' | 'kind' | 'labelState'>,
  rejected: boolean,
) {
  const { peer, direction, transport, kind, labelState } = frame;
  return `${peer.address} ${direction} ${transport} ${kind} ${labelState} ${rejected}`;
}
