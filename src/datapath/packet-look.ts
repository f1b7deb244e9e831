/**
 * The look into a dskit packet connection: the whole packet, up to the FIN that ends it, then what datagrams go through
 * (packet-inside.ts), and the digest that what goes on must have.
 */
import { createHash } from 'node:crypto';
import type { ShieldReason } from '../policy/reason.ts';
import { rewriteDigest } from '../wire/dskit.ts';
import { DSKIT_DIGEST_BYTES, DSKIT_PACKET_MAX_BYTES } from '../wire/limits.ts';
import { isProbe } from '../wire/probe.ts';
import type { MalformedReason } from '../wire/reason.ts';
import { joined, type Look, type ReleaseAs, type Released, unchanged } from './look.ts';
import type { PacketInside } from './packet-inside.ts';

const NO_BYTES = new Uint8Array(0);

export interface PacketLookOptions {
  /** The label header of the packet as it came, maybe empty; a view is fine. */
  readonly receivedLabel: Uint8Array;
  /** From encodeLabelHeader, of our own label. */
  readonly labelHeader: Uint8Array;
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

  constructor(options: PacketLookOptions) {
    this.#options = options;
  }

  push(chunk: Uint8Array): boolean {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    return this.malformed() !== undefined;
  }

  end(): void {
    const all = joined(this.#chunks);
    const digestAt = Math.max(0, all.length - DSKIT_DIGEST_BYTES);
    this.#body = all.subarray(0, digestAt);
    this.#digest = all.subarray(digestAt);
    this.#inside = this.#options.inside(this.#body);
    this.#harm = this.#inside.look();
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

  release({ labelled }: ReleaseAs): Released {
    const body = this.#inside === undefined ? this.#body : this.#inside.rewrite(labelled);
    if (body === undefined) return { ...unchanged([]), bytes: undefined };
    const { receivedLabel } = this.#options;
    const chunks = this.#chunks;
    const [received, digestOfIt] = [this.#body, this.#digest];
    this.#chunks = [];
    this.#inside = undefined;
    [this.#body, this.#digest] = [NO_BYTES, NO_BYTES];
    const label = labelled ? this.#options.labelHeader : NO_BYTES;
    if (body === received && label.length === receivedLabel.length) return unchanged(chunks);
    const digest = rewriteDigest(digestOfIt, md5(receivedLabel, received), md5(label, body));
    return unchanged([body, digest]);
  }
}

function md5(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('md5');
  for (const part of parts) hash.update(part);
  return hash.digest();
}
