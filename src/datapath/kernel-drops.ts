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
  // sl local_address rem_address st … drops. No line is cut that is about others: many fences look, and a line is there for every session.
  for (let at = table.indexOf(` ${key} `); at >= 0; at = table.indexOf(` ${key} `, at + key.length)) {
    const end = table.indexOf('\n', at);
    const fields = table
      .slice(at, end < 0 ? undefined : end)
      .trim()
      .split(/\s+/);
    if (fields[0] === key && fields[1]?.endsWith(':0000')) sum += Number(fields.at(-1)) || 0;
  }
  return sum;
}

export interface KernelDropsWatch {
  stop(): void;
}

interface Watched {
  readonly keys: readonly { readonly family: 4 | 6; readonly key: string }[];
  readonly tally: Pick<Tally, 'dropped'>;
  counted: number;
}

/** The tables have all sockets, so they are read once for every fence of the process. */
const watches = new Set<Watched>();
let timer: NodeJS.Timeout | undefined;
let reading = false;

/** Counts the drops of the unconnected sockets bound to `places` now and then; the sockets are new, so they start from zero. */
export function watchKernelDrops(places: readonly Endpoint[], tally: Pick<Tally, 'dropped'>): KernelDropsWatch {
  const watched: Watched = { keys: places.flatMap((place) => tableKey(place) ?? []), tally, counted: 0 };
  watches.add(watched);
  timer ??= setInterval(() => void readTables(), INTERVAL_MS).unref();
  return {
    stop() {
      watches.delete(watched);
      if (watches.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    },
  };
}

async function readTables(): Promise<void> {
  if (reading || process.platform !== 'linux') return;
  reading = true;
  // Those that are stopped meanwhile are left out; of sockets that are new meanwhile the tables say nothing.
  const asked = [...watches];
  const families = new Set(asked.flatMap(({ keys }) => keys.map(({ family }) => family)));
  const tables = new Map<4 | 6, string>();
  for (const family of families) tables.set(family, await readFile(TABLES[family], 'utf8').catch(() => ''));
  for (const watched of asked) {
    if (!watches.has(watched)) continue;
    let sum = 0;
    for (const { family, key } of watched.keys) sum += dropsOf(tables.get(family) ?? '', key);
    if (sum > watched.counted) {
      watched.tally.dropped('socket_overflow', sum - watched.counted);
      watched.counted = sum;
    }
  }
  reading = false;
}
