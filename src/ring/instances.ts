/** What dskit keeps in the gossip: the keys of its KV store, and the instances that its rings list. Bounded, freshest kept. */
import type { Identity, Outside } from '../policy/identity.ts';
import { formatAddress, parseAddress } from '../wire/address.ts';
import type { KvPair } from '../wire/kv.ts';
import { decodeRingDesc, RING_CODEC, type RingInstance } from '../wire/ring-desc.ts';
import { BoundedTable } from './bounded.ts';
import { NAME_MAX_CHARS } from './tuple.ts';

/** A key or an instance that nobody names for so long is forgotten, ms; dskit's own rings drop an instance that left after minutes. */
export const KV_SILENT_MS = 60 * 60_000;

export interface KvKey {
  readonly key: string;
  readonly codec: string;
  /** Of the last value as it was sent, which may be a part of the whole. */
  readonly bytes: number;
  readonly deleted: boolean;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  /** Values of this key that could not be read. */
  readonly unreadable: number;
}

export interface KvInstance extends RingInstance {
  /** The KV key of the ring. */
  readonly key: string;
  /** The IP address of `address`; undefined when it names none. */
  readonly ip: string | undefined;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  /** Whether it was there during the warm-up: who says nothing new is no newcomer. */
  readonly atStart: boolean;
  /** When a member was last at its address; 0 = never. */
  readonly memberMs: number;
  readonly outside: Outside | undefined;
}

export interface InstanceLimits {
  readonly kvKeys: number;
  readonly instances: number;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export class Instances {
  #identity: Identity;
  readonly #keys: BoundedTable<Writable<KvKey>>;
  readonly #instances: BoundedTable<Writable<KvInstance>>;
  #tooLong = 0;

  constructor(limits: InstanceLimits, identity: Identity) {
    this.#identity = identity;
    this.#keys = new BoundedTable(limits.kvKeys);
    this.#instances = new BoundedTable(limits.instances);
  }

  get keyEvictions(): number {
    return this.#keys.evictions + this.#tooLong;
  }

  get instanceEvictions(): number {
    return this.#instances.evictions;
  }

  /** Takes note of a pair of our own gossip. */
  note(pair: KvPair, atMs: number, warmingUp: boolean): void {
    if (pair.key.length > NAME_MAX_CHARS || pair.codec.length > NAME_MAX_CHARS) {
      this.#tooLong++;
      return;
    }
    const known = this.#keys.get(pair.key);
    const { codec, deleted } = pair;
    const firstSeenMs = known?.firstSeenMs ?? atMs;
    const read = codec === RING_CODEC && pair.value.length > 0 ? decodeRingDesc(codec, pair.value) : undefined;
    const unreadable = (known?.unreadable ?? 0) + (read?.ok === false ? 1 : 0);
    const bytes = pair.value.length;
    this.#keys.put(
      pair.key,
      { key: pair.key, codec, bytes, deleted, firstSeenMs, lastSeenMs: atMs, unreadable },
      false,
    );
    if (read?.ok === true) for (const instance of read.value) this.#instance(pair.key, instance, atMs, warmingUp);
  }

  /** The live records: read only. */
  keys(): Generator<KvKey> {
    return this.#keys.values();
  }

  /** The live records: read only. */
  all(): Generator<KvInstance> {
    return this.#instances.values();
  }

  /** Marks the instances whose address is one of `addresses`, where members are now. */
  match(addresses: ReadonlySet<string>, nowMs: number): void {
    for (const instance of this.#instances.values()) {
      if (instance.ip !== undefined && addresses.has(instance.ip)) instance.memberMs = nowMs;
    }
  }

  /** Takes other identity rules, for every instance. */
  setIdentity(identity: Identity): void {
    this.#identity = identity;
    for (const instance of this.#instances.values()) instance.outside = this.#outside(instance.id, instance.ip);
  }

  prune(nowMs: number): void {
    this.#keys.prune(({ lastSeenMs }) => nowMs - lastSeenMs > KV_SILENT_MS);
    this.#instances.prune(({ lastSeenMs }) => nowMs - lastSeenMs > KV_SILENT_MS);
  }

  #instance(key: string, instance: RingInstance, atMs: number, atStart: boolean): void {
    if (instance.id.length > NAME_MAX_CHARS || instance.address.length > NAME_MAX_CHARS) {
      this.#tooLong++;
      return;
    }
    const place = JSON.stringify([key, instance.id]);
    const known = this.#instances.get(place);
    const same = known?.address === instance.address ? known : undefined;
    const ip = same === undefined ? hostOf(instance.address) : same.ip;
    this.#instances.put(
      place,
      {
        ...instance,
        zone: instance.zone.slice(0, NAME_MAX_CHARS),
        key,
        ip,
        firstSeenMs: same?.firstSeenMs ?? atMs,
        lastSeenMs: atMs,
        atStart: same?.atStart ?? atStart,
        memberMs: same?.memberMs ?? 0,
        outside: same === undefined ? this.#outside(instance.id, ip) : same.outside,
      },
      false,
    );
  }

  #outside(id: string, ip: string | undefined): Outside | undefined {
    if (ip !== undefined && this.#identity.outsideAddress(ip)) return 'address';
    return this.#identity.outsideName(id) ? 'name' : undefined;
  }
}

/** The IP address of `host:port`, `[host]:port` or `host`, as the tables write it. */
function hostOf(address: string): string | undefined {
  const host =
    /^\[(.*)\](?::\d+)?$/.exec(address)?.[1] ?? (/^[^:]*:\d+$/.test(address) ? address.replace(/:\d+$/, '') : address);
  const bytes = parseAddress(host);
  return bytes === undefined ? undefined : formatAddress(bytes);
}
