/**
 * The kernel's own count of what it dropped because no fence took it (counters bypass_in and bypass_out of rules.ts). Reading it
 * needs NET_ADMIN, which a running fence does not otherwise want: without the right, or without nft, there is no answer, not a zero.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { BypassDropped } from '../engine.ts';
import { CAP_NET_ADMIN, hasCapability } from './host-checks.ts';
import { TABLE } from './rules.ts';

const INTERVAL_MS = 10_000;
const COMMAND_TIMEOUT_MS = 5_000;
const OUTPUT_MAX_BYTES = 64 * 1024;

interface NftCounters {
  readonly nftables?: readonly { readonly counter?: { readonly name?: unknown; readonly packets?: unknown } }[];
}

/** Reads the answer of `nft -j list counters table inet ringfence`; undefined when it does not hold both counters. */
export function parseCounters(json: string): BypassDropped | undefined {
  let answer: NftCounters | null;
  try {
    answer = JSON.parse(json) as NftCounters | null;
  } catch {
    return undefined;
  }
  const packets = (name: string) => answer?.nftables?.find(({ counter }) => counter?.name === name)?.counter?.packets;
  const [inbound, outbound] = [packets('bypass_in'), packets('bypass_out')];
  return typeof inbound === 'number' && typeof outbound === 'number' ? { inbound, outbound } : undefined;
}

export interface BypassWatch {
  /** As last read; undefined while it cannot be read. */
  dropped(): BypassDropped | undefined;
  stop(): void;
}

/** Reads the counters now and then, where the process may. */
export function watchBypass(): BypassWatch {
  let last: BypassDropped | undefined;
  if (!hasCapability(readFileSync('/proc/self/status', 'utf8'), CAP_NET_ADMIN)) {
    return { dropped: () => undefined, stop: () => undefined };
  }
  const bounds = { timeout: COMMAND_TIMEOUT_MS, maxBuffer: OUTPUT_MAX_BYTES };
  const read = () => {
    execFile('nft', ['-j', 'list', 'counters', 'table', 'inet', TABLE], bounds, (error, stdout) => {
      last = error === null ? parseCounters(stdout) : undefined;
    });
  };
  read();
  const timer = setInterval(read, INTERVAL_MS);
  timer.unref();
  return { dropped: () => last, stop: () => clearInterval(timer) };
}
