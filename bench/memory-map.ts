/** What the resident memory of a process is for, by its mappings: /proc/PID/smaps, sorted by what lies where. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type Mapping, mappingsOf } from '../src/datapath/linux/mappings.ts';

/** In the order in which they are told. */
export const USES = [
  "node's program",
  'koffi',
  'other libraries',
  'V8 heaps',
  'compiled code',
  'malloc',
  'stacks',
  'tables, rings, batches and other large buffers',
] as const;
export type Use = (typeof USES)[number];

const KB_PER_MB = 1_024;
const MB = 1_048_576;
/** V8's heaps grow by pages of this size, aligned to it; glibc's arenas by 64 MiB; what malloc maps for one large buffer is aligned to neither. */
const V8_PAGE_BYTES = MB / 4;
const ARENA_BYTES = 64 * MB;
/** Stacks of threads: libuv's and V8's have 8 MiB, node's workers 4; less the page that guards them in some kernels' maps. */
const STACK_SIZES = [8 * MB, 4 * MB];
const PAGE_BYTES = 4_096;

/** Resident MiB of each use in the text of smaps. Told from size and place where a mapping has no name, so a few hundred kB may stand in the wrong column. */
export function usesOf(smaps: string): ReadonlyMap<Use, number> {
  const uses = new Map<Use, number>(USES.map((use) => [use, 0]));
  for (const mapping of mappingsOf(smaps)) {
    const use = useOf(mapping);
    uses.set(use, (uses.get(use) ?? 0) + (mapping.kb('Rss') ?? 0) / KB_PER_MB);
  }
  return uses;
}

function useOf({ from, to, flags, name }: Mapping): Use {
  const bytes = to - from;
  if (name === '[heap]') return 'malloc';
  if (name === '[stack]') return 'stacks';
  if (name.startsWith('/')) {
    if (/^node\b/.test(basename(name))) return "node's program";
    return basename(name).includes('koffi') ? 'koffi' : 'other libraries';
  }
  if (flags.includes('x')) return 'compiled code';
  if (STACK_SIZES.some((size) => bytes === size || bytes === size - PAGE_BYTES)) return 'stacks';
  if (from % ARENA_BYTES === 0) return 'malloc';
  return from % V8_PAGE_BYTES === 0 ? 'V8 heaps' : 'tables, rings, batches and other large buffers';
}

/** One line: what the process `pid` has, in MiB. */
export function describeMemory(pid: number): string {
  const uses = usesOf(readFileSync(`/proc/${pid}/smaps`, 'utf8'));
  return [...uses].map(([use, mb]) => `${use} ${mb.toFixed(1)}`).join(', ');
}
