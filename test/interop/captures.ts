/** tcpdump in a lab's hosts, and the built `ringfence inspect` on what it wrote. */
import { execFile, spawn } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Report } from '../../src/cli/inspect-report.ts';
import type { Host, Lab } from '../lab/lab.ts';

const { RINGFENCE_DIST = join(import.meta.dirname, '..', '..', 'dist') } = process.env;
const ENTRY = join(RINGFENCE_DIST, 'ringfence.js');
const START_TIMEOUT_MS = 10_000;
const RUN_TIMEOUT_MS = 30_000;
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024;

export interface Capture {
  readonly file: string;
  /** Stops tcpdump; the file is complete when it resolves. */
  stop(): Promise<void>;
}

/** Captures `filter` on one interface (`any`: cooked frames) into a pcap file. */
export async function startCapture(lab: Lab, host: Host, filter: string, on: 'eth0' | 'any'): Promise<Capture> {
  // tcpdump gives up root before it opens its file, unless it is told to stay.
  const dir = lab.directory('captures');
  chmodSync(dir, 0o777);
  const file = join(dir, `${host.name}.pcap`);
  const tcpdump = host.spawn('tcpdump', ['-i', on, '-s', '0', '-U', '-Z', 'root', '-w', file, ...filter.split(' ')]);
  await tcpdump.waitFor(/listening on/, START_TIMEOUT_MS);
  return {
    file,
    async stop() {
      // What the kernel has seen reaches tcpdump within its read timeout of a second.
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      await tcpdump.kill('SIGINT');
    },
  };
}

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `ringfence inspect ARGS`, with `input` on its standard input, to its end. */
export function runInspect(args: readonly string[], input = ''): Promise<Finished> {
  const child = spawn(process.execPath, [ENTRY, 'inspect', ...args], { timeout: RUN_TIMEOUT_MS });
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      if (out[name].length < OUTPUT_MAX_BYTES) out[name] += text;
    });
  }
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? -1, ...out }));
  });
}

/** The report of a capture; throws when there is none. */
export async function inspectReport(...args: readonly string[]): Promise<Report> {
  const { code, stdout, stderr } = await runInspect([...args, '--json']);
  if (code !== 0) throw new Error(`inspect ${args.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Report;
}

/** What `tcpdump -x` says of a capture. */
export async function hexOf(file: string): Promise<string> {
  const { stdout } = await promisify(execFile)('tcpdump', ['-r', file, '-n', '-x'], {
    maxBuffer: OUTPUT_MAX_BYTES,
    timeout: RUN_TIMEOUT_MS,
  });
  return stdout;
}

/** The shell command of a live inspection: tcpdump into `ringfence inspect - --follow --json`. */
export function liveCommand(filter: string): string {
  return `tcpdump -i eth0 -s 0 -U -w - ${filter} | ${process.execPath} ${ENTRY} inspect - --follow --json`;
}
