/**
 * dskit's key-value pairs: protobuf `KeyValuePair{1 key, 2 value, 3 codec, 4 deleted, 5 update_time_millis}`, one a user message, and in the
 * user state of a push/pull a run of `len32 KeyValuePair`. Mirrors dskit kv/memberlist kv.pb.go `Unmarshal` and
 * memberlist_client.go `NotifyMsg`, `LocalState` and `MergeRemoteState`.
 */
import { type CodecFailure, failed, type Parsed } from './codec-reason.ts';
import { KV_PAIR_MAX_BYTES } from './limits.ts';
import { encodeProto, ProtoReader } from './protobuf.ts';

const LENGTH_BYTES = 4;

export interface KvPair {
  readonly key: string;
  /** In the codec's form; for ring keys see ring-desc.ts. A view. */
  readonly value: Uint8Array;
  readonly codec: string;
  readonly deleted: boolean;
  /** When the pair was last changed; 0 when the writer does not say. */
  readonly updateTimeMs: number;
}

/** Reads one pair, a whole user message. Total. A pair may have no key: dskit drops it from a message and takes it in a push/pull. */
export function decodeKvPair(bytes: Uint8Array): Parsed<KvPair> {
  const reader = new ProtoReader(bytes);
  let key = '';
  let value = bytes.subarray(0, 0);
  let codec = '';
  let deleted = false;
  let updateTimeMs = 0;
  while (reader.next()) {
    if (reader.field === 1) key = reader.text();
    else if (reader.field === 2) value = reader.bytes();
    else if (reader.field === 3) codec = reader.text();
    else if (reader.field === 4) deleted = reader.bool();
    else if (reader.field === 5) updateTimeMs = reader.int64();
  }
  return reader.failure ?? { ok: true, value: { key, value, codec, deleted, updateTimeMs } };
}

/** A pair as dskit writes it, a new buffer. */
export function encodeKvPair({ key, value, codec, deleted, updateTimeMs }: KvPair): Uint8Array {
  return encodeProto([
    [1, key],
    [2, value],
    [3, codec],
    [4, deleted],
    [5, updateTimeMs],
  ]);
}

/** The user state of a push/pull that holds `pairs`, a new buffer. */
export function encodeKvRun(pairs: readonly KvPair[]): Uint8Array {
  const parts = pairs.map(encodeKvPair);
  return Buffer.concat(parts.flatMap((part) => [lengthOf(part), part]));
}

function lengthOf(part: Uint8Array): Uint8Array {
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setUint32(0, part.length);
  return length;
}

/** What a run came to. */
export interface KvRun {
  readonly pairs: number;
  /** Pairs over the cap, passed over. */
  readonly oversize: number;
  /** Why the rest was not read, as dskit stops at the first pair that it cannot read; `truncated` when the last one is not whole. */
  readonly failure: CodecFailure | undefined;
}

/** One push/pull's user state, read as it arrives. Holds at most one pair, and never more than twice what has arrived of it. */
export interface KvReader {
  /** The pieces in order, in any chunking; not kept. */
  push(piece: Uint8Array): void;
  end(): KvRun;
}

/**
 * Starts reading a user state. `onPair` gets each pair once it is whole; its `value` is good until `onPair` returns. Pairs longer than
 * `maxPairBytes` are passed over and counted.
 */
export function createKvReader(onPair: (pair: KvPair) => void, maxPairBytes = KV_PAIR_MAX_BYTES): KvReader {
  let held: Uint8Array = new Uint8Array(0);
  let heldBytes = 0;
  /** Bytes of an oversize pair that are still to come. */
  let passing = 0;
  let at = 0;
  const run = { pairs: 0, oversize: 0, failure: undefined as CodecFailure | undefined };

  const take = (pair: Uint8Array): void => {
    const decoded = decodeKvPair(pair);
    if (!decoded.ok) {
      run.failure = failed(decoded.reason, at + LENGTH_BYTES + decoded.at);
      return;
    }
    run.pairs++;
    onPair(decoded.value);
  };

  /** Reads what is whole at the start of `bytes`; the number of bytes that it is done with. */
  const read = (bytes: Uint8Array): number => {
    let from = 0;
    while (run.failure === undefined) {
      const skipped = Math.min(passing, bytes.length - from);
      passing -= skipped;
      from += skipped;
      at += skipped;
      if (passing > 0 || bytes.length - from < LENGTH_BYTES) break;
      const size = new DataView(bytes.buffer, bytes.byteOffset + from).getUint32(0);
      if (size > maxPairBytes) {
        run.oversize++;
        passing = LENGTH_BYTES + size;
        continue;
      }
      const end = from + LENGTH_BYTES + size;
      if (bytes.length < end) break;
      take(bytes.subarray(from + LENGTH_BYTES, end));
      at += end - from;
      from = end;
    }
    return from;
  };

  const hold = (bytes: Uint8Array): void => {
    if (held.length < heldBytes + bytes.length) {
      const grown = new Uint8Array(2 * (heldBytes + bytes.length));
      grown.set(held.subarray(0, heldBytes));
      held = grown;
    }
    held.set(bytes, heldBytes);
    heldBytes += bytes.length;
  };

  return {
    push(piece) {
      let rest = piece;
      while (heldBytes > 0 && rest.length > 0 && run.failure === undefined) {
        // Only as much as completes the length, then the pair: what follows is read in place.
        const next = rest.subarray(0, missing(held.subarray(0, heldBytes)));
        hold(next);
        rest = rest.subarray(next.length);
        if (read(held.subarray(0, heldBytes)) > 0) heldBytes = 0;
      }
      if (rest.length === 0 || run.failure !== undefined) return;
      hold(rest.subarray(read(rest)));
      if (heldBytes === 0) held = new Uint8Array(0);
    },
    end() {
      const lacking = heldBytes > 0 ? heldBytes + missing(held.subarray(0, heldBytes)) : passing;
      const failure = run.failure ?? (lacking > 0 ? failed('truncated', at + lacking) : undefined);
      return { pairs: run.pairs, oversize: run.oversize, failure };
    },
  };
}

/** How many bytes a piece of a pair lacks: of its length first. */
function missing(part: Uint8Array): number {
  if (part.length < LENGTH_BYTES) return LENGTH_BYTES - part.length;
  return LENGTH_BYTES + new DataView(part.buffer, part.byteOffset).getUint32(0) - part.length;
}
