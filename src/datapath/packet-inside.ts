/**
 * What is below the label of one packet: opened with the gossip keys, looked at by the shield, stripped by quarantine, and sealed in
 * the form that its reader opens. Without keys and quarantine all of it is the shield's scan. Datagrams and dskit packets alike.
 */
import type { ShieldReason } from '../policy/reason.ts';
import { appSealForm, wireSealForm } from '../policy/seal-form.ts';
import { harmOfPacket, type MayReach } from '../policy/shield-packet.ts';
import { quarantinePacket } from '../ring/quarantine-packet.ts';
import type { FrameSource } from '../ring/source.ts';
import { formatAddress, parseAddress } from '../wire/address.ts';
import { type Keyring, looksEncrypted, type Opened, openPacket, sealPacket } from '../wire/encryption.ts';
import { sameBytes } from '../wire/label.ts';
import { isProbe } from '../wire/probe.ts';
import { mayBeSealed, notePacketOfApp } from './app-seals.ts';
import type { FenceContext } from './engine.ts';

const NO_BYTES = new Uint8Array(0);

export class PacketInside {
  readonly #context: FenceContext;
  readonly #source: FrameSource;
  readonly #body: Uint8Array;
  /** The ring that `#opened` was opened with: key files may change in between. */
  #keyring: Keyring | undefined;
  #opened: Opened | undefined;
  #tried = false;

  /** `body` is the packet of `source` after its label; a view is fine, and it is not changed. */
  constructor(context: FenceContext, source: FrameSource, body: Uint8Array) {
    this.#context = context;
    this.#source = source;
    this.#body = body;
  }

  /** What in it would crash or exhaust the app; undefined for what the app itself sends. */
  look(): ShieldReason | undefined {
    if (this.#source.direction === 'outbound') {
      notePacketOfApp(this.#context, this.#body);
      return undefined;
    }
    if (this.#open() === 'harm') return 'shield_empty_plaintext';
    const datagram = this.#source.transport === 'native';
    if (this.#opened !== undefined) return harmOfPacket(this.#opened.plain, this.#mayReach, datagram);
    const harm = harmOfPacket(this.#body, this.#mayReach, datagram);
    // Ciphertext reads like a broken ping now and then, and the app drops what it cannot open. No chance names a field like Target.
    return harm !== undefined && harm !== 'shield_reflection' && mayBeSealed(this.#context, this.#body)
      ? undefined
      : harm;
  }

  /** Whether it is a fence's own ping; a sealed one is known as such where it was opened to look at it. */
  isProbe(): boolean {
    return isProbe(this.#opened?.plain ?? this.#body);
  }

  /**
   * What is sent after the label header in its place, when the verdict lets it pass from `accept` on: the same memory where nothing had
   * to change, undefined when quarantine left nothing (and an empty packet must not be sent: it ends older members).
   * `labelled`: whether it is sent with a label header.
   */
  rewrite(labelled: boolean): Uint8Array | undefined {
    const { inside, snapshot } = this.#context;
    const quarantine = inside.quarantine();
    const reforms = this.#source.direction === 'inbound' || inside.reseal();
    if (quarantine === undefined && !(reforms && inside.keyring() !== undefined)) return this.#body;
    this.#open();
    const opened = this.#opened;
    const plain = opened?.plain ?? this.#body;
    let kept = plain;
    if (quarantine !== undefined) {
      const { packet, stripped, dropped } = quarantinePacket(plain, quarantine, this.#source);
      this.#context.tally.quarantined(stripped, dropped);
      if (packet === undefined) return undefined;
      kept = packet;
    }
    if (opened === undefined || this.#keyring === undefined) return kept;
    const toApp = this.#source.direction === 'inbound';
    const wanted = toApp ? appSealForm(snapshot().settings, labelled) : wireSealForm(labelled);
    const form = reforms ? wanted : opened.form;
    if (kept === plain && form === opened.form) return this.#body;
    this.#context.tally.resealed(this.#source.direction, 'packet');
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
    const opened = openPacket(this.#keyring, this.#body, this.#context.label);
    const { tally } = this.#context;
    if (opened.ok) {
      this.#opened = opened.value;
      tally.sealed(this.#source.direction, 'packet', opened.value.form);
    } else if (opened.reason === 'padding' || opened.reason === 'plaintext_empty') return 'harm';
    else if (looksEncrypted(this.#body)) tally.sealed(this.#source.direction, 'packet', 'no_key');
    return undefined;
  }

  /** An answer or a probe may go where the packet came from, and to whom the app's own frames may go. */
  readonly #mayReach: MayReach = (address) => {
    const from = parseAddress(this.#source.peer.address);
    if (from !== undefined && sameBytes(from, address)) return true;
    const { admission, peers, now } = this.#context;
    return admission().admits(formatAddress(address)) || peers.recall(address, now()).proven;
  };
}
