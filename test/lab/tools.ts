/** What a test of the lab needs of the machine, and what becomes of the test when that is missing. */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const works = (command: string, args: readonly string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore', timeout: 20_000 }).status === 0;

const CHECKS = {
  root: () => process.getuid?.() === 0 && works('unshare', ['--net', '--mount', 'true']),
  ip: () => works('ip', ['-V']),
  nft: () => works('unshare', ['--net', 'nft', 'add table inet probe']),
  curl: () => works('curl', ['--version']),
  setpriv: () => works('setpriv', ['--version']),
  tcpdump: () => works('tcpdump', ['--version']),
  serf: () => works('serf', ['version']),
  'prometheus-alertmanager': () => works('prometheus-alertmanager', ['--version']),
  go: () => works('go', ['version']),
  gcc: () => works('gcc', ['--version']),
  faketime: () => works('faketime', ['-f', '+0', 'true']),
  openssl: () => works('openssl', ['version']),
  koffi: () => {
    try {
      createRequire(import.meta.url)('koffi');
      return true;
    } catch {
      return false;
    }
  },
} as const;

export type Tool = keyof typeof CHECKS;

/** What every lab with fences needs. */
export const LAB_TOOLS = ['root', 'ip', 'nft', 'curl', 'setpriv', 'koffi'] as const satisfies readonly Tool[];

/**
 * Looks for `tools`. False when all are there: it is made to be given as tap's `skip` option. Otherwise the reason to skip, loud in
 * the output too; with CI=true nothing may be left out, so it throws.
 */
export function requireTools(tools: readonly Tool[]): string | false {
  const missing = tools.filter((tool) => !CHECKS[tool]());
  if (missing.length === 0) return false;
  const reason = `LEFT OUT: needs ${missing.map((tool) => (tool === 'root' ? 'root and network namespaces' : tool)).join(', ')}`;
  const { CI } = process.env;
  if (CI === 'true') throw new Error(`${reason} (CI=true: nothing may be left out)`);
  return reason;
}
