/** `ringfence intercept`: installs, prints or removes the kernel rules of the transparent fence of a configuration. */
import { StartError } from '../datapath/engine.ts';
import { installRules, removeRules, renderRules } from '../datapath/linux/intercept.ts';
import { readConfigFile } from './config-file.ts';
import { CliError, EXIT, oneLine } from './exit.ts';

export interface InterceptFlags {
  readonly print?: boolean;
  readonly remove?: boolean;
  readonly failOpen?: boolean;
}

/** Rejects with a CliError: 78 when no fence is transparent, 1 with the reason when the host refuses. */
export async function intercept(file: string, flags: InterceptFlags): Promise<number> {
  if (flags.print === true && flags.remove === true) {
    throw new CliError(EXIT.usage, ['ringfence: --print and --remove exclude each other']);
  }
  for (const { name, mode } of readConfigFile(file).fences) {
    if (mode.kind !== 'transparent') continue;
    const { port, peerPorts, proxyPort, uid, tcpSource, whenDown } = mode;
    const failOpen = flags.failOpen === true || whenDown === 'open';
    return carryOut({ fence: name, port, peerPorts, proxyPort, uid, tcpSource, failOpen }, flags);
  }
  throw new CliError(EXIT.config, [`${file}:1: fences: none of them is transparent, so there is nothing to intercept`]);
}

async function carryOut(options: Parameters<typeof renderRules>[0], flags: InterceptFlags): Promise<number> {
  try {
    if (flags.print === true) process.stdout.write(renderRules(options));
    else {
      const { done } = flags.remove === true ? await removeRules(options) : await installRules(options);
      process.stdout.write(done.map((line) => `${line}\n`).join(''));
    }
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    throw new CliError(EXIT.failure, [`ringfence: intercept: ${oneLine(error.message)}`], { cause: error });
  }
}
