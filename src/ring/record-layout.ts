/** The fields of a record of the peer table, and how they are read and written. */

/** Offsets of the times in a record, and of one count, in doubles from its start. */
export const T = {
  own: 3,
  foreign: 4,
  none: 5,
  sent: 6,
  switched: 7,
  ambiguous: 8,
  unlabelled: 9,
  unlabelledSince: 10,
  unlabelledCount: 11,
} as const;
export type TimeField = (typeof T)[keyof typeof T];

export type ReadTime = (field: TimeField) => number;

/** How long after our own frame a datagram from the same address and port counts as its answer, ms (memberlist LAN ProbeTimeout and indirect probes end within ProbeInterval 1 s; WAN 5 s). */
export const ANSWER_WINDOW_MS = 5_000;

/** One record of one table, and where it was found last. Only the table changes it. */
export class RecordPlace {
  /** ADDRESS_BYTES; not to be changed any more. */
  readonly address: Uint8Array;
  readonly port: number;
  /** -1: there was none while `stamp` keys were given; -2: never looked for. Otherwise its slot, as long as that has sequence number `stamp`. */
  slot = -2;
  stamp = 0;

  constructor(address: Uint8Array, port: number) {
    this.address = address;
    this.port = port;
  }
}
