/**
 * What is below the label of one packet: opened with the gossip keys, looked at by the shield, stripped by quarantine, and sealed in
 * the form that its reader opens. Without keys and quarantine all of it is the shield's scan. Datagrams and dskit packets alike.
 */

import type { Direction } from '../policy/facts.ts';
import type { ShieldReason } from '../policy/reason.ts';
import { appSealForm, wireSealForm } from '../policy/seal-form.ts';
import { harmOfPacket, type MayReach } from '../policy/shield-packet.ts';
import { quarantinePacket } from '../ring/quarantine-packet.ts';
import { formatAddress } from '../wire/address.ts';
import { type Keyring, looksEncrypted, type Opened, openPacket, sealPacket } from '../wire/encryption.ts';
import { sameBytes } from '../wire/label.ts';
import { isProbe } from '../wire/probe.ts';
import type { Transport } from '../wire/transport.ts';
import { mayBeSealed, notePacketOfApp } from './app-seals.ts';
import type { FenceContext } from './engine.ts';
import { createPacketPeer, type PacketPeer } from './packet-peer.ts';

const NO_BYTES = new Uint8Array(0);
const NOBODY = createPacketPeer('', 0);

/** What all packets of one direction have in common. */
export interface PacketWay {
  readonly direction: Direction;
  readonly transport: Transport;
}

/** One packet at a time. */
export class PacketInside {
  readonly #context: FenceContext;
  readonly #way: PacketWay;
  #memory: Uint8Array = NO_BYTES;
  #at = 0;
  #end = 0;
  #peer: PacketPeer = NOBODY;
  #body: Uint8Array | undefined;
  /** The ring that `#opened` was opened with: key files may change in between. */
  #keyring: Keyring | undefined;
  #opened: Opened | undefined;
  #tried = false;

  constructor(context: FenceContext, way: PacketWay) {
    this.#context = context;
    this.#way = way;
  }

  /** From now on it is about the packet of `peer` whose part after its label is from `at` to `end` of `memory`, which is not changed. */
  take(memory: Uint8Array, at: number, end: number, peer: PacketPeer): void {
    this.#memory = memory;
    this.#at = at;
    this.#end = end;
    this.#peer = peer;
    this.#body = undefined;
    this.#keyring = undefined;
    this.#opened = undefined;
    this.#tried = false;
  }

  /** The packet after its label: a view. */
  body(): Uint8Array {
    this.#body ??= this.#memory.subarray(this.#at, this.#end);
    return this.#body;
  }

  /** What in it would crash or exhaust the app; undefined for what the app itself sends. */
  look(): ShieldReason | undefined {
    if (this.#way.direction === 'outbound') {
      notePacketOfApp(this.#context, this.#memory, this.#at, this.#end);
      return undefined;
    }
    if (this.#open() === 'harm') return 'shield_empty_plaintext';
    const datagram = this.#way.transport === 'native';
    if (this.#opened !== undefined) return harmOfPacket(this.#opened.plain, this.#mayReach, datagram);
    const harm = harmOfPacket(this.#memory, this.#mayReach, datagram, this.#at, this.#end);
    // Ciphertext reads like a broken ping now and then, and the app drops what it cannot open. No chance names a field like Target.
    return harm !== undefined && harm !== 'shield_reflection' && mayBeSealed(this.#context, this.body())
      ? undefined
      : harm;
  }

  /** Whether it is a fence's own ping; a sealed one is known as such where it was opened to look at it. */
  isProbe(): boolean {
    const opened = this.#opened;
    return opened === undefined ? isProbe(this.#memory, this.#at, this.#end) : isProbe(opened.plain);
  }

  /** Whether `rewrite` may give anything but the body as it is: there are keys, or quarantine. */
  mayChange(): boolean {
    const { inside } = this.#context;
    if (inside.quarantine() !== undefined) return true;
    return (this.#way.direction === 'inbound' || inside.reseal()) && inside.keyring() !== undefined;
  }

  /**
   * What is sent after the label header in its place, when the verdict lets it pass from `accept` on: the same memory where nothing had
   * to change, undefined when quarantine left nothing (and an empty packet must not be sent: it ends older members).
   * `labelled`: whether it is sent with a label header.
   */
  rewrite(labelled: boolean): Uint8Array | undefined {
    if (!this.mayChange()) return this.body();
    const { inside, snapshot } = this.#context;
    const { direction } = this.#way;
    const quarantine = inside.quarantine();
    const reforms = direction === 'inbound' || inside.reseal();
    this.#open();
    const opened = this.#opened;
    const plain = opened?.plain ?? this.body();
    let kept = plain;
    if (quarantine !== undefined) {
      const { packet, stripped, dropped } = quarantinePacket(plain, quarantine);
      this.#context.tally.quarantined(stripped, dropped);
      if (packet === undefined) return undefined;
      kept = packet;
    }
    if (opened === undefined || this.#keyring === undefined) return kept;
    const wanted = direction === 'inbound' ? appSealForm(snapshot().settings, labelled) : wireSealForm(labelled);
    const form = reforms ? wanted : opened.form;
    if (kept === plain && form === opened.form) return this.body();
    this.#context.tally.resealed(direction, 'packet');
    const aad = form === 'label' ? this.#context.label : NO_BYTES;
    return sealPacket(this.#keyring, kept, aad, opened.version, opened.key);
  }

  /** Opens it once, if there are keys. `harm`: whoever sealed it has a key and means what ends the app when it opens it. */
  #open(): 'harm' | undefined {
    if (this.#tried) return undefined;
    this.#tried = true;
    this.#keyring = this.#context.inside.keyring();
    if (this.#keyring === undefined) return undefined;
    // Also where it carries no header: a fence without keys may have taken it off a native member's packet.
    const opened = openPacket(this.#keyring, this.body(), this.#context.label);
    const { tally } = this.#context;
    if (opened.ok) {
      this.#opened = opened.value;
      tally.sealed(this.#way.direction, 'packet', opened.value.form);
    } else if (opened.reason === 'padding' || opened.reason === 'plaintext_empty') return 'harm';
    else if (looksEncrypted(this.body())) tally.sealed(this.#way.direction, 'packet', 'no_key');
    return undefined;
  }

  /** An answer or a probe may go where the packet came from, and to whom the app's own frames may go. */
  readonly #mayReach: MayReach = (address) => {
    const from = this.#peer.bytes;
    if (from !== undefined && sameBytes(from, address)) return true;
    const { admission, peers, now } = this.#context;
    return admission().admits(formatAddress(address)) || peers.recall(address, now()).proven;
  };
}
