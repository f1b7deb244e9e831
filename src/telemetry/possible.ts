/**
 * Which series a fence can produce at all, so that those exist from the start at zero and the page stays readable. A guess on the
 * narrow side is harmless: whatever counted anything is shown anyway (metrics.ts).
 */
import type { LabelState } from '../policy/facts.ts';
import { REFUSED_REASONS, type RejectReason, SHIELD_REASONS } from '../policy/reason.ts';
import { STAGE_INDEX, type Stage } from '../policy/stage.ts';
import type { Where } from '../policy/tally.ts';
import type { TransportSetting } from '../wire/transport.ts';

/** What of a fence's configuration decides it. */
export interface Shape {
  readonly mode: 'listen' | 'transparent';
  /** Whether what the app dials passes the fence. */
  readonly guardsOutbound: boolean;
  readonly transport: TransportSetting;
  /** Whether TLS is terminated. */
  readonly tls: boolean;
  readonly hasAdmissionRules: boolean;
  readonly shield: boolean;
  /** Whether gossip keys are configured. */
  readonly hasKeys: boolean;
  /** The highest stage that it can be in. */
  readonly ceiling: Stage;
}

/** Whether frames can be seen there: UDP is always native, dskit has packets of its own, a listen fence's streams come from outside. */
export function placeOccurs(shape: Shape, { direction, transport, kind }: Where): boolean {
  if (!shape.guardsOutbound && direction === 'outbound') return transport === 'native' && kind === 'packet';
  const spoken = shape.transport === transport;
  if (kind === 'packet' && transport === 'native') return true;
  if (kind === 'packet' && (transport === 'tls' || transport === 'unknown')) return false;
  switch (transport) {
    case 'native':
    case 'dskit':
      return spoken || shape.transport === 'auto';
    case 'alertmanager':
      return spoken;
    case 'tls':
    case 'unknown':
      return true;
  }
}

/** Whether a frame there can have that label state. */
export function stateOccurs({ transport }: Where, state: LabelState): boolean {
  if (transport === 'tls') return state === 'opaque';
  if (transport === 'unknown') return state === 'malformed';
  return state !== 'opaque';
}

/** Whether a frame there can be rejected for that reason. */
export function reasonOccurs(shape: Shape, where: Where, reason: RejectReason): boolean {
  const { direction, transport, kind } = where;
  const readable = transport === 'native' || transport === 'dskit' || transport === 'alertmanager';
  const connection = kind === 'stream' || transport === 'dskit' || transport === 'alertmanager';
  // What the app sends is not looked at, but the answers on streams that it dialled are.
  const reachesApp = direction === 'inbound' || kind === 'stream';
  switch (reason) {
    case 'label_empty':
    case 'label_truncated':
    case 'label_double':
    case 'label_foreign':
      return readable;
    case 'label_missing':
      return readable && direction === 'inbound' && shape.ceiling === 'enforce';
    case 'peer_not_admitted':
      return shape.hasAdmissionRules && transport !== 'unknown';
    case 'peer_foreign':
      return transport !== 'unknown';
    case 'tls_unterminated':
      return transport === 'tls' && !shape.tls;
    case 'tls_handshake_failed':
      return transport === 'tls' && shape.tls;
    case 'stream_unknown_type':
      return transport === 'unknown';
    case 'dskit_truncated':
    case 'dskit_oversize':
      return transport === 'dskit' && kind === 'packet';
    case 'alertmanager_oversize':
    case 'alertmanager_malformed':
      return transport === 'alertmanager';
    case 'shield_empty_message':
    case 'shield_bad_version':
    case 'shield_bad_length':
    case 'shield_bomb':
    case 'shield_bad_incarnation':
    case 'shield_disguised':
      return readable && reachesApp && shape.shield;
    case 'shield_empty_plaintext':
      return readable && reachesApp && shape.shield && shape.hasKeys;
    case 'shield_reflection':
      return readable && shape.shield && kind === 'packet' && direction === 'inbound';
    case 'shield_push_pull_size':
    case 'shield_memory':
      return readable && kind === 'stream' && shape.shield;
    case 'hold_timeout':
    case 'hold_limit':
      return readable && connection;
    case 'header_timeout':
      return readable && connection;
    case 'idle_timeout':
      return transport !== 'unknown' && connection;
    case 'streams_limit':
    case 'peer_streams_limit':
      // Said at accept, before the first byte tells the transport.
      return transport === 'unknown' && kind === 'stream';
    case 'not_intercepted':
      return shape.mode === 'transparent' && direction === 'inbound' && !readable === (kind === 'stream');
  }
}

const REFUSED: ReadonlySet<RejectReason> = new Set(REFUSED_REASONS);
const SHIELD: ReadonlySet<RejectReason> = new Set(SHIELD_REASONS);

/** Whether the fence can ever be at `stage`: what would happen beyond its ceiling is nobody's question. */
export function canEnter(shape: Shape, stage: Stage): boolean {
  return STAGE_INDEX[stage] <= STAGE_INDEX[shape.ceiling];
}

/** Whether a later stage can reject for that reason: bounds are the same in every stage. */
export function wouldRejectOccurs(reason: RejectReason, stage: Stage): boolean {
  if (stage === 'observe') return false;
  if (reason === 'label_missing') return stage === 'enforce';
  return REFUSED.has(reason) || SHIELD.has(reason) || reason.startsWith('label_') || reason === 'stream_unknown_type';
}
