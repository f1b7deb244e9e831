/**
 * Datagrams that the kernel threw away because a socket's receive buffer was full: the fence was too slow for a flood, or too busy.
 * No fence sees them, so they are one number without reasons, read from the socket tables (Linux; elsewhere nothing is counted).
 */
import { readFile } from 'node:fs/promises';
import type { Tally } from '../policy/tally.ts';
import { isV4Mapped, parseAddress } from '../wire/address.ts';
import type { Endpoint } from './engine.ts';

const INTERVAL_MS = 5_000;
const TABLES = { 4: '/proc/net/udp', 6: '/proc/net/udp6' } as const;

/** How the socket tables write an address and port: 32-bit words in host order (little-endian), upper-case hex. */
export function tableKey({ address, port }: Endpoint): { readonly family: 4 | 6; readonly key: string } | undefined {
  const bytes = parseAddress(address);
  if (bytes === undefined) return undefined;
  const family = isV4Mapped(bytes) ? 4 : 6;
  const words = Buffer.from(family === 4 ? bytes.subarray(12) : bytes);
  const hex = words.swap32().toString('hex').toUpperCase();
  return { family, key: `${hex}:${port.toString(16).toUpperCase().padStart(4, '0')}` };
}

/** The drops of the sockets with local address `key` in `table` (the text of /proc/net/udp or udp6). */
export function dropsOf(table: string, key: string): number {
  let sum = 0;
  for (const line of table.split('\n').slice(1)) {
    // sl local_address rem_address st … drops
    const fields = line.trim().split(/\s+/);
    if (fields[1] === key && fields[2]?.endsWith(':0000')) sum += Number(fields.at(-1)) || 0;
  }
  return sum;
}

export interface KernelDropsWatch {
  stop(): void;
}

/** Counts the drops of the unconnected sockets bound to `places` now and then; the sockets are new, so they start from zero. */
export function watchKernelDrops(places: readonly Endpoint[], tally: Pick<Tally, 'dropped'>): KernelDropsWatch {
  const keys = places.flatMap((place) => tableKey(place) ?? []);
  let counted = 0;
  let reading = false;
  const read = async () => {
    if (reading || process.platform !== 'linux') return;
    reading = true;
    let sum = 0;
    for (const { family, key } of keys) sum += dropsOf(await readFile(TABLES[family], 'utf8').catch(() => ''), key);
    if (sum > counted) {
      tally.dropped('socket_overflow', sum - counted);
      counted = sum;
    }
    reading = false;
  };
  const timer = setInterval(() => void read(), INTERVAL_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
