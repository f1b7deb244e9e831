/**
 * One direction of a memberlist stream in a capture, from the byte after its label: decrypted where a key fits, then read as it
 * arrives.
 */
import type { ShieldReason } from '../policy/reason.ts';
import { createStreamShield } from '../policy/shield-stream.ts';
import type { CodecFailure } from '../wire/codec-reason.ts';
import { type Keyring, openStream, SEALED_STREAM_HEADER_BYTES, streamFrameBytes } from '../wire/encryption.ts';
import { createKvReader, type KvReader } from '../wire/kv.ts';
import { SEALED_STREAM_MAX_BYTES } from '../wire/limits.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { createStreamReader, type StreamReader } from '../wire/stream-reader.ts';
import type { Collector } from './inspect-collect.ts';
import { describeMessage } from './inspect-describe.ts';
import type { Gossip, Speaker } from './inspect-gossip.ts';
import type { Sealing } from './inspect-packet.ts';
import type { Kinds } from './inspect-traffic.ts';

export interface SideResult {
  readonly kinds: Kinds;
  /** What was said, a few words each. */
  readonly texts: readonly string[];
  readonly sealing: Sealing;
  readonly harm: ShieldReason | undefined;
  readonly failure: CodecFailure | undefined;
  /** Whether this side sent a push/pull. */
  readonly pushPull: boolean;
}

export interface SideReader {
  push(bytes: Uint8Array): void;
  /** Nothing more comes; `complete` is false when bytes are missing. */
  end(complete: boolean): void;
  result(): SideResult;
}

export interface SideOptions {
  readonly gossip: Gossip;
  readonly keyring: Keyring | undefined;
  /** The label's bytes, which encryption binds. */
  readonly label: Uint8Array;
  /** Made anew for what is said now. */
  speaker(): Speaker;
  readonly collector: Collector;
  /** Whether user states and messages are dskit's key-value pairs. */
  readonly pairs: boolean;
}

export function createSideReader(options: SideOptions): SideReader {
  const { gossip, keyring, label, speaker, collector, pairs } = options;
  const kinds: Kinds = {};
  const texts: string[] = [];
  let sealing: Sealing = 'no';
  let harm: ShieldReason | undefined;
  let failure: CodecFailure | undefined;
  let pushPull = false;
  let started = false;
  let frameBytes: number | undefined;
  let over = false;
  let kv: KvReader | undefined;
  let reader: StreamReader | undefined;
  let shield: ReturnType<typeof createStreamShield> | undefined;

  const count = (kind: string, text: string) => {
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    texts.push(text);
  };
  const openReader = (): StreamReader =>
    createStreamReader({
      pushPull({ nodes, userStateBytes, join }) {
        pushPull = true;
        count(
          'pushPull',
          `${join ? 'joining push/pull' : 'push/pull'} of ${nodes} nodes, ${userStateBytes} bytes of state`,
        );
        if (pairs) kv = createKvReader((pair) => gossip.pair(speaker(), pair));
      },
      node: (node) => gossip.node(speaker(), node),
      userMessage: (bytes) => count('user', `user message of ${bytes} bytes`),
      user: (piece) => kv?.push(piece),
      message(message) {
        count(message.type, describeMessage(message));
        gossip.message(speaker(), message);
      },
    });
  const read = (bytes: Uint8Array): void => {
    reader ??= openReader();
    shield ??= createStreamShield();
    const found = shield.push(bytes);
    if (found.state === 'harm') harm ??= found.reason;
    const progress = reader.push(bytes);
    failure = progress.failure;
    over = progress.state === 'done' || progress.state === 'failed';
  };
  const open = (frame: Uint8Array): void => {
    over = true;
    const opened = keyring === undefined ? undefined : openStream(keyring, frame, label);
    if (opened?.ok === true) {
      sealing = 'opened';
      read(opened.value.plain);
      endReader(true);
    } else if (opened?.reason === 'padding' || opened?.reason === 'plaintext_empty') {
      sealing = 'opened';
      harm = 'shield_empty_plaintext';
    }
    over = true;
  };
  const collect = (bytes: Uint8Array): void => {
    if (!collector.add(bytes)) over = true;
    else {
      frameBytes ??= collector.size() < SEALED_STREAM_HEADER_BYTES ? undefined : streamFrameBytes(collector.bytes());
      if (frameBytes === undefined) return;
      if (frameBytes - SEALED_STREAM_HEADER_BYTES > SEALED_STREAM_MAX_BYTES) over = true;
      else if (collector.size() >= frameBytes) open(collector.bytes());
    }
    if (over) collector.drop();
  };
  const endReader = (complete: boolean): void => {
    kv?.end();
    if (complete && reader !== undefined) failure = reader.end().failure;
  };

  return {
    push(bytes) {
      if (over || bytes.length === 0) return;
      if (!started && bytes[0] === MESSAGE_TYPE.encrypt) sealing = 'sealed';
      started = true;
      if (sealing === 'no') read(bytes);
      else collect(bytes);
    },
    end(complete) {
      collector.drop();
      if (!over) endReader(complete);
      over = true;
    },
    result: () => ({ kinds, texts, sealing, harm, failure, pushPull }),
  };
}
