/** The metrics of encrypted gossip: what the keys opened, what was sealed anew, and who can read whom. */
import { type MetricSpec, one } from './metric-types.ts';

export const SEAL_METRICS: readonly MetricSpec[] = [
  {
    name: 'ringfence_sealed_frames_total',
    type: 'counter',
    help: 'Encrypted frames that the keys were tried on, by what opened them: the label as associated data, none, or no key. Only with keys.',
    read: ({ fence, tally }) =>
      tally.sealed
        .filter(({ value }) => value > 0 || fence.shape.hasKeys)
        .map(({ value, ...labels }) => one(value, labels)),
  },
  {
    name: 'ringfence_resealed_frames_total',
    type: 'counter',
    help: "Encrypted frames that were sealed anew: in their reader's form, or because quarantine changed them. Only with keys.",
    read: ({ fence, tally }) =>
      tally.resealed
        .filter(({ value }) => value > 0 || fence.shape.hasKeys)
        .map(({ value, ...labels }) => one(value, labels)),
  },
  {
    name: 'ringfence_gossip_keys',
    type: 'gauge',
    help: 'Gossip keys in use.',
    read: ({ fence }) => [one(fence.gossipKeys())],
  },
  {
    name: 'ringfence_sealed_peers',
    type: 'gauge',
    help: 'Peer addresses with encrypted gossip within the memory window: together (one opened what the other sealed), apart (one could not), unknown.',
    read({ fence, nowMs }) {
      const peers = fence.sealedPeers(nowMs);
      return (['together', 'apart', 'unknown'] as const).map((state) =>
        one(peers.filter((peer) => peer.state === state).length, { state }),
      );
    },
  },
];
