/** The configuration file of a sub-command: its errors as exit code 78. */
import { ConfigError, loadConfig } from '../config/load.ts';
import type { Config } from '../config/types.ts';
import { CliError, EXIT } from './exit.ts';

/** Loads `file` with this process's environment. Throws a CliError with one line a problem. */
export function readConfigFile(file: string): Config {
  try {
    return loadConfig(file, process.env);
  } catch (error) {
    if (error instanceof ConfigError) throw new CliError(EXIT.config, error.lines, { cause: error });
    throw error;
  }
}
