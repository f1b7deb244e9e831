/** Which addresses belong to this network namespace: an original destination that does makes a frame inbound. */
import { networkInterfaces } from 'node:os';
import { isV4Mapped, parseAddress } from '../../wire/address.ts';

/** Interfaces are read again after this long, ms: a pod's addresses hardly ever change. */
const REFRESH_MS = 1_000;
/** And after this long for a frame that goes from one of ours to another, or between strangers, as far as is known. */
const REFRESH_UNCLEAR_MS = 10;

export interface LocalAddresses {
  /** `text` as formatAddress writes it. */
  has(text: string): boolean;
  /**
   * Whether an intercepted frame came from the network: the rules take only what goes between one of ours and a stranger. Where that is
   * not what is known the interfaces are read again, so that an address is never a stranger's while it is new, nor ours once it has
   * gone; the rest is inbound.
   */
  inbound(source: string, destination: string): boolean;
  /** Grows whenever the addresses are others than before. */
  revision(): number;
  /** Whether there are several addresses of the family that other hosts may know us by. */
  several(family: 'IPv4' | 'IPv6'): boolean;
}

/** `now` in ms; `read` is there for tests. */
export function createLocalAddresses(
  now: () => number,
  read: typeof networkInterfaces = networkInterfaces,
): LocalAddresses {
  let readAtMs = Number.NEGATIVE_INFINITY;
  let known = new Set<string>();
  let revision = 0;
  let counts = { IPv4: 0, IPv6: 0 };
  const refresh = (afterMs = REFRESH_MS) => {
    const nowMs = now();
    if (nowMs - readAtMs < afterMs) return;
    readAtMs = nowMs;
    const lists = readOrNothing(read);
    // Out of file descriptors, for one: what was known still counts.
    if (lists === undefined) return;
    const before = known;
    known = new Set();
    counts = { IPv4: 0, IPv6: 0 };
    for (const list of Object.values(lists)) {
      for (const { address, internal, family } of list ?? []) {
        known.add(address);
        if (!internal && !address.startsWith('fe80:')) counts[family]++;
      }
    }
    if (known.size !== before.size || [...known].some((address) => !before.has(address))) revision++;
  };
  const isKnown = (text: string) => known.has(text) || text.startsWith('127.');
  return {
    has(text) {
      refresh();
      return isKnown(text);
    },
    inbound(source, destination) {
      refresh();
      if (isKnown(source) === isKnown(destination)) refresh(REFRESH_UNCLEAR_MS);
      return isKnown(destination) || !isKnown(source);
    },
    revision() {
      refresh();
      return revision;
    },
    several(family) {
      refresh();
      return counts[family] > 1;
    },
  };
}

function readOrNothing(read: typeof networkInterfaces): ReturnType<typeof networkInterfaces> | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** An address as sockets give it, in the form that everything else uses: no zone, IPv4-mapped as IPv4. */
export function plainAddress(text: string): string {
  const zone = text.indexOf('%');
  const bare = zone < 0 ? text : text.slice(0, zone);
  const bytes = bare.startsWith('::ffff:') ? parseAddress(bare) : undefined;
  return bytes !== undefined && isV4Mapped(bytes) ? [...bytes.subarray(12)].join('.') : bare;
}
