/** Which addresses are ours: those of this network namespace, and where the app and its fence listen. */
import type { ListenMode, TransparentMode } from '../config/types.ts';
import { createLocalAddresses } from '../datapath/linux/local-addresses.ts';

export interface OwnAddresses {
  /** `address` as formatAddress writes it. */
  has(address: string): boolean;
  /** The gossip port that the app is known by. */
  readonly port: number;
}

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** `now` in ms: the interfaces are read again about once a second, when asked. */
export function createOwnAddresses(mode: ListenMode | TransparentMode, now: () => number): OwnAddresses {
  const local = createLocalAddresses(now);
  if (mode.kind === 'transparent') return { has: local.has, port: mode.port };
  const { address: listens, port } = mode.listen;
  // The fence listens where the app is known; on every address it is known by any of them.
  return { has: WILDCARDS.has(listens) ? local.has : (address) => address === listens, port };
}
