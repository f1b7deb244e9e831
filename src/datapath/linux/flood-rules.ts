/** What the rules in force allow the kernel to drop: never more than what `decide` rejects whoever the peer turns out to be. */
import { createAdmission } from '../../policy/admission.ts';
import type { RejectReason } from '../../policy/reason.ts';
import { isV4Mapped, parseAddress } from '../../wire/address.ts';
import type { FenceRules } from '../engine.ts';
import { NETWORKS_MAX, type Network, type UnlabelledFilter } from './flood-filter.ts';

/** Why the fence rejects what a filter can drop; what else is rejected carries the own label. */
export const DROPPABLE_REASONS = [
  'label_empty',
  'label_truncated',
  'label_double',
  'label_foreign',
  'label_missing',
  'peer_not_admitted',
  'peer_foreign',
] as const satisfies readonly RejectReason[];

/** What may be dropped; undefined: nothing, not even a foreign label. */
export function droppable(rules: FenceRules, flooders: readonly string[]): UnlabelledFilter | undefined {
  const { policy, admission, starting } = rules;
  // Nothing is rejected at `observe`, and what comes before the stage is known waits for it.
  if (starting || policy.stage === 'observe') return undefined;
  if (policy.stage === 'enforce') return { kind: 'all' };
  const { cidrs, byDns } = admission;
  // Where DNS may still name a stranger his packets wait for it: then only who floods is kept out.
  if (!byDns && cidrs.length > 0 && cidrs.length <= NETWORKS_MAX) {
    return { kind: 'outside', networks: cidrs.flatMap(({ address, prefix }) => networkOf(address, prefix) ?? []) };
  }
  const { admits } = createAdmission(admission);
  const sources = flooders.filter((address) => !admits(address)).flatMap((address) => parseAddress(address) ?? []);
  return sources.length === 0 ? { kind: 'none' } : { kind: 'from', sources };
}

function networkOf(text: string, prefix: number): Network | undefined {
  const address = parseAddress(text);
  if (address === undefined) return undefined;
  return { address, prefix: isV4Mapped(address) && !text.includes(':') ? prefix + 96 : prefix };
}
