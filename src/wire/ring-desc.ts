/**
 * The values of dskit's ring keys: Snappy around a protobuf `Desc` (codec `ringDesc`), a map of instances, or `PartitionRingDesc`
 * (codec `partitionRingDesc`), partitions and the instances that own them. Mirrors dskit ring/ring.proto, ring/partition_ring_desc.proto
 * and kv/codec/codec.go `Proto`. Of a repeated map key the last entry counts; an entry may lack its key or its value.
 */
import { failed, type Parsed } from './codec-reason.ts';
import { RING_DESC_MAX_BYTES, RING_ENTRIES_MAX } from './limits.ts';
import { ProtoReader } from './protobuf.ts';
import { decodeSnappy } from './snappy.ts';

export const RING_CODEC = 'ringDesc';
export const PARTITION_RING_CODEC = 'partitionRingDesc';

/** ring.proto `InstanceState`, by number; any other number is `unknown` here. Only append. */
export const INSTANCE_STATES = ['ACTIVE', 'LEAVING', 'PENDING', 'JOINING', 'LEFT'] as const;
export type InstanceState = (typeof INSTANCE_STATES)[number] | 'unknown';

/** partition_ring_desc.proto `PartitionState` and `OwnerState`, by number. Only append. */
export const PARTITION_STATES = ['unknown', 'pending', 'active', 'inactive', 'deleted'] as const;
export type PartitionState = (typeof PARTITION_STATES)[number];
export const OWNER_STATES = ['unknown', 'active', 'deleted'] as const;
export type OwnerState = (typeof OWNER_STATES)[number];

export interface RingInstance {
  /** The map's key. Writers repeat it inside since 2023. */
  readonly id: string;
  /** `host:port` as the instance wrote it. */
  readonly address: string;
  readonly zone: string;
  readonly state: InstanceState;
  /** Unix seconds of the last heartbeat. */
  readonly timestamp: number;
  /** Unix seconds; 0 when unknown. */
  readonly registered: number;
  readonly readOnly: boolean;
  readonly tokens: number;
}

export interface RingPartition {
  readonly id: number;
  readonly state: PartitionState;
  /** Unix seconds of the last change of state. */
  readonly timestamp: number;
  readonly tokens: number;
}

export interface RingOwner {
  /** The owning instance's id. */
  readonly id: string;
  readonly partition: number;
  readonly state: OwnerState;
  /** Unix seconds of the last change. */
  readonly timestamp: number;
}

export interface PartitionRing {
  readonly partitions: readonly RingPartition[];
  readonly owners: readonly RingOwner[];
}

/**
 * The instances of a ring key's value, at most RING_ENTRIES_MAX (`entries_limit`). Only `ringDesc` has instances with addresses: any
 * other codec is `type_unexpected`. Total; what the value claims to unpack to is checked against `maxBytes` before it is.
 */
export function decodeRingDesc(
  codec: string,
  value: Uint8Array,
  maxBytes = RING_DESC_MAX_BYTES,
): Parsed<RingInstance[]> {
  if (codec !== RING_CODEC) return failed('type_unexpected', 0);
  const plain = decodeSnappy(value, maxBytes);
  if (!plain.ok) return plain;
  const reader = new ProtoReader(plain.value);
  const instances = new Map<string, RingInstance>();
  while (reader.next()) {
    if (reader.field !== 1) continue;
    readEntry(reader, TEXT_KEY, readInstance, instances);
  }
  return reader.failure ?? { ok: true, value: [...instances].map(([id, instance]) => ({ ...instance, id })) };
}

/** The partitions of a partition ring key's value and who owns them; bounds and codec as decodeRingDesc's. */
export function decodePartitionRing(
  codec: string,
  value: Uint8Array,
  maxBytes = RING_DESC_MAX_BYTES,
): Parsed<PartitionRing> {
  if (codec !== PARTITION_RING_CODEC) return failed('type_unexpected', 0);
  const plain = decodeSnappy(value, maxBytes);
  if (!plain.ok) return plain;
  const reader = new ProtoReader(plain.value);
  const partitions = new Map<number, RingPartition>();
  const owners = new Map<string, RingOwner>();
  while (reader.next()) {
    if (reader.field === 1) readEntry(reader, NUMBER_KEY, readPartition, partitions);
    else if (reader.field === 2) readEntry(reader, TEXT_KEY, readOwner, owners);
  }
  return (
    reader.failure ?? {
      ok: true,
      value: {
        partitions: [...partitions].map(([id, partition]) => ({ ...partition, id })),
        owners: [...owners].map(([id, owner]) => ({ ...owner, id })),
      },
    }
  );
}

