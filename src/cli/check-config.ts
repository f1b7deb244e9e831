/** `ringfence check-config FILE`: says what is wrong, what deserves a warning, and what the fences would be. */
import type { FenceConfig } from '../config/types.ts';
import { formatEndpoint } from '../wire/address.ts';
import { readConfigFile } from './config-file.ts';
import { EXIT } from './exit.ts';

/** Throws a CliError when the file is no configuration. */
export function checkConfig(file: string): number {
  const config = readConfigFile(file);
  for (const { level, text } of config.notes) process.stderr.write(`${text}${level === 'warn' ? ' (warning)' : ''}\n`);
  const fences = config.fences.map(describe).join('\n');
  process.stdout.write(
    `${file}: ok, ${config.fences.length} fence${config.fences.length === 1 ? '' : 's'}\n${fences}\n`,
  );
  return EXIT.ok;
}

function describe({ name, cluster, stage, mode, cidrs }: FenceConfig): string {
  const where =
    mode.kind === 'listen'
      ? `listen ${formatEndpoint(mode.listen)}, app ${formatEndpoint(mode.app)}`
      : `transparent, port ${mode.port}, uid ${mode.uid}`;
  return `  ${name}: cluster ${JSON.stringify(cluster)}, stage ${stage}, ${where}, ${cidrs.length} admission rules`;
}
