/** What the readers of packets and streams tell: the one place where gossip of a capture goes. */
import type { FrameSource } from '../ring/source.ts';
import { formatEndpoint } from '../wire/address.ts';
import type { Endpoint, Moment } from '../wire/capture/tcp.ts';
import { escapeBytes } from '../wire/escape.ts';
import type { KvPair } from '../wire/kv.ts';
import { sameBytes } from '../wire/label.ts';
import type { Message } from '../wire/messages.ts';
import type { PushPullNode } from '../wire/push-pull.ts';
import type { Transport } from '../wire/transport.ts';
import type { LabelText, See } from './inspect-findings.ts';
import { timeText } from './inspect-report.ts';

/** Who says something: one member under one label, now. */
export interface Speaker {
  /** `address:port`; a text for people where the capture has no address. */
  readonly name: string;
  readonly label: LabelText;
  readonly source: FrameSource;
  /** Evidence of `what` at this moment. */
  see(what: string): See;
}

export interface PushPullHead {
  readonly nodes: number;
  readonly userStateBytes: number;
  readonly join: boolean;
}

/** Learns from gossip, whatever carried it. */
export interface Gossip {
  message(speaker: Speaker, message: Message): void;
  node(speaker: Speaker, node: PushPullNode): void;
  pair(speaker: Speaker, pair: KvPair): void;
}

export const NOBODY = '(hex text)';

const NO_BYTES = new Uint8Array(0);

/** The text of the label before: packets of one ring follow each other. */
let before: { readonly label: Uint8Array; readonly text: string } = { label: new Uint8Array(0), text: '' };

/** A label as text; null for none. Escaped, and cut where it is longer than labels that people write. */
export function labelText(label: Uint8Array): LabelText {
  if (label.length === 0) return null;
  if (!sameBytes(label, before.label)) before = { label: Uint8Array.from(label), text: escapeBytes(label) };
  return before.text;
}

export interface SpeakerOptions {
  /** Undefined for hex text. */
  readonly from: Endpoint | undefined;
  readonly label: Uint8Array;
  readonly transport: Transport;
  readonly kind: FrameSource['kind'];
  readonly moment: Moment;
}

/**
 * A speaker. To the ring every frame of a capture comes from a peer and was taken: there is no app of ours in it, and each label has a
 * ring of its own, to which its frames are own.
 */
export function createSpeaker({ from, label, transport, kind, moment }: SpeakerOptions): Speaker {
  const name = from === undefined ? NOBODY : formatEndpoint(from);
  const text = labelText(label);
  // A copy, shared by the frames of one label: a view would keep the whole chunk of the capture alive wherever the ring keeps it.
  const own = label.length === 0 ? NO_BYTES : before.label;
  const source: FrameSource = {
    atMs: moment.atMs ?? 0,
    direction: 'inbound',
    transport,
    kind,
    peer: from ?? { address: '', port: 0 },
    labelState: label.length === 0 ? 'none' : 'own',
    label: own,
    rejected: false,
    answer: false,
  };
  const see = (what: string): See => {
    return () => ({
      frame: moment.number,
      at: timeText(moment.atMs),
      from: from === undefined ? null : name,
      label: text,
      what,
    });
  };
  return { name, label: text, source, see };
}
