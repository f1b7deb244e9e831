/**
 * Why a message below the label could not be read. Internal to the codec: these words become rejection reasons only where a rule
 * of policy says so, because a fence forwards what it cannot parse just as memberlist would receive it. Only append.
 */
export const CODEC_REASONS = [
  'empty',
  'truncated',
  'type_unknown',
  'type_unexpected',
  'not_a_map',
  'field_type',
  'field_range',
  'entries_limit',
  'depth_limit',
  'crc_mismatch',
  'compress_algorithm',
  'lzw_code',
  'lzw_truncated',
  'snappy_corrupt',
  'expanded_limit',
  'nodes_limit',
  'user_bytes_limit',
  'messages_limit',
  'encryption_version',
  'sealed_limit',
  'no_key',
  'padding',
  'plaintext_empty',
  'protobuf_truncated',
  'protobuf_invalid',
  'length_claim',
  'disguised',
] as const;

export type CodecReason = (typeof CODEC_REASONS)[number];

export interface CodecFailure {
  readonly ok: false;
  readonly reason: CodecReason;
  /** Offset of the offending byte. For `truncated`: how many bytes the input needs, at least, to get any further. */
  readonly at: number;
}

/** What a decoder below the label returns: a value or a reason, never an exception. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | CodecFailure;

export function failed(reason: CodecReason, at: number): CodecFailure {
  return { ok: false, reason, at };
}
