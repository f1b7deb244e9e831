/**
 * How many datagrams this network namespace lost because a UDP socket's receive buffer was full (/proc/net/snmp, snmp6: RcvbufErrors).
 * A socket's own count of drops holds those and what its filter dropped; this tells them apart, as far as no other socket overflows.
 */
import { readFileSync } from 'node:fs';

const NAME = 'RcvbufErrors';

/** Undefined when the kernel does not say. `read` is there for tests. */
export function udpOverflows(read: (file: string) => string = readText): number | undefined {
  const v4 = overflowsOf(read('/proc/net/snmp'));
  if (v4 === undefined) return undefined;
  const v6 = /^Udp6RcvbufErrors\s+(\d+)/m.exec(read('/proc/net/snmp6'))?.[1];
  return v4 + Number(v6 ?? 0);
}

/** Two lines `Udp:`, the names and the values. */
function overflowsOf(table: string): number | undefined {
  const [names = [], values = []] = table
    .split('\n')
    .filter((line) => line.startsWith('Udp: '))
    .map((line) => line.split(' '));
  const value = Number(values[names.indexOf(NAME)]);
  return Number.isFinite(value) ? value : undefined;
}

/** What is not there has nothing to say: no such kernel, or no descriptor left. */
function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