/** How a map's key is read; of a repeated one, gogo takes the last text, but ors numbers together. */
interface KeyKind<K> {
  readonly kind: 'bytes' | 'number';
  readonly zero: K;
  read(entry: ProtoReader, previous: K): K;
}
const TEXT_KEY: KeyKind<string> = { kind: 'bytes', zero: '', read: (entry) => entry.text() };
const NUMBER_KEY: KeyKind<number> = { kind: 'number', zero: 0, read: (entry, previous) => previous | entry.int32() };

const NO_BYTES = new Uint8Array(0);

/** Reads one entry of a map, `{1 key, 2 value}`, into `into`. A failure becomes the outer reader's. */
function readEntry<K, V>(outer: ProtoReader, key: KeyKind<K>, read: (value: ProtoReader) => V, into: Map<K, V>): void {
  const entry = outer.entry(key.kind, 'bytes');
  let id = key.zero;
  let value: V | undefined;
  while (entry.next()) {
    if (entry.field === 1) id = key.read(entry, id);
    else if (entry.field === 2) {
      const inner = entry.message();
      value = read(inner);
      entry.failure ??= inner.failure;
    }
  }
  if (entry.failure !== undefined) outer.failure ??= entry.failure;
  else if (into.size >= RING_ENTRIES_MAX && !into.has(id)) outer.failure ??= failed('entries_limit', outer.valueAt);
  else into.set(id, value ?? read(new ProtoReader(NO_BYTES)));
}

function readInstance(reader: ProtoReader): RingInstance {
  const instance = {
    ...{ id: '', address: '', zone: '', state: 'ACTIVE' as InstanceState },
    ...{ timestamp: 0, registered: 0, readOnly: false, tokens: 0 },
  };
  while (reader.next()) {
    if (reader.field === 1) instance.address = reader.text();
    else if (reader.field === 2) instance.timestamp = reader.int64();
    else if (reader.field === 3) instance.state = INSTANCE_STATES[reader.int32()] ?? 'unknown';
    else if (reader.field === 6) instance.tokens += reader.countPacked();
    else if (reader.field === 7) instance.zone = reader.text();
    else if (reader.field === 8) instance.registered = reader.int64();
    else if (reader.field === 9) reader.bytes();
    else if (reader.field === 10) reader.int64();
    else if (reader.field === 11) instance.readOnly = reader.bool();
    else if (reader.field === 12) readVersion(reader);
  }
  return instance;
}

/** An entry of `versions`, uint64 to uint64. Nothing shows it; it is read because dskit drops what it cannot read whole. */
function readVersion(outer: ProtoReader): void {
  const entry = outer.entry('number', 'number');
  while (entry.next());
  outer.failure ??= entry.failure;
}

function readPartition(reader: ProtoReader): RingPartition {
  const partition = { id: 0, state: 'unknown' as PartitionState, timestamp: 0, tokens: 0 };
  while (reader.next()) {
    if (reader.field === 1) partition.tokens += reader.countPacked();
    else if (reader.field === 2) partition.state = PARTITION_STATES[reader.int32()] ?? 'unknown';
    else if (reader.field === 3) partition.timestamp = reader.int64();
    else if (reader.field === 4) reader.int32();
    else if (reader.field === 5) reader.bool();
    else if (reader.field === 6) reader.int64();
  }
  return partition;
}

function readOwner(reader: ProtoReader): RingOwner {
  const owner = { id: '', partition: 0, state: 'unknown' as OwnerState, timestamp: 0 };
  while (reader.next()) {
    if (reader.field === 1) owner.partition = reader.int32();
    else if (reader.field === 2) owner.state = OWNER_STATES[reader.int32()] ?? 'unknown';
    else if (reader.field === 3) owner.timestamp = reader.int64();
  }
  return owner;
}
