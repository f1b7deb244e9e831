/** Asks every data path once a second whether it is ready, keeps the answers for /readyz, and logs each change once. */
import type { Log } from '../telemetry/log.ts';
import type { Fence } from './compose.ts';

const CHECK_INTERVAL_MS = 1_000;

/** A path that does not answer within it is not ready. */
const CHECK_TIMEOUT_MS = 3_000;

export interface Readiness {
  /** Why the fence is not ready, as last looked; empty when it is. */
  of(fence: string): readonly string[];
  /** Looks now; resolves when every path has answered or timed out. */
  check(): Promise<void>;
  /** Looks from now on. */
  start(): void;
  /** Stops looking; every fence is not ready from then on, because of `why`. */
  end(why: string): void;
}

export function createReadiness(
  fences: readonly Pick<Fence, 'config' | 'path'>[],
  log: Pick<Log, 'info' | 'warn'>,
): Readiness {
  const reasons = new Map<string, readonly string[]>(fences.map(({ config }) => [config.name, ['not started yet']]));
  const logged = new Map<string, string>();
  let timer: NodeJS.Timeout | undefined;
  let ended: string | undefined;
  let checking: Promise<void> | undefined;

  const note = (fence: string, found: readonly string[]) => {
    if (ended !== undefined) return;
    reasons.set(fence, found);
    const text = found.join('; ');
    if (logged.get(fence) === text) return;
    logged.set(fence, text);
    if (text === '') log.info({ fence }, 'ready');
    else log.warn({ fence, reasons: found }, `not ready: ${text}`);
  };

  const checkAll = async (): Promise<void> => {
    await Promise.all(
      fences.map(async ({ config, path }) => {
        note(config.name, await withTimeout(path.notReady()));
      }),
    );
  };

  const check = (): Promise<void> => {
    checking ??= checkAll().finally(() => {
      checking = undefined;
    });
    return checking;
  };

  return {
    of: (fence) => (ended === undefined ? (reasons.get(fence) ?? ['no such fence']) : [ended]),
    check,
    start() {
      timer ??= setInterval(() => void check(), CHECK_INTERVAL_MS);
    },
    end(why) {
      ended = why;
      clearInterval(timer);
    },
  };
}

async function withTimeout(answer: Promise<readonly string[]>): Promise<readonly string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly string[]>((resolve) => {
    timer = setTimeout(() => resolve(['the data path does not answer']), CHECK_TIMEOUT_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } catch (error) {
    return [`readiness cannot be told: ${error instanceof Error ? error.message : String(error)}`];
  } finally {
    clearTimeout(timer);
  }
}
