/** What the kernel of a host sees of its gossip datagrams, outside of the fence and of its rules. */
import type { Host } from '../lab/lab.ts';
import { SERF_PORT } from './serf-agents.ts';

/** Counts the datagrams on the wire, both ways: those that begin with the header of `label` (at most 14 bytes) and the others. */
export function watchWire(host: Host, label: string): void {
  const header = Buffer.concat([Buffer.of(0xf4, Buffer.byteLength(label)), Buffer.from(label)]);
  const labelled = `@th,64,${8 * header.length} 0x${header.toString('hex')}`;
  host.exec('nft', [
    `table inet watch {
      counter labelled_in { }; counter other_in { }; counter labelled_out { }; counter other_out { }
      chain in { type filter hook prerouting priority -400; iif eth0 udp dport ${SERF_PORT} jump count_in; }
      chain out { type filter hook postrouting priority 400; oif eth0 udp dport ${SERF_PORT} jump count_out; }
      chain count_in { ${labelled} counter name labelled_in return; counter name other_in; }
      chain count_out { ${labelled} counter name labelled_out return; counter name other_out; }
    }`,
  ]);
}

/** What a counter of the kernel's rules stands at, in packets. */
export function kernelCount(host: Host, table: string, counter: string): number {
  const text = host.exec('nft', ['list', 'counter', 'inet', table, counter]);
  const packets = /packets (\d+)/.exec(text)?.[1];
  if (packets === undefined) throw new Error(`nft shows no counter: ${text}`);
  return Number(packets);
}
