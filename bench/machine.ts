/** Where the figures come from: the machine and the versions of what ran. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, networkInterfaces, release, totalmem } from 'node:os';

const IPV4 = '/proc/sys/net/ipv4/';
const CONGESTION = `${IPV4}tcp_congestion_control`;
/** Ports that a proxy's own connections may take, and connections that are over and still hold one: enough of the first, so that none searches. */
const PORTS = { range: '1024 65535', overMax: '8192' };
/** Those that the measures listen on, kept out of that range. */
const LISTENING = '7946-7947,9746,17947-17952';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMb: number;
  readonly kernel: string;
  /** TCP's congestion control where the measures ran. */
  readonly congestion: string;
  readonly versions: Readonly<Record<string, string>>;
}

/**
 * Sets up the network namespace in which `npm run bench` starts this process (unshare(1)). Loopback, and reno as
 * TCP's congestion control, which every kernel has: where the machine uses BBR its pacing holds bulk back on loopback as well, and takes most of
 * both cores' time by its timers, so that it is measured and no proxy. Ports of connections that are over are free again soon: by the kernel's
 * defaults some 14,000 connections a second to one app is what its search for a port gives any proxy. Throws in any other place,
 * and when `ip` fails.
 */
export function prepareNetwork(): void {
  if (Object.keys(networkInterfaces()).length > 0) {
    throw new Error('the benchmark needs a network namespace of its own, which `npm run bench` makes for it');
  }
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  writeFileSync(CONGESTION, 'reno');
  writeFileSync(`${IPV4}ip_local_port_range`, PORTS.range);
  writeFileSync(`${IPV4}ip_local_reserved_ports`, LISTENING);
  writeFileSync(`${IPV4}tcp_max_tw_buckets`, PORTS.overMax);
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryMb: Math.round(totalmem() / 1024 ** 2),
    kernel: release(),
    congestion: readFileSync(CONGESTION, 'utf8').trim(),
    versions: {
      node: process.versions.node,
      nginx: said('nginx', ['-v'], /nginx\/(\S+)/),
      haproxy: said('haproxy', ['-v'], /version (\S+)/),
      gcc: said('gcc', ['--version'], /(\d+\.\d+\.\d+)/),
      go: said('go', ['version'], /go(\d\S*)/),
    },
  };
}

/** What a program says of its version; a program that is missing says so. */
function said(command: string, args: readonly string[], pattern: RegExp): string {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 });
  return pattern.exec(`${stdout}${stderr}`)?.[1] ?? 'missing';
}
