/** What the seals table (seals.ts) says, as sentences: facts as facts, and what cannot be told as that. */
import type { SealedPeer } from './seals.ts';

/** What is set on the fence's side: it decides what the operator can do. */
export interface SealingHere {
  /** How many gossip keys the fence has. */
  readonly keys: number;
  readonly reseal: boolean;
}

/** One peer that is apart. */
export function apartText({ address, byApp, byPeer, frames }: SealedPeer, here: SealingHere): string {
  const who = [
    ...(byApp === 'refused' ? [`the app could not open what ${address} sealed`] : []),
    ...(byPeer === 'refused' ? [`${address} could not open what the app sealed`] : []),
  ];
  const stood = frames === undefined ? '' : `; its sealed frames stand ${STOOD[frames]}`;
  return `encrypted gossip: ${who.join(', and ')}${stood}: ${whyText(here)}`;
}

const STOOD = {
  labelled: "under the cluster's label",
  unlabelled: 'without a label',
  both: 'with and without a label',
} as const;

/** What that can come from, and what to do. */
export function whyText({ keys, reseal }: SealingHere): string {
  if (keys === 0) {
    return 'it has another key, or one of them seals with the label (native members) and the other without (members that predate labels); there are no keys here (encryption.keyFiles) to tell which, or to seal anew for both';
  }
  return reseal
    ? 'it has another key than this fence and its app'
    : 'it has another key, or it is native and reads only what is sealed with the label (encryption.reseal is off)';
}
