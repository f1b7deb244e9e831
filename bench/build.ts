/** Builds the native programs of the benchmark into build/bench/, each only when its source is newer than the binary. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

const SOURCES = join(import.meta.dirname, 'native');
const OUT = join(import.meta.dirname, '..', 'build', 'bench');
const BUILD_TIMEOUT_MS = 120_000;

/** Path of a program by the name of its source: `udp-load.c` is `udp-load`, `forward.go` is `forward-go`. */
export type Programs = (name: string) => string;

/** Compiles what is out of date (`gcc -O2`, `go build`); throws with the compiler's words. */
export function buildPrograms(): Programs {
  mkdirSync(OUT, { recursive: true });
  const files = readdirSync(SOURCES);
  const headersMs = Math.max(0, ...files.filter((file) => file.endsWith('.h')).map((file) => modifiedMs(file)));
  const built = new Map<string, string>();
  for (const file of files) {
    if (file.endsWith('.c')) built.set(basename(file, '.c'), build(file, basename(file, '.c'), headersMs, compileC));
    if (file.endsWith('.go')) {
      const name = `${basename(file, '.go')}-go`;
      built.set(name, build(file, name, 0, compileGo));
    }
  }
  return (name) => {
    const path = built.get(name);
    if (path === undefined) throw new Error(`bench/native has no source of ${name}`);
    return path;
  };
}

function modifiedMs(file: string): number {
  return statSync(join(SOURCES, file)).mtimeMs;
}

function build(file: string, name: string, headersMs: number, compile: (source: string, out: string) => void): string {
  const out = join(OUT, name);
  const fresh = existsSync(out) && statSync(out).mtimeMs > Math.max(modifiedMs(file), headersMs);
  if (!fresh) compile(join(SOURCES, file), out);
  return out;
}

function compileC(source: string, out: string): void {
  execFileSync('gcc', ['-O2', '-std=gnu11', '-Wall', '-Wextra', '-Wno-unused-function', '-o', out, source], {
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: BUILD_TIMEOUT_MS,
  });
}

function compileGo(source: string, out: string): void {
  execFileSync('go', ['build', '-o', out, source], {
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: BUILD_TIMEOUT_MS,
    env: { ...process.env, GO111MODULE: 'off', GOFLAGS: '', GOPROXY: 'off', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' },
  });
}
