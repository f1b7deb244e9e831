/**
 * Tuples (name, address, port) that were seen bound to another cluster's label: alive messages, and alive rows of push/pulls, in
 * foreign-labelled frames of peers, rejected ones included.
 *
 * Whoever sends such frames can invent tuples without end. What came over TCP has its own share of the table, since one datagram can
 * be spoofed and a connection cannot; in each share a sender has a cap, and when the share is full, the sender with most tuples there
 * makes room. So a flood displaces its own, not what others sent.
 */
import { AgeList } from './age-list.ts';
import type { Tuple } from './quarantine.ts';
import { type FrameSource, spokenByPeer } from './source.ts';
import { NAME_MAX_CHARS, tupleKey } from './tuple.ts';

/** How long a foreign tuple is remembered after it was last named, ms: long enough for a table that is sent once an hour. */
export const FOREIGN_TUPLE_MS = 2 * 60 * 60_000;

/** The part of the table, of 4, that tuples have which came in datagrams only. */
const PACKET_SHARE = 1;
const SHARES = 4;

/** In what a member was named. */
export type NamedIn = 'alive' | 'pushPull';

/** Who said something, in which frame. */
export interface Bringer
  extends Pick<FrameSource, 'atMs' | 'direction' | 'transport' | 'kind' | 'peer' | 'answer' | 'rejected'> {
  readonly message: NamedIn;
  /** Who wrote the bytes: the remote member, or our own app. */
  readonly by: 'peer' | 'app';
}

/** Who says what `message` names, in a frame from `source`. */
export function bringerOf(source: FrameSource, message: NamedIn): Bringer {
  const { atMs, direction, transport, kind, peer, answer, rejected } = source;
  const by = spokenByPeer(source) ? 'peer' : 'app';
  return { atMs, direction, transport, kind, peer, answer, rejected, message, by };
}

export interface ForeignSighting extends Tuple {
  /** The label that it was first seen under; attacker-chosen, a copy. */
  readonly label: Uint8Array;
  readonly firstMs: number;
  /** When it was last named, under a foreign label or in our own gossip. */
  readonly lastMs: number;
  /** Who brought it first. */
  readonly broughtBy: Bringer;
}

/** A sighting as the table keeps it. */
export interface KeptSighting extends ForeignSighting {
  /** When a connection from its own address last named it, which nobody elsewhere can make up; 0: never. */
  readonly spokeMs: number;
}

export interface ForeignLimits {
  readonly foreignTuples: number;
  readonly foreignTuplesPerSender: number;
}

type Row = { -readonly [K in keyof KeptSighting]: KeptSighting[K] } & { readonly key: string; sender: Sender };

interface Sender {
  readonly address: string;
  readonly share: Share;
  /** The one named longest ago first. */
  readonly rows: AgeList<Row>;
}

interface Share {
  readonly limit: number;
  readonly senders: Map<string, Sender>;
  size: number;
}

export class ForeignTable {
  readonly #limits: ForeignLimits;
  readonly #rows = new Map<string, Row>();
  readonly #packets: Share;
  readonly #streams: Share;
  #evictions = 0;

  constructor(limits: ForeignLimits) {
    this.#limits = limits;
    const packets = Math.max(1, Math.floor((limits.foreignTuples * PACKET_SHARE) / SHARES));
    this.#packets = { limit: packets, senders: new Map(), size: 0 };
    this.#streams = { limit: Math.max(1, limits.foreignTuples - packets), senders: new Map(), size: 0 };
  }

  get size(): number {
    return this.#rows.size;
  }

  get evictions(): number {
    return this.#evictions;
  }

  get(key: string): ForeignSighting | undefined {
    return this.#rows.get(key);
  }

  has(key: string): boolean {
    return this.#rows.has(key);
  }

  /** The live rows: read only. */
  entries(): IterableIterator<[key: string, sighting: KeptSighting]> {
    return this.#rows.entries();
  }

  /** Takes note of a tuple in a foreign-labelled frame; whether it was unknown. */
  note(tuple: Tuple, label: Uint8Array, broughtBy: Bringer): boolean {
    if (tuple.name.length > NAME_MAX_CHARS) {
      this.#evictions++;
      return false;
    }
    const key = tupleKey(tuple);
    const share = broughtBy.kind === 'stream' ? this.#streams : this.#packets;
    const known = this.#rows.get(key);
    if (known === undefined) {
      const { atMs } = broughtBy;
      const sender = this.#sender(share, broughtBy.peer.address);
      const spokeMs = speaksForItself(tuple, broughtBy) ? atMs : 0;
      const row = {
        ...tuple,
        key,
        label: Uint8Array.from(label),
        firstMs: atMs,
        lastMs: atMs,
        broughtBy,
        spokeMs,
        sender,
      };
      this.#place(row);
      return true;
    }
    known.lastMs = broughtBy.atMs;
    if (speaksForItself(tuple, broughtBy)) known.spokeMs = broughtBy.atMs;
    if (share === this.#streams) this.#keep(known);
    else this.#refresh(known);
    return false;
  }

  /** Our own gossip names the tuple: it is worth keeping, whoever first brought it. */
  touch(key: string, atMs: number): void {
    const known = this.#rows.get(key);
    if (known === undefined) return;
    known.lastMs = atMs;
    this.#keep(known);
  }

  prune(nowMs: number): void {
    for (const row of this.#rows.values()) if (nowMs - row.lastMs > FOREIGN_TUPLE_MS) this.#remove(row);
  }

  /** Moves a row into the share of what came over TCP. */
  #keep(row: Row): void {
    if (row.sender.share === this.#streams) {
      this.#refresh(row);
      return;
    }
    const { address } = row.sender;
    this.#remove(row);
    row.sender = this.#sender(this.#streams, address);
    this.#place(row);
  }

  #refresh(row: Row): void {
    row.sender.rows.set(row.key, row);
  }

  #sender(share: Share, address: string): Sender {
    const known = share.senders.get(address);
    if (known !== undefined) return known;
    return { address, share, rows: new AgeList() };
  }

  #place(row: Row): void {
    const { sender } = row;
    const { share } = sender;
    if (sender.rows.size >= this.#limits.foreignTuplesPerSender) this.#evictOldest(sender);
    else if (share.size >= share.limit) this.#evictOldest(largest(share, sender));
    share.senders.set(sender.address, sender);
    sender.rows.set(row.key, row);
    share.size++;
    this.#rows.set(row.key, row);
  }

  #evictOldest({ rows }: Sender): void {
    const row = rows.oldest();
    if (row !== undefined) this.#remove(row);
    this.#evictions++;
  }

  #remove(row: Row): void {
    const { sender } = row;
    this.#rows.delete(row.key);
    sender.rows.delete(row.key);
    sender.share.size--;
    if (sender.rows.size === 0) sender.share.senders.delete(sender.address);
  }
}

function speaksForItself({ address }: Tuple, { kind, peer, by }: Bringer): boolean {
  return kind === 'stream' && by === 'peer' && peer.address === address;
}

/** The sender with most rows in the share, `other` when it has none yet. */
function largest({ senders }: Share, other: Sender): Sender {
  let most = other;
  for (const sender of senders.values()) if (sender.rows.size > most.rows.size) most = sender;
  return most;
}
