/**
 * Why bytes are malformed: the closed list of the wire layer. Every word is also a rejection reason (policy/reason.ts), a metric
 * label and a log field; only append.
 */
export const MALFORMED_REASONS = [
  'label_empty',
  'label_truncated',
  'label_double',
  'stream_unknown_type',
  'dskit_truncated',
  'dskit_oversize',
  'alertmanager_oversize',
  'alertmanager_malformed',
] as const;

export type MalformedReason = (typeof MALFORMED_REASONS)[number];

/** What a decoder returns: a value, or the reason and the offset of the byte that gave it. Never an exception. */
export type Decoded<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: MalformedReason; readonly at: number };
