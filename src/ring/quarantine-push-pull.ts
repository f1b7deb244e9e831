/**
 * Quarantine on a native stream's message: rows of a push/pull's table as quarantine-entry.ts says, the user state kept; and probes over
 * TCP, which memberlist falls back to when datagrams get no answer.
 */
import { compressAlgorithm, encodeCompress } from '../wire/compress.ts';
import { PUSH_PULL_NODES_MAX } from '../wire/limits.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { decodeMessage } from '../wire/messages.ts';
import { decodeStruct } from '../wire/msgpack.ts';
import { encodeStruct } from '../wire/msgpack-write.ts';
import { openStream, PUSH_PULL_HEADER, PUSH_PULL_NODE } from '../wire/push-pull.ts';
import type { QuarantineSet } from './quarantine.ts';
import { fateOfMessage, fateOfRow, isForeignSpeaker } from './quarantine-entry.ts';
import type { FrameSource } from './source.ts';

export interface QuarantinedStream {
  /** The same object when nothing was taken out, otherwise a new buffer; undefined when nothing may pass: a probe of a foreigner, or by one. */
  readonly message: Uint8Array | undefined;
  /** Alive rows of foreigners that were taken out. */
  readonly stripped: number;
  /** Rows in which a foreigner calls own members suspect, dead or left; probes. */
  readonly dropped: number;
}

/**
 * Takes out of `message` (whole, its compress layer included, not encrypted) what `set` says. Total: what cannot be read stays as it is,
 * since memberlist takes nothing from it. Bytes after the message, which memberlist does not read, stay.
 */
export function quarantinePushPull(message: Uint8Array, set: QuarantineSet, source: FrameSource): QuarantinedStream {
  const untouched = { message, stripped: 0, dropped: 0 };
  const opened = openStream(message);
  if (!opened.ok) return untouched;
  const plain = opened.value.message;
  if (plain[0] === MESSAGE_TYPE.ping) return quarantinePing(message, plain, set);
  if (plain[0] !== MESSAGE_TYPE.pushPull) return untouched;
  const table = strippedTable(plain, set, isForeignSpeaker(source, set));
  if (table === undefined) return untouched;
  const { bytes, stripped, dropped } = table;
  const algorithm = opened.value.compressed ? compressAlgorithm(message) : undefined;
  return { message: algorithm === undefined ? bytes : encodeCompress(bytes, algorithm), stripped, dropped };
}

function quarantinePing(message: Uint8Array, plain: Uint8Array, set: QuarantineSet): QuarantinedStream {
  const ping = decodeMessage(plain);
  const passes = !ping.ok || fateOfMessage(ping.value, set) === 'pass';
  return passes ? { message, stripped: 0, dropped: 0 } : { message: undefined, stripped: 0, dropped: 1 };
}

interface Table {
  readonly bytes: Uint8Array;
  readonly stripped: number;
  readonly dropped: number;
}

/** The push/pull without the rows that go; undefined when none does, or when it is not whole. Rows that stay keep their bytes. */
function strippedTable(plain: Uint8Array, set: QuarantineSet, byForeigner: boolean): Table | undefined {
  const header = decodeStruct(plain, 1, PUSH_PULL_HEADER);
  if (!header.ok) return undefined;
  const { Nodes, UserStateLen, Join } = header.value.fields;
  if (Nodes < 0 || Nodes > PUSH_PULL_NODES_MAX || UserStateLen < 0) return undefined;
  const kept: Uint8Array[] = [];
  let [at, keptFrom] = [header.value.end, header.value.end];
  let [stripped, dropped] = [0, 0];
  for (let i = 0; i < Nodes; i++) {
    const row = decodeStruct(plain, at, PUSH_PULL_NODE);
    if (!row.ok) return undefined;
    const fate = fateOfRow(row.value.fields, set, byForeigner);
    if (fate !== 'pass') {
      // Rows that stay are kept in runs, so that a table of thousands makes few views.
      kept.push(plain.subarray(keptFrom, at));
      keptFrom = row.value.end;
      if (fate === 'strip') stripped++;
      else dropped++;
    }
    at = row.value.end;
  }
  if (stripped + dropped === 0 || plain.length < at + UserStateLen) return undefined;
  const head = encodeStruct({ Nodes: Nodes - stripped - dropped, UserStateLen, Join }, PUSH_PULL_HEADER);
  const bytes = Buffer.concat([plain.subarray(0, 1), head, ...kept, plain.subarray(keptFrom)]);
  return { bytes, stripped, dropped };
}
