/**
 * Which associated data a sealed frame must have for its reader (wire-protocol §1 layer 2). A member that predates labels seals with
 * none and opens nothing else; a native one with its label's bytes, whatever header the frame has.
 */
import type { SealForm } from '../wire/encryption.ts';
import type { Dialects } from './stage.ts';

/**
 * What the app opens, of a frame that reaches it `labelled` or not. An app that sends its label opens with it even where the frame has
 * no header (memberlist net.go `ingestPacket`, `handleConn`: SkipInboundLabelCheck sets the label "so that the auth data assertions
 * work"; Grafana's fork does the same).
 */
export function appSealForm({ sends }: Pick<Dialects, 'sends'>, labelled: boolean): SealForm {
  return labelled || sends === 'own' ? 'label' : 'empty';
}

/** What a bare member opens, of a frame that stands on the wire `labelled` or not: a native one demands both, an older one neither. */
export function wireSealForm(labelled: boolean): SealForm {
  return labelled ? 'label' : 'empty';
}
