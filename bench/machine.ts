/** Where the figures come from: the machine and the versions of what ran. */
import { spawnSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMb: number;
  readonly kernel: string;
  readonly versions: Readonly<Record<string, string>>;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryMb: Math.round(totalmem() / 1024 ** 2),
    kernel: release(),
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
