/** `--port`: which ports are gossip's. */

export const DEFAULT_PORT = 7946;
const PORTS_MAX = 64;

export interface PortFilter {
  /** Every port: then gossip is told by its content. */
  readonly any: boolean;
  matches(port: number): boolean;
  /** For people. */
  readonly text: string;
}

/** Reads `any`, or ports parted by commas, each option in turn; what is wrong as a text. */
export function parsePorts(options: readonly string[]): PortFilter | string {
  const words = options.flatMap((option) => option.split(','));
  if (words.length === 0) words.push(String(DEFAULT_PORT));
  if (words.includes('any')) return { any: true, matches: () => true, text: 'any port' };
  const ports = new Set<number>();
  for (const word of words) {
    const port = /^\d{1,5}$/.test(word) ? Number(word) : 0;
    if (port < 1 || port > 65_535) return `no port: ${word}`;
    ports.add(port);
  }
  if (ports.size > PORTS_MAX) return `at most ${PORTS_MAX} ports`;
  return { any: false, matches: (port) => ports.has(port), text: `port ${[...ports].join(', ')}` };
}
