/** What addresses showed when they spoke to us themselves: their label state, how they seal, when they were last heard. Bounded. */
import type { LabelState } from '../policy/facts.ts';
import type { SealForm } from '../wire/encryption.ts';
import { BoundedTable } from './bounded.ts';
import { type FrameSource, isOwnGossip, spokenByPeer } from './source.ts';
import { endpointKey } from './tuple.ts';

/** What an address, or an address and port, showed last. */
export interface Heard {
  /** Of the last frame that could carry a label: an answer on a stream cannot. */
  labelState: LabelState | undefined;
  /** The form of the last encrypted frame that was opened. */
  sealForm: SealForm | undefined;
  /** A labelled frame opened only without associated data: a fence put the label in front of what its app had sealed. */
  fenced: boolean;
  /** The last frame that carried the own label; 0 = never. */
  ownLabelMs: number;
  /** The last frame that was our own gossip; 0 = never. */
  ownMs: number;
  /** The last such frame on a TCP connection; 0 = never. */
  ownStreamMs: number;
  lastMs: number;
}

/** The key for an address whatever its port: an inbound connection's port says nothing about the member behind it. */
const ANY_PORT = 0;

export class HeardTable {
  readonly #table: BoundedTable<Heard>;

  constructor(limit: number) {
    this.#table = new BoundedTable(limit);
  }

  get evictions(): number {
    return this.#table.evictions;
  }

  /** Takes note of a frame; `form` is how it was sealed, where it was opened. Frames of our own app teach nothing. */
  note(source: FrameSource, form: SealForm | undefined): void {
    if (!spokenByPeer(source)) return;
    const { peer } = source;
    this.#write(endpointKey(peer.address, ANY_PORT), source, form);
    if (showsGossipPort(source)) this.#write(endpointKey(peer.address, peer.port), source, form);
  }

  /** What exactly this address and port showed, or the address under whatever port. */
  of(address: string, port: number): { readonly exact: Heard | undefined; readonly address: Heard | undefined } {
    return {
      exact: this.#table.get(endpointKey(address, port)),
      address: this.#table.get(endpointKey(address, ANY_PORT)),
    };
  }

  /** Whether the address completed a TCP exchange with us that was our own gossip: no stranger can make that up. */
  vouched(address: string): boolean {
    return (this.#table.get(endpointKey(address, ANY_PORT))?.ownStreamMs ?? 0) > 0;
  }

  /** When the address last showed the own label; 0 = never. */
  ownLabelMs(address: string): number {
    return this.#table.get(endpointKey(address, ANY_PORT))?.ownLabelMs ?? 0;
  }

  prune(beforeMs: number): void {
    this.#table.prune(({ lastMs }) => lastMs < beforeMs);
  }

  #write(key: string, source: FrameSource, form: SealForm | undefined): void {
    const known = this.#table.get(key);
    const heard = known ?? {
      labelState: undefined,
      sealForm: undefined,
      fenced: false,
      ownLabelMs: 0,
      ownMs: 0,
      ownStreamMs: 0,
      lastMs: 0,
    };
    heard.lastMs = source.atMs;
    if (!source.answer) {
      heard.labelState = source.labelState;
      if (source.labelState === 'own') heard.ownLabelMs = source.atMs;
    }
    if (form !== undefined) {
      heard.sealForm = form;
      heard.fenced = source.labelState === 'own' && form === 'empty';
    }
    if (isOwnGossip(source)) {
      heard.ownMs = source.atMs;
      if (source.kind === 'stream') heard.ownStreamMs = source.atMs;
    }
    this.#table.put(key, heard, heard.ownStreamMs > 0);
  }
}

/** Whether the peer's port is its gossip port: native members send datagrams from it, and our app dials it. */
function showsGossipPort({ kind, transport, direction }: FrameSource): boolean {
  return kind === 'packet' ? transport === 'native' : direction === 'outbound';
}
