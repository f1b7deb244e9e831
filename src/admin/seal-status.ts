/** What the API says of encrypted gossip: of keys only how many there are, of peers who can read whom. */
import type { SealedPeer } from '../ring/seals.ts';
import { apartText, whyText } from '../ring/seals-text.ts';
import type { FenceView } from './view.ts';

/** Peers that the status spells out; all are at /api/v1/peers. */
const APART_SHOWN_MAX = 20;

export interface EncryptionStatus {
  readonly keys: number;
  readonly reseal: boolean;
  readonly problem: string | null;
  /** Peers with encrypted gossip: whether one could open what the other sealed. Told only from what they answer. */
  readonly peers: Readonly<Record<SealedPeer['state'], number>>;
  readonly apart: readonly string[];
}

type View = Pick<FenceView, 'encryption' | 'sealedPeers'>;

export function encryptionStatus({ encryption, sealedPeers }: View): EncryptionStatus {
  const { reseal, keys } = encryption;
  const peers = { together: 0, apart: 0, unknown: 0 };
  const found = sealedPeers();
  for (const { state } of found) peers[state]++;
  const apart = found.filter(({ state }) => state === 'apart').slice(0, APART_SHOWN_MAX);
  return {
    keys: keys(),
    reseal,
    problem: encryption.problem() ?? null,
    peers,
    apart: apart.map((peer) => apartText(peer, { keys: keys(), reseal })),
  };
}

/** What an operator must know of encryption; nothing while all is well. */
export function encryptionNotes(view: View): string[] {
  const { keys, reseal, problem, peers } = encryptionStatus(view);
  const notes: string[] = [];
  if (problem !== null) notes.push(`The gossip keys that were read before stay in use: ${problem}.`);
  if (peers.apart > 0) {
    const [count, who] = peers.apart === 1 ? ['1 peer is', 'it'] : [`${peers.apart} peers are`, 'each of them'];
    notes.push(`${count} apart from the app in encrypted gossip, ${who} for one reason: ${whyText({ keys, reseal })}.`);
  }
  if (keys === 0 && peers.unknown > 0) {
    notes.push(
      `Whether the app and ${peers.unknown} peers can open each other's encrypted gossip is unknown: no telling answer was seen.`,
    );
  }
  return notes;
}

/** What a row of /api/v1/peers says of one address; null where no encrypted gossip was seen. */
export function sealedOf({ sealedPeers }: View): (address: string) => unknown {
  const rows = new Map(sealedPeers().map((peer) => [peer.address, peer]));
  return (address) => {
    const row = rows.get(address);
    if (row === undefined) return null;
    const { state, byApp, byPeer, frames } = row;
    return { state, byApp, byPeer, frames: frames ?? null };
  };
}
