/**
 * Who is known by address and port, found by the sockaddr as the kernel wrote it, in the order of use. No text and no object is made for
 * a look-up. The hash is keyed, because senders choose their addresses.
 */
import { randomFillSync } from 'node:crypto';
import { formatAddress, isV4Mapped } from '../../wire/address.ts';
import { type Used, UseOrder } from '../use-order.ts';
import { readSockaddr, SOCKADDR_IN_BYTES, SOCKADDR_IN6_BYTES, sockaddrPlace } from './sockaddr.ts';
import { AF_INET, AF_INET6 } from './syscalls.ts';

/** sockaddr_in6 in 32-bit words: family and port, flow, address (4), scope. sockaddr_in: family and port, address. */
const NAME_WORDS = SOCKADDR_IN6_BYTES / 4;
const FLOW_WORD = 1;
const FIRST_BUCKETS = 64;

/** One address and port. Whoever extends it keeps what belongs to it. */
export class Named implements Used<Named> {
  /** The sockaddr as words, without a flow. */
  readonly name = new Int32Array(NAME_WORDS);
  /** Bytes of it. */
  readonly nameBytes: number;
  /** Whether its address is IPv4, in either form. */
  readonly isV4: boolean;
  readonly address: string;
  readonly port: number;
  /** Of the index that it is in. */
  hash = 0;
  next: Named | undefined;
  older: Named | undefined;
  newer: Named | undefined;

  /** The sockaddr at `at` of `memory`, of an IP family (isNamed). */
  constructor(memory: Buffer, at: number) {
    const place = sockaddrPlace();
    readSockaddr(memory, at, place);
    this.address = formatAddress(place.address);
    this.isV4 = isV4Mapped(place.address);
    this.port = place.port;
    this.nameBytes = memory.readUInt16LE(at) === AF_INET ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES;
    const words = this.nameBytes === SOCKADDR_IN_BYTES ? 2 : NAME_WORDS;
    for (let k = 0; k < words; k++) this.name[k] = memory.readInt32LE(at + 4 * k);
    if (words === NAME_WORDS) this.name[FLOW_WORD] = 0;
  }
}

/** Whether the sockaddr at word `at` is of an IP family. */
export function isNamed(words: Int32Array, at: number): boolean {
  const family = (words[at] as number) & 0xffff;
  return family === AF_INET || family === AF_INET6;
}

/** Whether the sockaddr at word `at` is that of `named`. */
export function isNameOf(words: Int32Array, at: number, { name }: Named): boolean {
  if (words[at] !== name[0]) return false;
  if (((words[at] as number) & 0xffff) === AF_INET) return words[at + 1] === name[1];
  for (let k = FLOW_WORD + 1; k < NAME_WORDS; k++) if (words[at + k] !== name[k]) return false;
  return true;
}

export class PeerIndex<T extends Named> {
  readonly #order = new UseOrder<Named>();
  #buckets: (Named | undefined)[] = new Array(FIRST_BUCKETS).fill(undefined);
  readonly #keys = randomFillSync(new Int32Array(NAME_WORDS)).map((key) => key | 1);

  get size(): number {
    return this.#order.size;
  }

  /** Whom the sockaddr at word `at` names. */
  find(words: Int32Array, at: number): T | undefined {
    const hash = this.#hash(words, at);
    let entry = this.#buckets[hash & (this.#buckets.length - 1)];
    while (entry !== undefined && !(entry.hash === hash && isNameOf(words, at, entry))) entry = entry.next;
    return entry as T | undefined;
  }

  /** Adds whom it does not have, as the one that was used last. */
  add(entry: T): void {
    if (this.size >= this.#buckets.length) this.#grow();
    entry.hash = this.#hash(entry.name, 0);
    this.#link(entry);
    this.#order.add(entry);
  }

  /** Removes whom it has. */
  remove(entry: T): void {
    const bucket = entry.hash & (this.#buckets.length - 1);
    const first = this.#buckets[bucket];
    if (first === entry) this.#buckets[bucket] = entry.next;
    else {
      let before = first;
      while (before !== undefined && before.next !== entry) before = before.next;
      if (before !== undefined) before.next = entry.next;
    }
    entry.next = undefined;
    this.#order.remove(entry);
  }

  /** It was used just now. */
  touch(entry: T): void {
    this.#order.touch(entry);
  }

  /** Who was used the longest time ago. */
  oldest(): T | undefined {
    return this.#order.oldest() as T | undefined;
  }

  #hash(words: Int32Array, at: number): number {
    const keys = this.#keys;
    const first = words[at] as number;
    let hash = Math.imul(first, keys[0] as number);
    if ((first & 0xffff) === AF_INET) hash += Math.imul(words[at + 1] as number, keys[1] as number);
    else {
      for (let k = FLOW_WORD + 1; k < NAME_WORDS; k++) {
        hash = (hash + Math.imul(words[at + k] as number, keys[k] as number)) | 0;
        hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b_3c6d);
      }
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x45d9_f3b5);
    return (hash ^ (hash >>> 15)) | 0;
  }

  #link(entry: Named): void {
    const bucket = entry.hash & (this.#buckets.length - 1);
    entry.next = this.#buckets[bucket];
    this.#buckets[bucket] = entry;
  }

  #grow(): void {
    const entries = this.#buckets;
    this.#buckets = new Array(entries.length * 2).fill(undefined);
    for (const first of entries) {
      let entry = first;
      while (entry !== undefined) {
        const { next } = entry;
        this.#link(entry);
        entry = next;
      }
    }
  }
}
