/**
 * IP addresses as 16 bytes (IPv4 as ::ffff:a.b.c.d), the one form that keys the peer table, and as text.
 */

const V4_MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] as const;

/** Bytes of an address key. */
export const ADDRESS_BYTES = 16;

/** Whether 16 address bytes hold an IPv4-mapped address. */
export function isV4Mapped(bytes: Uint8Array, offset = 0): boolean {
  for (let i = 0; i < V4_MAPPED_PREFIX.length; i++) if (bytes[offset + i] !== V4_MAPPED_PREFIX[i]) return false;
  return true;
}

/** Text to 16 bytes; undefined when it is no IP address. A zone (`%eth0`) is ignored. */
export function parseAddress(text: string): Uint8Array | undefined {
  const zone = text.indexOf('%');
  const bare = zone < 0 ? text : text.slice(0, zone);
  return bare.includes(':') ? parseV6(bare) : parseV4(bare, new Uint8Array(ADDRESS_BYTES));
}

function parseV4(text: string, into: Uint8Array): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  into.set(V4_MAPPED_PREFIX);
  for (let i = 0; i < 4; i++) {
    const part = parts[i] ?? '';
    // A leading zero is octal to some readers: node:net refuses it too.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    into[12 + i] = Number(part);
  }
  return into;
}

function parseV6(text: string): Uint8Array | undefined {
  let body = text;
  let tail: Uint8Array | undefined;
  const lastColon = body.lastIndexOf(':');
  if (body.includes('.')) {
    tail = parseV4(body.slice(lastColon + 1), new Uint8Array(ADDRESS_BYTES));
    if (tail === undefined) return undefined;
    body = `${body.slice(0, lastColon + 1)}${hex16(tail, 12)}:${hex16(tail, 14)}`;
  }
  const halves = body.split('::');
  if (halves.length > 2) return undefined;
  const head = groups(halves[0] ?? '');
  const rest = halves.length === 2 ? groups(halves[1] ?? '') : [];
  if (head === undefined || rest === undefined) return undefined;
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...new Array<number>(missing).fill(0), ...rest];
  const out = new Uint8Array(ADDRESS_BYTES);
  for (let i = 0; i < 8; i++) {
    out[2 * i] = (all[i] ?? 0) >> 8;
    out[2 * i + 1] = (all[i] ?? 0) & 0xff;
  }
  return out;
}

function groups(text: string): number[] | undefined {
  if (text === '') return [];
  const out: number[] = [];
  for (const part of text.split(':')) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
    out.push(Number.parseInt(part, 16));
  }
  return out.length > 8 ? undefined : out;
}

function hex16(bytes: Uint8Array, at: number): string {
  return (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16);
}

/** 16 bytes to text: dotted for IPv4-mapped, otherwise RFC 5952 (lower case, the longest run of zeros as `::`). */
export function formatAddress(bytes: Uint8Array, offset = 0): string {
  if (isV4Mapped(bytes, offset)) {
    return `${bytes[offset + 12]}.${bytes[offset + 13]}.${bytes[offset + 14]}.${bytes[offset + 15]}`;
  }
  const words: string[] = [];
  for (let i = 0; i < 8; i++) words.push(hex16(bytes, offset + 2 * i));
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && words[j] === '0') j++;
    if (j - i > bestLength) [bestStart, bestLength] = [i, j - i];
    if (j > i) i = j;
  }
  if (bestStart < 0) return words.join(':');
  return `${words.slice(0, bestStart).join(':')}::${words.slice(bestStart + bestLength).join(':')}`;
}

/** `address:port` for people, IPv6 in brackets. */
export function formatEndpoint({ address, port }: { readonly address: string; readonly port: number }): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
