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
export type WriteTime = (field: TimeField, ms: number) => void;

/** How long after our own frame a datagram from the same address and port counts as its answer, ms (memberlist LAN ProbeTimeout and indirect probes end within ProbeInterval 1 s; WAN 5 s). */
export const ANSWER_WINDOW_MS = 5_000;
