/**
 * The last datagram of a peer, where the shield found no harm in it: gossip repeats itself, and the same bytes need not be scanned and
 * inspected again. Pings and answers differ from the ones before in their number alone, which no answer depends on (FreeBytes).
 */
import type { FrameState } from '../policy/facts.ts';
import type { FreeBytes } from '../policy/shield-packet.ts';
import type { FenceContext } from './engine.ts';
import type { PacketInside } from './packet-inside.ts';
import type { PacketPeer } from './packet-peer.ts';

/** Longer ones are not kept: those that carry more news than these repeat less. */
export const LAST_PACKET_MAX_BYTES = 256;
/** How long the same packet is not shown to inspection again, ms: what is known of when a member was seen is older by that at most. */
export const REPEAT_SHOWN_MS = 1_000;

const WORD_BYTES = 4;
const NO_BYTES: Uint8Array = new Uint8Array(0);

/** The last datagrams of the peers of one fence in one thread. */
export class LastPackets {
  readonly #context: FenceContext;
  /** The memory of the datagram before, and the same by words once it comes again: a path that uses one for all has such. */
  #memory = NO_BYTES;
  #words: Int32Array | undefined;

  constructor(context: FenceContext) {
    this.#context = context;
  }

  /** What is kept of `peer`, where the datagram of `length` bytes at `at` of `memory` is the same once more; then all that was found of it holds. */
  again(memory: Uint8Array, at: number, length: number, { last }: PacketPeer): LastPacket | undefined {
    if (memory !== this.#memory) {
      this.#memory = memory;
      this.#words = undefined;
    } else if (this.#words === undefined && memory.byteOffset % WORD_BYTES === 0) {
      this.#words = new Int32Array(memory.buffer, memory.byteOffset, memory.length >> 2);
    }
    const { admission, inside } = this.#context;
    if (last === undefined || inside.keyring() !== undefined) return undefined;
    return last.is(memory, this.#words, at, length, admission().revision) ? last : undefined;
  }

  /** A datagram that is not the last one: kept if `inside` looked at it and found what holds (settled). */
  note(
    memory: Uint8Array,
    at: number,
    length: number,
    peer: PacketPeer,
    inside: PacketInside,
    state: FrameState,
    bodyAt: number,
  ): void {
    if (length > LAST_PACKET_MAX_BYTES || !inside.settled()) {
      peer.last?.forget();
      return;
    }
    peer.last ??= new LastPacket();
    peer.last.keep(memory, this.#words, at, length, inside.free, this.#context.admission().revision);
    peer.last.state = state;
    peer.last.bodyOffset = bodyAt - at;
  }
}

export class LastPacket {
  /** What its label was, and where the body began behind it. */
  state: FrameState = 'none';
  bodyOffset = 0;
  readonly #words = new Int32Array(LAST_PACKET_MAX_BYTES / WORD_BYTES);
  readonly #bytes = new Uint8Array(this.#words.buffer);
  #length = -1;
  #freeFrom = 0;
  #freeTo = 0;
  #revision = 0;
  #shownMs = Number.NEGATIVE_INFINITY;

  /** Keeps the datagram of `length` bytes (at most LAST_PACKET_MAX_BYTES) at `at` of `memory`; `free` counts in `memory`. `revision`: of the rules. */
  keep(
    memory: Uint8Array,
    words: Int32Array | undefined,
    at: number,
    length: number,
    free: FreeBytes,
    revision: number,
  ): void {
    const bytes = this.#bytes;
    const own = this.#words;
    const whole = words !== undefined && at % WORD_BYTES === 0 ? length >> 2 : 0;
    const first = at / WORD_BYTES;
    if (words !== undefined) for (let k = 0; k < whole; k++) own[k] = words[first + k] as number;
    for (let k = whole * WORD_BYTES; k < length; k++) bytes[k] = memory[at + k] as number;
    this.#length = length;
    this.#freeFrom = free.end > 0 ? free.at - at : 0;
    this.#freeTo = free.end > 0 ? free.end - at : 0;
    this.#revision = revision;
    this.#shownMs = Number.NEGATIVE_INFINITY;
  }

  /** Something else came. */
  forget(): void {
    this.#length = -1;
  }

  /** Whether a datagram is the one that is kept, its free bytes aside, under the same rules. `words`: `memory` by words, if there are such. */
  is(memory: Uint8Array, words: Int32Array | undefined, at: number, length: number, revision: number): boolean {
    if (length !== this.#length || revision !== this.#revision) return false;
    if (words === undefined || at % WORD_BYTES !== 0) return this.#isSame(memory, at, 0, length);
    const own = this.#words;
    const first = at / WORD_BYTES;
    const whole = length >> 2;
    const from = Math.min(this.#freeFrom >> 2, whole);
    const to = Math.min((this.#freeTo + WORD_BYTES - 1) >> 2, whole);
    return (
      sameWords(words, first, own, 0, from) &&
      this.#isSame(memory, at, from * WORD_BYTES, to * WORD_BYTES) &&
      sameWords(words, first, own, to, whole) &&
      this.#isSame(memory, at, whole * WORD_BYTES, length)
    );
  }

  /** Inspection took it. */
  shown(nowMs: number): void {
    this.#shownMs = nowMs;
  }

  /** Whether inspection took it lately. */
  isShown(nowMs: number): boolean {
    return nowMs - this.#shownMs < REPEAT_SHOWN_MS;
  }

  #isSame(memory: Uint8Array, at: number, from: number, to: number): boolean {
    const bytes = this.#bytes;
    for (let k = from; k < to; k++) {
      if (memory[at + k] !== bytes[k] && (k < this.#freeFrom || k >= this.#freeTo)) return false;
    }
    return true;
  }
}

/** Whether the words from `from` to before `to` are those of `words` from `first` on. Four at once: this is most of what a repeated datagram costs. */
function sameWords(words: Int32Array, first: number, own: Int32Array, from: number, to: number): boolean {
  let k = from;
  for (; k + 4 <= to; k += 4) {
    const at = first + k;
    const differ =
      ((words[at] as number) ^ (own[k] as number)) |
      ((words[at + 1] as number) ^ (own[k + 1] as number)) |
      ((words[at + 2] as number) ^ (own[k + 2] as number)) |
      ((words[at + 3] as number) ^ (own[k + 3] as number));
    if (differ !== 0) return false;
  }
  for (; k < to; k++) if (words[first + k] !== own[k]) return false;
  return true;
}
