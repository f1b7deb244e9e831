/** How long a suspect has to refute: shorter with every further member that suspects it. Mirrors memberlist suspicion.go. */
import { SUSPICION_MAX_TIMEOUT_MULT, SUSPICION_MULT } from './settings.ts';

export interface Suspicion {
  /** Notes that `from` suspects too; true when that is news (and worth gossiping on). */
  confirm(from: string): boolean;
  cancel(): void;
}

/** Starts the timer; `onTimeout` is called once unless it is cancelled. `members` are those known, the suspect included. */
export function startSuspicion(
  from: string,
  members: number,
  probeIntervalMs: number,
  onTimeout: () => void,
): Suspicion {
  // Two less than the members: ourselves and the suspect cannot confirm (state.go suspectNode).
  const expected = members - 2 < SUSPICION_MULT - 2 ? 0 : SUSPICION_MULT - 2;
  const minMs = SUSPICION_MULT * Math.max(1, Math.log10(Math.max(1, members))) * probeIntervalMs;
  const maxMs = SUSPICION_MAX_TIMEOUT_MULT * minMs;
  const startedMs = performance.now();
  const heard = new Set([from]);
  const remaining = () => {
    const confirmations = heard.size - 1;
    const share = expected === 0 ? 1 : Math.log(confirmations + 1) / Math.log(expected + 1);
    return Math.max(minMs, maxMs - share * (maxMs - minMs)) - (performance.now() - startedMs);
  };
  let timer = setTimeout(onTimeout, remaining());
  return {
    confirm(name) {
      if (heard.size > expected || heard.has(name)) return false;
      heard.add(name);
      clearTimeout(timer);
      timer = setTimeout(onTimeout, Math.max(0, remaining()));
      return true;
    },
    cancel: () => clearTimeout(timer),
  };
}
