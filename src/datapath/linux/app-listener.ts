/** Whether the app listens, read from the kernel's socket tables: no connection is made, so the app never sees a probe. */
import { readFile } from 'node:fs/promises';

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'] as const;
const LISTEN = '0A';

/** Whether `table` (the text of /proc/net/tcp or tcp6) has a listener on `port` that is not of `ownUid`. */
export function hasListener(table: string, port: number, ownUid: number): boolean {
  for (const line of table.split('\n').slice(1)) {
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid …
    const [, local, , state, , , , uid] = line.trim().split(/\s+/);
    if (state !== LISTEN || local === undefined) continue;
    if (Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16) === port && Number(uid) !== ownUid) return true;
  }
  return false;
}

/** The same for this process's network namespace. A table that cannot be read holds nothing. */
export async function appListens(port: number, ownUid: number): Promise<boolean> {
  for (const file of TABLES) {
    const table = await readFile(file, 'utf8').catch(() => '');
    if (hasListener(table, port, ownUid)) return true;
  }
  return false;
}
