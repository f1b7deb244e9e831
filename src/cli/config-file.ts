/** The configuration file of a sub-command: its errors as exit code 78. */
import { ConfigError, loadConfig, parseConfig, readConfigText } from '../config/load.ts';
import type { Config } from '../config/types.ts';
import { CliError, EXIT } from './exit.ts';

/** Loads `file` with this process's environment. Throws a CliError with one line a problem. */
export function readConfigFile(file: string): Config {
  return orExit(() => loadConfig(file, process.env));
}

/** The same, with the text that it came from. */
export function readConfigWithText(file: string): { readonly config: Config; readonly text: string } {
  return orExit(() => {
    const text = readConfigText(file);
    return { text, config: parseConfig(text, file, process.env) };
  });
}

function orExit<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ConfigError) throw new CliError(EXIT.config, error.lines, { cause: error });
    throw error;
  }
}
