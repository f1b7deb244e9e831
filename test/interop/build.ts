/**
 * Builds the Go programs of the interop tests, each once for its sources, under build/interop (git-ignored). Safe for several test
 * processes at once: one builds, the others wait. Needs go and, the first time, the modules of go.sum (module cache or module proxy).
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const here = import.meta.dirname;
const BUILD_DIR = join(here, '..', '..', 'build', 'interop');

/** One program: dskit's dependencies compile in about a minute on a cold cache and two busy cores. */
const BUILD_TIMEOUT_MS = 240_000;
const LOCK_POLL_MS = 200;

/** memberlist releases that a member is built from, newest first. The last one predates labels. */
export const MEMBERLIST_VERSIONS = ['v0.6.0', 'v0.5.0', 'v0.3.1', 'v0.2.2'] as const;
export type MemberlistVersion = (typeof MEMBERLIST_VERSIONS)[number];

/** Releases with Config.Label. */
export const LABEL_VERSIONS = ['v0.6.0', 'v0.5.0', 'v0.3.1'] as const satisfies readonly MemberlistVersion[];

interface Program {
  readonly name: string;
  /** Directories whose .go files are compiled together, and the one with go.mod and go.sum. */
  readonly sources: readonly string[];
  readonly module: string;
  readonly tags: readonly string[];
}

/** The path of a built member (memberlist/main.go) of one release. */
export function buildMember(version: MemberlistVersion): Promise<string> {
  return buildProgram({
    name: `member-${version}`,
    sources: ['memberlist', 'common'],
    module: `memberlist/${version}`,
    tags: version === 'v0.2.2' ? ['nolabel'] : [],
  });
}

/** The path of the built dskit KV client (dskit/main.go). */
export function buildKv(): Promise<string> {
  return buildProgram({ name: 'kv', sources: ['dskit', 'common'], module: 'dskit', tags: [] });
}

/** The path of the built cluster of an Alertmanager (alertmanager/main.go). */
export function buildAlertmanager(): Promise<string> {
  return buildProgram({ name: 'am', sources: ['alertmanager', 'common'], module: 'alertmanager', tags: [] });
}

/** What golden vectors come from: a release, dskit with Grafana's fork, or Alertmanager's TLS transport. */
export type VectorOrigin = MemberlistVersion | 'dskit' | 'alertmanager';

/** The path of the built generator of golden vectors; `read` makes it a reader of other writers' frames. */
export function buildVectors(origin: VectorOrigin): Promise<string> {
  const tags = {
    'v0.6.0': ['msgpack2'],
    'v0.5.0': [],
    'v0.3.1': [],
    'v0.2.2': ['nolabel'],
    dskit: ['dskit', 'msgpack2'],
    alertmanager: ['alertmanager', 'msgpack2'],
  };
  const module = origin === 'dskit' || origin === 'alertmanager' ? origin : `memberlist/${origin}`;
  return buildProgram({ name: `vectors-${origin}`, sources: ['vectors'], module, tags: tags[origin] });
}

/** The path of the built benchmark of memberlist's decoding (test/bench/decode/main.go). */
export function buildDecodeBench(): Promise<string> {
  return buildProgram({ name: 'decode-bench', sources: ['../bench/decode'], module: 'dskit', tags: [] });
}

async function buildProgram(program: Program): Promise<string> {
  const files = [
    ...program.sources.flatMap((dir) => readdirSync(join(here, dir)).map((name) => join(here, dir, name))),
    join(here, program.module, 'go.mod'),
    join(here, program.module, 'go.sum'),
  ].filter((path) => /\.(go|s)$|go\.(mod|sum)$/.test(path));
  const unique = [...new Set(files)].sort();
  const hash = createHash('sha256').update(JSON.stringify(program));
  for (const path of unique) hash.update(path.slice(here.length)).update('\0').update(readFileSync(path));
  const target = join(BUILD_DIR, `${program.name}-${hash.digest('hex').slice(0, 16)}`);
  mkdirSync(BUILD_DIR, { recursive: true });
  // At most one builder and one take-over of a dead one's lock at a time; every wait counts against one deadline.
  const deadlineMs = Date.now() + BUILD_TIMEOUT_MS;
  const lock = join(BUILD_DIR, `${program.name}.lock`);
  while (!existsSync(target)) {
    if (Date.now() > deadlineMs)
      throw new Error(`${program.name} was not built in ${BUILD_TIMEOUT_MS} ms: see ${lock}`);
    if (!takeLock(lock)) {
      await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
      continue;
    }
    try {
      if (!existsSync(target)) await compile(program, unique, target, deadlineMs - Date.now());
    } finally {
      rmSync(lock, { force: true });
    }
  }
  return target;
}

/** A lock file holds its owner's process id; a dead owner's lock is taken away, and the next try may get it. */
function takeLock(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch {
    try {
      const owner = Number(readFileSync(lock, 'utf8'));
      if (owner > 0 && !isAlive(owner)) rmSync(lock, { force: true });
    } catch {
      // It went away meanwhile.
    }
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function compile(program: Program, files: readonly string[], target: string, timeoutMs: number): Promise<void> {
  const dir = `${target}.src`;
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir);
  for (const path of files) cpSync(path, join(dir, path.slice(path.lastIndexOf('/') + 1)));
  const args = ['build', '-buildvcs=false', '-trimpath', `-tags=${program.tags.join(',')}`, '-o', 'program', '.'];
  try {
    await promisify(execFile)('go', args, {
      cwd: dir,
      timeout: Math.max(1, timeoutMs),
      // Pure Go, so that no C compiler is needed; the installed toolchain, whatever go.mod would rather have.
      env: { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOWORK: 'off', GOFLAGS: '' },
    });
  } catch (error) {
    throw new Error(`go build of ${program.name} failed: ${(error as { stderr?: string }).stderr ?? error}`, {
      cause: error,
    });
  }
  for (const name of readdirSync(BUILD_DIR)) {
    // Builds of former sources; a directory (this one's) is left alone.
    if (name.startsWith(`${program.name}-`) && !name.endsWith('.src')) rmSync(join(BUILD_DIR, name), { force: true });
  }
  renameSync(join(dir, 'program'), target);
  rmSync(dir, { recursive: true, force: true });
}
