/** Looks every few seconds for peers that fell back from the own label to none, and says so. */
import type { Clock } from '../control/clock.ts';
import { createFallbackLog } from '../telemetry/fallback-log.ts';
import type { Say } from './adoption.ts';
import type { FenceEvidence } from './evidence.ts';

/** Between looks, ms: a fall-back stays to be seen for as long as the peer sends nothing with the label. */
const LOOK_INTERVAL_MS = 3_000;

export interface FallbackWatch {
  start(): void;
  stop(): void;
}

export function watchFallbacks(
  fence: string,
  evidence: Pick<FenceEvidence, 'fallbacks'>,
  { clock, say }: { readonly clock: Clock; readonly say: Say },
): FallbackWatch {
  const log = createFallbackLog(fence, { warn: (fields, message) => say('warn', message, fields) });
  let cancel: (() => void) | undefined;
  const look = () => {
    log.look(evidence.fallbacks(), clock.now());
    cancel = clock.after(LOOK_INTERVAL_MS, look);
  };
  return {
    start() {
      cancel ??= clock.after(LOOK_INTERVAL_MS, look);
    },
    stop: () => cancel?.(),
  };
}
