/** The small notations of the configuration: durations, `address:port`, and how a value is shown in an error. */
import { isIPv4, isIPv6 } from 'node:net';
import type { Endpoint } from '../datapath/engine.ts';

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

export const DURATION_PATTERN = /^\d{1,9}(ms|s|m|h)$/;

/** Milliseconds of `500ms`, `10s`, `10m` or `1h`; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|m|h)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
}

/** The shortest whole notation of a duration: 90000 is `90s`. */
export function formatDuration(ms: number): string {
  for (const unit of ['h', 'm', 's'] as const)
    if (ms > 0 && ms % UNIT_MS[unit] === 0) return `${ms / UNIT_MS[unit]}${unit}`;
  return `${ms}ms`;
}

/** Reads `10.0.0.1:7946` or `[fd00::1]:7946`; undefined when the address is no IP literal or the port is over 65535. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3] ?? -1);
  const fits = match?.[1] === undefined ? isIPv4(address) : isIPv6(address) && !address.includes('%');
  return fits && port >= 0 && port <= 65_535 ? { address, port } : undefined;
}

const SHOWN_CHARACTERS = 60;

/** A value as an error line shows it: JSON in printable ASCII, cut short. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value !== null && typeof value === 'object') return Array.isArray(value) ? 'a list' : 'a mapping';
  const cut = typeof value === 'string' ? value.slice(0, SHOWN_CHARACTERS) : value;
  const json = JSON.stringify(cut).replace(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return cut === value ? json : `${json}...`;
}
