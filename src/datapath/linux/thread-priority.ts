/**
 * Who gets the core first: a packet, before everything else that the process does. On a core that the fence shares with others, a packet waits
 * until the kernel lets its thread run. The kernel (EEVDF, 6.12 and later) prefers of two threads the one that asks for the shorter slice, so
 * the engine's thread asks for the shortest. That needs no privilege, and no more of the core is had by it.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { basename } from 'node:path';
import type { Syscalls } from './syscalls.ts';

/** The shortest slice that the kernel grants. */
const SLICE_NS = 100_000n;
/**
 * How much nicer than before the other threads of the process are: main thread, V8's, libuv's. Those that they start inherit it. Under a flood
 * that takes the whole core the main thread is left a tenth of it: enough for the admin API, and a probe does not wait for it.
 */
const OTHERS_NICER = 10;
const NICE_MAX = 19;

/** struct sched_attr, its first version (include/uapi/linux/sched/types.h); 64-bit fields are aligned. */
const ATTR_BYTES = 48;
const ATTR_SIZE_AT = 0;
const ATTR_RUNTIME_AT = 24;

/**
 * Puts the thread that calls before the others of the process. `firstNice`: the process's nice value before this was first done in it, so that
 * a thread that follows another makes nothing nicer again. Returns what the kernel refused, by call and errno; undefined: nothing.
 */
export function preferThisThread(
  calls: Pick<Syscalls, 'schedGet' | 'schedSet' | 'errno'>,
  firstNice: number,
): string | undefined {
  const refused = [takeShortSlice(calls), makeOthersNice(firstNice)].filter((what) => what !== undefined);
  return refused.length === 0 ? undefined : refused.join(', ');
}

/** A kernel before 6.12 takes the slice and does nothing with it. */
function takeShortSlice({ schedGet, schedSet, errno }: Parameters<typeof preferThisThread>[0]): string | undefined {
  const attr = Buffer.alloc(ATTR_BYTES);
  // Policy and nice as they are.
  if (!schedGet(attr)) return `sched_getattr: ${errno()}`;
  attr.writeUInt32LE(ATTR_BYTES, ATTR_SIZE_AT);
  attr.writeBigUInt64LE(SLICE_NS, ATTR_RUNTIME_AT);
  return schedSet(attr) ? undefined : `sched_setattr: ${errno()}`;
}

function makeOthersNice(firstNice: number): string | undefined {
  try {
    const own = basename(readlinkSync('/proc/thread-self'));
    const nice = Math.min(NICE_MAX, firstNice + OTHERS_NICER);
    for (const thread of readdirSync('/proc/self/task')) if (thread !== own) makeNice(Number(thread), nice);
    // It has inherited that from whoever started it; taking it back needs a privilege or RLIMIT_NICE.
    if (getPriority(Number(own)) > firstNice) setPriority(Number(own), firstNice);
    return undefined;
  } catch (error) {
    return `setpriority: ${errorCode(error)}`;
  }
}

function makeNice(thread: number, nice: number): void {
  try {
    if (getPriority(thread) < nice) setPriority(thread, nice);
  } catch (error) {
    // It has ended in the meantime.
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

/** node's own errors of system calls carry the name of the errno in `info`. */
function errorCode(error: unknown): string {
  const { code, info } = error as { readonly code?: string; readonly info?: { readonly code?: string } };
  return info?.code ?? code ?? String(error);
}
