/** What the status says of names in DNS that admit nobody, or whose answers are old. */
import { escapeText } from '../wire/escape.ts';
import type { FenceView } from './view.ts';

/** Problems are short (cli/dns.ts); this much is shown of one. */
const PROBLEM_BYTES = 300;

export function dnsNotes({ adoption }: Pick<FenceView, 'adoption'>): string[] {
  return adoption.dns().flatMap(({ name, lastSuccessMs, problem, addresses }) => {
    const what = `DNS name ${escapeText(name)}`;
    const why = problem === undefined ? '' : ` (${escapeText(problem, PROBLEM_BYTES)})`;
    if (lastSuccessMs === 0) return [`${what} has not answered yet${why}: nobody is admitted by it.`];
    const since = new Date(lastSuccessMs).toISOString();
    if (why !== '')
      return [`${what} cannot be looked up${why}: its last good answer stays, ${addresses} addresses of ${since}.`];
    return addresses === 0 ? [`${what} has no addresses: nobody is admitted by it.`] : [];
  });
}
