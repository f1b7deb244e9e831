/** Bounds of `ringfence inspect`: a capture is other people's bytes, and a week of them must fit the same memory as a minute. */

/** Labels that get tables of their own: real networks have a handful, and a stranger can invent any number. */
export const LABELS_MAX = 64;

/** Rows of the flow table. */
export const FLOWS_MAX = 20_000;

/** Addresses whose labels are remembered, and labels of one address. */
export const SENDERS_MAX = 50_000;
export const SENDER_LABELS_MAX = 8;

/** (name, address, port) that are remembered, each with the labels it was gossiped under. */
export const TUPLES_MAX = 100_000;

/** Findings, and rows of the table of malformed and harmful frames, that are kept and shown. */
export const FINDINGS_MAX = 10_000;
export const PROBLEMS_MAX = 1_000;

/** Bytes that one side of a stream may collect (a dskit packet, an encrypted stream), and all of them together. */
export const COLLECTED_MAX_BYTES = 32 * 1024 * 1024;
export const COLLECTED_TOTAL_MAX_BYTES = 128 * 1024 * 1024;

/** A line about one frame: messages that it tells of, and characters. */
export const FRAME_LINE_MESSAGES_MAX = 16;
export const FRAME_LINE_MAX_CHARS = 2_000;

/** Frames that `--json --frames` puts into its one document; `--follow` writes them as they come, without a bound. */
export const FRAMES_IN_DOCUMENT_MAX = 10_000;
