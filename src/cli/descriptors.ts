/** Whether the process may open as many files as its configuration's bounds add up to: short of them, sockets fail and the admin API goes silent. */
import { readFileSync } from 'node:fs';
import { CONNECTIONS_MAX } from '../admin/server.ts';
import type { FenceConfig } from '../config/types.ts';
import { SPARES_MAX } from '../datapath/linux/spare-sockets.ts';
import { PIPES_MAX } from '../datapath/linux/splice-pipes.ts';

/** What the runtime, the log and the listeners take, generously. */
const BASE_DESCRIPTORS = 64;

/** Both ends of the pipes of bulk streams, which the Linux engine shares among all fences. */
const PIPE_DESCRIPTORS = 2 * PIPES_MAX;

/** Sockets that it keeps for the next dial, of both families. */
const SPARE_DESCRIPTORS = 2 * SPARES_MAX;

/** A stream is two sockets: the dialler's and the one to the other side. */
const PER_STREAM = 2;

/** The most descriptors that the bounds of `fences` allow at once: in listen mode every UDP session has a socket too. */
export function descriptorsNeeded(fences: readonly Pick<FenceConfig, 'mode' | 'streams'>[]): number {
  return fences.reduce(
    (sum, { mode, streams: { limits } }) => {
      // The limit holds for each direction, and a listen fence carries inbound only.
      if (mode.kind === 'listen') return sum + limits.streams * PER_STREAM + limits.sessions;
      return sum + 2 * limits.streams * PER_STREAM;
    },
    BASE_DESCRIPTORS + CONNECTIONS_MAX + PIPE_DESCRIPTORS + SPARE_DESCRIPTORS,
  );
}

/** The limit on open files in the text of /proc/self/limits; undefined when there is none (or it says unlimited). */
export function openFilesLimit(limits: string): number | undefined {
  const soft = /^Max open files\s+(\d+)\s/m.exec(limits)?.[1];
  return soft === undefined ? undefined : Number(soft);
}

/** One line for the operator when this process may open fewer files than its bounds allow; undefined when it is fine, or cannot be told. */
export function descriptorWarning(fences: readonly Pick<FenceConfig, 'mode' | 'streams'>[]): string | undefined {
  let limit: number | undefined;
  try {
    limit = openFilesLimit(readFileSync('/proc/self/limits', 'utf8'));
  } catch {
    // Not Linux.
  }
  const needed = descriptorsNeeded(fences);
  if (limit === undefined || limit >= needed) return undefined;
  return `this process may open ${limit} files, and the limits of its fences add up to ${needed}: raise the limit (ulimit -n), or lower limits.streams and limits.sessions, or a flood silences the admin API`;
}
