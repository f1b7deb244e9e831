/** Which addresses are ours: those of this network namespace, and where the app and its fence listen. */
import type { ListenMode, TransparentMode } from '../config/types.ts';
import { createLocalAddresses } from '../datapath/linux/local-addresses.ts';

export interface OwnAddresses {
  /** `address` as formatAddress writes it. */
  has(address: string): boolean;
  /** The gossip port that the app is known by. */
  readonly port: number;
}

/** `now` in ms: the interfaces are read again about once a second, when asked. */
export function createOwnAddresses(mode: ListenMode | TransparentMode, now: () => number): OwnAddresses {
  const local = createLocalAddresses(now);
  if (mode.kind === 'transparent') return { has: local.has, port: mode.port };
  const named = new Set([mode.listen.address, mode.app.address]);
  return { has: (address) => named.has(address) || local.has(address), port: mode.listen.port };
}
