/** What the rules of now say of one exchange: what has to look into it, and with what. */

import type { StreamHeader } from '../wire/stream-header.ts';
import type { AppHealth } from './app-health.ts';
import type { StreamBudgets } from './budget.ts';
import type { AcceptedStream, FenceContext, StreamSettings } from './engine.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { PacketInside } from './packet-inside.ts';
import type { Md5 } from './packet-look.ts';
import type { PacketPeer } from './packet-peer.ts';
import type { PeerCache } from './peer-cache.ts';
import type { StreamRules } from './stream-look.ts';
import type { Timers } from './timers.ts';

/** What an exchange is made from; shared by all of one fence and direction. */
export interface ExchangeParts {
  readonly context: FenceContext;
  readonly settings: StreamSettings;
  readonly health: AppHealth;
  /** From encodeLabelHeader, of our own label. */
  readonly labelHeader: Uint8Array;
  readonly budgets: StreamBudgets;
  /** What is kept of peers. */
  readonly peers: PeerCache;
  readonly timers: Timers;
  readonly md5: Md5;
}

export class ExchangeRules {
  readonly #parts: ExchangeParts;
  readonly #stream: AcceptedStream;
  readonly #peer: PacketPeer;
  readonly #record: ExchangeRecord;

  constructor(parts: ExchangeParts, stream: AcceptedStream, peer: PacketPeer, record: ExchangeRecord) {
    this.#parts = parts;
    this.#stream = stream;
    this.#peer = peer;
    this.#record = record;
  }

  /** Whether nothing is to be changed, held or cut. */
  observes(): boolean {
    return this.#parts.context.snapshot().settings.stage === 'observe';
  }

  /** Whether a dskit packet has to be looked into. */
  looksAtPackets(): boolean {
    const { inside, snapshot } = this.#parts.context;
    const toApp = this.#stream.direction === 'inbound';
    if ((toApp && snapshot().settings.shield) || inside.quarantine() !== undefined) return true;
    return (toApp || inside.reseal()) && inside.keyring() !== undefined;
  }

  /** `body`: a dskit packet after its label. */
  packetInside({ transport }: StreamHeader, body: Uint8Array): PacketInside {
    const { direction } = this.#stream;
    const inside = new PacketInside(this.#parts.context, { direction, transport });
    inside.take(body, 0, body.length, this.#peer);
    return inside;
  }

  /** What has to be looked at; `changes` is false where harm is only counted. */
  of(header: StreamHeader, answer: boolean, changes: boolean): StreamRules {
    const { context, settings } = this.#parts;
    const { inside, label } = context;
    const toApp = (this.#stream.direction === 'inbound') !== answer;
    const shields = toApp && context.snapshot().settings.shield;
    const quarantine = changes ? inside.quarantine() : undefined;
    const opens = toApp ? shields || changes : inside.reseal() || quarantine !== undefined;
    return {
      shield: shields ? { pushPullNodes: settings.limits.pushPullNodes } : undefined,
      quarantine,
      keyring: opens ? inside.keyring() : undefined,
      label,
      source: this.#record.source(header, false, answer),
      releases: changes,
    };
  }
}
