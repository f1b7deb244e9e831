/**
 * Classic BPF programs as SO_ATTACH_FILTER takes them (linux/filter.h, net/core/filter.c): struct sock_filter {code u16, jt u8, jf u8,
 * k u32}, at most BPF_MAXINSNS of them, jumps forward only, those with a condition by at most 255. A load beyond the packet ends the
 * program with 0, which drops the packet: programs ask for the length first.
 */

/** BPF_MAXINSNS. */
export const INSTRUCTIONS_MAX = 4_096;
/** struct sock_filter. */
export const INSTRUCTION_BYTES = 8;

/** Codes: class, size or operation, mode or source. */
export const BPF = {
  loadWord: 0x20,
  loadHalf: 0x28,
  loadByte: 0x30,
  loadLength: 0x80,
  and: 0x54,
  shiftRight: 0x74,
  jump: 0x05,
  jumpEqual: 0x15,
  jumpGreater: 0x25,
  jumpGreaterOrEqual: 0x35,
  ret: 0x06,
} as const;

/** SKF_NET_OFF: an offset from here counts from the IP header. */
export const NETWORK_AT = 0xfff0_0000;
/** SKF_AD_OFF + SKF_AD_IFINDEX: the index of the interface that the packet came in by. */
export const INTERFACE_INDEX = 0xffff_f008;
/** SKF_AD_OFF + SKF_AD_RANDOM: 32 random bits. */
export const RANDOM = 0xffff_f038;

interface Item {
  readonly code: number;
  readonly k: number;
  /** Where a jump goes; undefined: to the next instruction. */
  readonly onTrue?: string | undefined;
  readonly onFalse?: string | undefined;
}

const SHORT_JUMP_MAX = 255;

/** Puts a program together; jumps name the places they go to, which come later. */
export class BpfProgram {
  readonly #items: Item[] = [];
  readonly #places = new Map<string, number>();
  #names = 0;

  /** Instructions so far. */
  get length(): number {
    return this.#items.length;
  }

  /** A name for a place that nobody else uses. */
  name(): string {
    return `${this.#names++}`;
  }

  add(code: number, k = 0): void {
    this.#items.push({ code, k: k >>> 0 });
  }

  /** Jumps by a condition, at most 255 instructions; an absent target is the next instruction. */
  branch(code: number, k: number, onTrue: string | undefined, onFalse: string | undefined): void {
    this.#items.push({ code, k: k >>> 0, onTrue, onFalse });
  }

  /** Jumps, however far. */
  goto(place: string): void {
    this.#items.push({ code: BPF.jump, k: 0, onTrue: place });
  }

  /** What comes next is `place`. */
  place(place: string): void {
    this.#places.set(place, this.#items.length);
  }

  /** The instructions as the kernel reads them; the caller owns the buffer. Throws a RangeError for what no kernel takes. */
  encode(): Buffer {
    if (this.#items.length > INSTRUCTIONS_MAX) throw new RangeError(`a filter of ${this.#items.length} instructions`);
    const out = Buffer.from(new ArrayBuffer(this.#items.length * INSTRUCTION_BYTES));
    this.#items.forEach((item, i) => {
      const at = i * INSTRUCTION_BYTES;
      out.writeUInt16LE(item.code, at);
      if (item.code === BPF.jump) {
        out.writeUInt32LE(this.#distance(i, item.onTrue), at + 4);
        return;
      }
      out.writeUInt8(this.#short(i, item.onTrue), at + 2);
      out.writeUInt8(this.#short(i, item.onFalse), at + 3);
      out.writeUInt32LE(item.k, at + 4);
    });
    return out;
  }

  #distance(from: number, place: string | undefined): number {
    const to = place === undefined ? from + 1 : this.#places.get(place);
    if (to === undefined || to <= from || to >= this.#items.length) throw new RangeError(`no way to ${place}`);
    return to - from - 1;
  }

  #short(from: number, place: string | undefined): number {
    if (place === undefined) return 0;
    const distance = this.#distance(from, place);
    if (distance > SHORT_JUMP_MAX) throw new RangeError(`${distance} instructions to ${place}`);
    return distance;
  }
}
