/** Builds the flooder (flood/flood.c) under build/interop (git-ignored), once for its source. Needs gcc. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';

const SOURCE = join(import.meta.dirname, 'flood', 'flood.c');
const OUT = join(import.meta.dirname, '..', '..', 'build', 'interop');
const BUILD_TIMEOUT_MS = 60_000;

/** The path of the built program; throws with the compiler's words. Safe for several test processes at once. */
export function buildFlood(): string {
  const hash = createHash('sha256').update(readFileSync(SOURCE)).digest('hex').slice(0, 16);
  const target = join(OUT, `flood-${hash}`);
  if (existsSync(target)) return target;
  mkdirSync(OUT, { recursive: true });
  const own = `${target}.${process.pid}`;
  execFileSync('gcc', ['-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-o', own, SOURCE], {
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: BUILD_TIMEOUT_MS,
  });
  renameSync(own, target);
  return target;
}
