/** Exit codes (sysexits.h), and failures that are one clear line each. */

export const EXIT = { ok: 0, failure: 1, usage: 64, config: 78 } as const;

/** A failure that was foreseen: each of `lines` goes to standard error, without a stack. */
export class CliError extends Error {
  override readonly name: string = 'CliError';
  readonly exitCode: number;
  readonly lines: readonly string[];
  constructor(exitCode: number, lines: readonly string[], options?: ErrorOptions) {
    super(lines.join('\n'), options);
    this.exitCode = exitCode;
    this.lines = lines;
  }
}

/** Printable ASCII only, one line, at most 500 characters: fit for a terminal, whoever wrote it. */
export function oneLine(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, 500);
}
