/**
 * What is below the label of one packet: opened with the gossip keys, looked at by the shield, stripped by quarantine, and sealed in
 * the form that its reader opens. Without keys and quarantine all of it is the shield's scan. Datagrams and dskit packets alike.
 */
import type { Direction } from '../policy/facts.ts';
import type { ShieldReason } from '../policy/reason.ts';
import { appSealForm, wireSealForm } from '../policy/seal-form.ts';
import { harmOfPacket, type MayReach } from '../policy/shield-packet.ts';
import { formatAddress, parseAddress } from '../wire/address.ts';
import { type Keyring, looksEncrypted, type Opened, openPacket, sealPacket } from '../wire/encryption.ts';
import { sameBytes } from '../wire/label.ts';
import type { Endpoint, FenceContext } from './engine.ts';

const NO_BYTES = new Uint8Array(0);

export class PacketInside {
  readonly #context: FenceContext;
  readonly #direction: Direction;
  readonly #peer: Endpoint;
  readonly #body: Uint8Array;
  /** The ring that `#opened` was opened with: key files may change in between. */
  #keyring: Keyring | undefined;
  #opened: Opened | undefined;
  #tried = false;

  /** `body` is the packet after its label; a view is fine, and it is not changed. */
  constructor(context: FenceContext, direction: Direction, peer: Endpoint, body: Uint8Array) {
    this.#context = context;
    this.#direction = direction;
    this.#peer = peer;
    this.#body = body;
  }

  /** What in it would crash or exhaust the app; undefined for what the app itself sends. */
  look(): ShieldReason | undefined {
    if (this.#direction === 'outbound') return undefined;
    if (this.#open() === 'harm') return 'shield_empty_plaintext';
    // What no key opens is plaintext to a member that does not verify (Config.GossipVerifyIncoming), and dropped by any other.
    return harmOfPacket(this.#opened?.plain ?? this.#body, this.#mayReach);
  }

  /**
   * What is sent after the label header in its place, when the verdict lets it pass from `accept` on: the same memory where nothing had
   * to change. `labelled`: whether it is sent with a label header.
   */
  rewrite(labelled: boolean): Uint8Array {
    const { inside, snapshot } = this.#context;
    const toApp = this.#direction === 'inbound';
    if (!(toApp || inside.reseal()) || inside.keyring() === undefined) return this.#body;
    this.#open();
    const opened = this.#opened;
    if (opened === undefined || this.#keyring === undefined) return this.#body;
    const form = toApp ? appSealForm(snapshot().settings, labelled) : wireSealForm(labelled);
    if (form === opened.form) return this.#body;
    this.#context.tally.resealed(this.#direction, 'packet');
    const aad = form === 'label' ? this.#context.label : NO_BYTES;
    return sealPacket(this.#keyring, opened.plain, aad, opened.version, opened.key);
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
      tally.sealed(this.#direction, 'packet', opened.value.form);
    } else if (opened.reason === 'padding' || opened.reason === 'plaintext_empty') return 'harm';
    else if (looksEncrypted(this.#body)) tally.sealed(this.#direction, 'packet', 'no_key');
    return undefined;
  }

  /** An answer or a probe may go where the packet came from, and to whom the app's own frames may go. */
  readonly #mayReach: MayReach = (address) => {
    const from = parseAddress(this.#peer.address);
    if (from !== undefined && sameBytes(from, address)) return true;
    const { admission, peers, now } = this.#context;
    return admission.admits(formatAddress(address)) || peers.recall(address, now()).proven;
  };
}
