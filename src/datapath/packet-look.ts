/**
 * The look into a dskit packet connection: the whole packet, up to the FIN that ends it, then what datagrams go through
 * (packet-inside.ts), and the digest that what goes on must have.
 */
import { createHash, hash } from 'node:crypto';
import type { ShieldReason } from '../policy/reason.ts';
import { rewriteDigest } from '../wire/dskit.ts';
import { sameBytes } from '../wire/label.ts';
import { DSKIT_DIGEST_BYTES, DSKIT_PACKET_MAX_BYTES } from '../wire/limits.ts';
import { isProbe } from '../wire/probe.ts';
import type { MalformedReason } from '../wire/reason.ts';
import { joined, type Look, type ReleaseAs, type Released, unchanged } from './look.ts';
import type { PacketInside } from './packet-inside.ts';

const NO_BYTES = new Uint8Array(0);

/** Up to this length a copy costs less than a hash that is fed twice. */
const JOINED_MAX_BYTES = 16 * 1024;

/** The digest of `bytes`, in memory that nobody else changes. */
export type Md5 = (bytes: Uint8Array) => Uint8Array;

export interface PacketLookOptions {
  /** The label header of the packet as it came, maybe empty; a view is fine. */
  readonly receivedLabel: Uint8Array;
  /** From encodeLabelHeader, of our own label. */
  readonly labelHeader: Uint8Array;
  readonly md5: Md5;
  /** Looks into the packet after its label, once it is there. */
  inside(body: Uint8Array): PacketInside;
}

export class PacketLook implements Look {
  readonly #options: PacketLookOptions;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #inside: PacketInside | undefined;
  #body: Uint8Array = NO_BYTES;
  #digest: Uint8Array = NO_BYTES;
  #harm: ShieldReason | undefined;
  /** The digest that what was taken should have. */
  #ofReceived: Uint8Array = NO_BYTES;

  constructor(options: PacketLookOptions) {
    this.#options = options;
  }

  push(chunk: Uint8Array): boolean {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    return this.malformed() !== undefined;
  }

  end(): void {
    if (this.#digest === NO_BYTES) this.#split();
    this.#inside = this.#options.inside(this.#body);
    this.#harm = this.#inside.look();
  }

  isWhole(): boolean {
    if (this.#bytes < DSKIT_DIGEST_BYTES || this.malformed() !== undefined) return false;
    this.#split();
    this.#ofReceived = md5Of(this.#options, this.#options.receivedLabel, this.#body);
    return sameBytes(this.#digest, this.#ofReceived);
  }

  packet(): Uint8Array | undefined {
    return this.#inside === undefined || this.#digest.length < DSKIT_DIGEST_BYTES ? undefined : this.#body;
  }

  taken(): readonly Uint8Array[] {
    return this.#chunks;
  }

  harm(): ShieldReason | undefined {
    return this.#harm;
  }

  malformed(): MalformedReason | undefined {
    const packetBytes = this.#options.receivedLabel.length + this.#bytes - DSKIT_DIGEST_BYTES;
    return packetBytes > DSKIT_PACKET_MAX_BYTES ? 'dskit_oversize' : undefined;
  }

  announcedBytes(): number {
    return 0;
  }

  needsBytes(): number {
    return 0;
  }

  /** Counted by PacketInside. */
  sealed(): undefined {}

  opened(): undefined {}

  neutral(): boolean {
    return this.#inside?.isProbe() ?? isProbe(this.#chunks[0] ?? NO_BYTES);
  }

  #split(): void {
    const all = joined(this.#chunks);
    const digestAt = Math.max(0, all.length - DSKIT_DIGEST_BYTES);
    this.#body = all.subarray(0, digestAt);
    this.#digest = all.subarray(digestAt);
  }

  release({ labelled }: ReleaseAs): Released {
    const body = this.#inside === undefined ? this.#body : this.#inside.rewrite(labelled);
    if (body === undefined) return { ...unchanged([]), bytes: undefined };
    const { receivedLabel } = this.#options;
    const chunks = this.#chunks;
    const received = this.#body;
    const digestOfIt = this.#digest;
    this.#chunks = [];
    this.#inside = undefined;
    this.#body = NO_BYTES;
    this.#digest = NO_BYTES;
    const label = labelled ? this.#options.labelHeader : NO_BYTES;
    if (body === received && label.length === receivedLabel.length) return unchanged(chunks);
    const ofReceived = this.#ofReceived.length > 0 ? this.#ofReceived : md5Of(this.#options, receivedLabel, received);
    const digest = rewriteDigest(digestOfIt, ofReceived, md5Of(this.#options, label, body));
    return unchanged([body, digest]);
  }
}

function md5Of({ md5 }: PacketLookOptions, label: Uint8Array, body: Uint8Array): Uint8Array {
  if (label.length === 0) return md5(body);
  if (follows(label, body)) return md5(new Uint8Array(body.buffer, label.byteOffset, label.length + body.length));
  if (body.length <= JOINED_MAX_BYTES) return md5(Buffer.concat([label, body]));
  return createHash('md5').update(label).update(body).digest();
}

/** By node, through text: it gives bytes in memory of their own, which costs more than the digest. */
export const nodeMd5: Md5 = (bytes) => Buffer.from(hash('md5', bytes, 'binary'), 'binary');

/** Whether `body` stands behind `label` in the same memory, as in what was read at once. */
function follows(label: Uint8Array, body: Uint8Array): boolean {
  return label.buffer === body.buffer && label.byteOffset + label.length === body.byteOffset;
}
