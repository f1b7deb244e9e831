/** The search list of `/etc/resolv.conf`, as glibc reads it (resolv.conf(5)): c-ares takes its servers from there, but no search list for us. */
import { readSmallFile } from '../control/read-file.ts';

const RESOLV_CONF = '/etc/resolv.conf';
const RESOLV_CONF_MAX_BYTES = 64 * 1024;
/** Kubernetes allows 32. */
const SEARCH_MAX = 32;
/** resolv.h RES_MAXNDOTS. */
const NDOTS_MAX = 15;
/** RFC 1035, as text without the final dot. */
const NAME_MAX_CHARS = 253;

export interface ResolvConf {
  /** Domains to try a name in, in order, without a final dot. */
  readonly search: readonly string[];
  /** A name with so many dots is tried as it is first. */
  readonly ndots: number;
}

/** Reads the file anew; without one, or when it cannot be read, there is no search list. */
export async function readResolvConf(): Promise<ResolvConf> {
  const bytes = await readSmallFile(RESOLV_CONF, RESOLV_CONF_MAX_BYTES).catch(() => new Uint8Array(0));
  return parseResolvConf(Buffer.from(bytes).toString('latin1'));
}

/** The last `search` or `domain` line counts. Total: what is not understood is left out. */
export function parseResolvConf(text: string): ResolvConf {
  let search: string[] = [];
  let ndots = 1;
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line.trim().split(/\s+/);
    if (keyword === 'search') search = words;
    if (keyword === 'domain') search = words.slice(0, 1);
    if (keyword !== 'options') continue;
    for (const word of words) {
      const count = /^ndots:(\d{1,6})$/.exec(word)?.[1];
      if (count !== undefined) ndots = Math.min(Number(count), NDOTS_MAX);
    }
  }
  return { search: search.slice(0, SEARCH_MAX).map((domain) => domain.replace(/\.$/, '')), ndots };
}

/** The names to ask for, in order: a final dot, or enough dots, make a name absolute first. */
export function candidatesOf(name: string, { search, ndots }: ResolvConf): string[] {
  if (name.endsWith('.')) return [name.slice(0, -1)];
  const inDomains = search.map((domain) => (domain === '' ? name : `${name}.${domain}`));
  const absoluteFirst = name.split('.').length - 1 >= ndots;
  const all = absoluteFirst ? [name, ...inDomains] : [...inDomains, name];
  return [...new Set(all)].filter((candidate) => candidate.length <= NAME_MAX_CHARS);
}
