/**
 * Why a frame is rejected: the closed list, the same word in code, metric, log and docs. Malformed reasons come from the wire; the
 * rest is policy (refused) and bounds (limited). A fault of ours, or of the app, is not a rejection: see DROP_REASONS in tally.ts.
 */
import { MALFORMED_REASONS } from '../wire/reason.ts';

export const REFUSED_REASONS = [
  'label_foreign',
  'label_missing',
  'peer_not_admitted',
  'peer_foreign',
  'tls_unterminated',
] as const;

/** Frames that are known to crash or exhaust receivers (policy/shield-packet.ts, policy/shield-stream.ts). Only append. */
export const SHIELD_REASONS = [
  'shield_empty_message',
  'shield_bad_version',
  'shield_bad_length',
  'shield_bomb',
  'shield_empty_plaintext',
  'shield_push_pull_size',
  'shield_memory',
  'shield_reflection',
  'shield_bad_incarnation',
  'shield_disguised',
] as const;
export type ShieldReason = (typeof SHIELD_REASONS)[number];

export const LIMITED_REASONS = [
  'header_timeout',
  'idle_timeout',
  'streams_limit',
  'peer_streams_limit',
  'not_intercepted',
  'hold_timeout',
  'hold_limit',
  'tls_handshake_failed',
] as const;

export const REJECT_REASONS = [
  ...MALFORMED_REASONS,
  ...REFUSED_REASONS,
  ...SHIELD_REASONS,
  ...LIMITED_REASONS,
] as const;
export type LimitedReason = (typeof LIMITED_REASONS)[number];
export type RejectReason = (typeof REJECT_REASONS)[number];

/** Position of a reason in REJECT_REASONS, for counters. */
export const REASON_INDEX = Object.fromEntries(REJECT_REASONS.map((reason, i) => [reason, i])) as Record<
  RejectReason,
  number
>;

/** A sentence each, for people: the README's table and the status are made from it. */
export const REASON_SENTENCES = {
  label_empty: 'The label header announces a label of zero bytes; memberlist refuses it too.',
  label_truncated: 'The frame ended inside its label header.',
  label_double: 'A second label header follows the first.',
  stream_unknown_type: 'The first byte of the connection starts no memberlist exchange of the configured transport.',
  dskit_truncated: 'A dskit packet connection ended before its address, packet and 16-byte digest were complete.',
  dskit_oversize:
    'A dskit packet is larger than 10 MiB; what was forwarded of it was reset, so that no half packet is delivered.',
  alertmanager_oversize:
    'An Alertmanager frame announces more than 128 KiB; Alertmanager itself would reserve up to 4 GiB for it.',
  alertmanager_malformed: 'An Alertmanager frame is not the protobuf message that Alertmanager takes.',
  label_foreign: "The frame carries another cluster's label.",
  label_missing: 'The frame carries no label, and the stage demands one.',
  peer_not_admitted: 'The peer is outside the admission rules and has not lately shown the own label.',
  peer_foreign:
    "The peer's address lately showed another cluster's label on a TCP exchange, so its unlabelled traffic is not trusted.",
  tls_unterminated: 'The connection is TLS, which this fence does not terminate, so its label cannot be read.',
  shield_empty_message:
    'The frame holds an empty message (a compound part, a checksum or a compress layer around nothing), which ends older members.',
  shield_bad_version:
    'An alive message or a push/pull row carries a version list of the wrong length, which ends members up to v0.6.0.',
  shield_bad_length:
    'A header announces a negative or absurd length, or a field more than the frame holds, which older members reserve at once.',
  shield_bomb: 'Compression or nesting would unpack to more than any member may send.',
  shield_empty_plaintext: 'The frame decrypts to nothing or to broken padding, which ends every known member.',
  shield_push_pull_size: 'A push/pull announces more members than this fence lets through.',
  shield_memory: 'Streams that are open at once announce more bytes than this fence lets the app reserve.',
  shield_reflection:
    'A ping asks for its answer, or an indirect ping for a probe, at an address that is neither admitted nor proven.',
  shield_bad_incarnation:
    'An incarnation is so high that the member it names could never refute it, and would be shut out for good.',
  shield_disguised:
    'A field stands twice or is spelled as a list, which no member writes and which hides what the frame holds.',
  hold_timeout: 'A rule needs the whole of the frame, and the rest of it did not arrive in time.',
  hold_limit: 'A rule needs the whole of the frame, and it is larger than the fence holds.',
  tls_handshake_failed:
    'The TLS handshake with this fence failed or took too long: no certificate, one that the CA file does not vouch for, or no common version.',
  header_timeout: 'The connection did not finish its header in time.',
  idle_timeout: 'The connection was silent in both directions for too long.',
  streams_limit: 'The limit on open streams in total was reached.',
  peer_streams_limit: 'The limit on open streams of one peer was reached.',
  not_intercepted: "The traffic was sent to the fence's own proxy port and not to the gossip port.",
} as const satisfies Record<RejectReason, string>;
