/** `ringfence demo`: two small clusters on loopback. */
import { CliError, EXIT } from './exit.ts';

/** Runs the demo until a signal ends it; resolves with the exit code. */
export async function demo(_options: { readonly fenced: boolean }): Promise<number> {
  throw new CliError(EXIT.failure, ['ringfence: the demo is not in this version yet']);
}
