/** The configuration file while the fences run: read again on SIGHUP and when its content changes. */
import { ConfigError, parseConfig, readConfigText } from '../config/load.ts';
import type { Config } from '../config/types.ts';
import { createReload, type Reload, type ReloadResult } from '../control/reload.ts';
import { openWatchedFiles, type WatchedFiles } from '../control/watched-files.ts';
import type { Log } from '../telemetry/log.ts';
import { SYSTEM_CLOCK } from './clock.ts';
import type { Fence } from './compose.ts';
import { oneLine } from './exit.ts';

export interface ConfigWatch {
  last: Reload['last'];
  /** Handles SIGHUP and looks at the file from now on. */
  start(): void;
  stop(): void;
}

export interface ConfigWatchOptions {
  readonly file: string;
  /** What the process runs by. */
  readonly config: Config;
  readonly text: string;
  readonly fences: readonly Fence[];
  readonly log: Log;
}

/** Nothing is read before `start`. */
export async function watchConfig(options: ConfigWatchOptions): Promise<ConfigWatch> {
  const { file, log, fences } = options;
  const reload = createReload({
    clock: SYSTEM_CLOCK,
    running: options.config,
    text: options.text,
    parse: (text) => parseConfig(text, file, process.env),
    take: (next, before) => takeConfig(next, before, fences, log),
    onResult: (result) => tell(result, log),
  });
  const watched = await watchText(options, reload);
  const onSignal = () => {
    log.info({ signal: 'SIGHUP' }, 'SIGHUP: the configuration is read again');
    const text = readText(file);
    if (typeof text === 'string') reload.unreadable(text);
    else void reload.take(text.text);
  };
  return {
    last: reload.last,
    start() {
      process.on('SIGHUP', onSignal);
      watched.start();
    },
    stop() {
      process.off('SIGHUP', onSignal);
      watched.stop();
      reload.stop();
    },
  };
}

interface Text {
  readonly text: string;
}

async function watchText({ file, text }: ConfigWatchOptions, reload: Reload): Promise<WatchedFiles<Text>> {
  // The first look sees what the process runs by: whatever the file has become since then is a change.
  let first: Text | undefined = { text };
  let last = text;
  const watched = await openWatchedFiles<Text>({
    async load() {
      const found = first ?? readText(file);
      first = undefined;
      return found;
    },
    same: (a, b) => a.text === b.text,
    onChange(value) {
      last = value.text;
      if (!reload.has(last)) void reload.take(last);
    },
    fault: () => undefined,
    broken: (why) => why,
    onProblem(why) {
      if (why !== undefined) reload.unreadable(why);
      else if (!reload.has(last)) void reload.take(last);
    },
  });
  if (typeof watched === 'string') throw new TypeError('the first look cannot fail');
  return watched;
}

/** The file's text, or why there is none. */
function readText(file: string): Text | string {
  try {
    return { text: readConfigText(file) };
  } catch (error) {
    if (error instanceof ConfigError) return oneLine(error.message);
    throw error;
  }
}

function tell(result: ReloadResult, log: Log): void {
  switch (result.outcome) {
    case 'in_force':
      log.info({}, 'the configuration was read again and is in force');
      break;
    case 'rejected':
      for (const why of result.why)
        log.error({}, `the new configuration is rejected, the old one stays: ${oneLine(why)}`);
      break;
    case 'waits':
      log.warn({}, `the new configuration is not in force yet: ${oneLine(result.why)}; it is tried again`);
  }
}

/** Who is admitted first, because the step is judged by that; then, if no stage stands against it, all the rest. */
async function takeConfig(
  next: Config,
  before: Config,
  fences: readonly Fence[],
  log: Log,
): Promise<string | undefined> {
  const pairs = fences.flatMap((fence) => {
    const [to, from] = [next, before].map(({ fences: all }) => all.find(({ name }) => name === fence.config.name));
    return to === undefined || from === undefined ? [] : [{ fence, to, from }];
  });
  for (const { fence, to } of pairs) await fence.reconfigure.identity(to);
  for (const { fence, to, from } of pairs) {
    const why = await fence.reconfigure.refusal(to, from);
    if (why !== undefined) return `${fence.config.name}: ${why}`;
  }
  for (const { fence, to, from } of pairs) {
    const why = await fence.reconfigure.take(to, from);
    if (why !== undefined) return `${fence.config.name}: ${why}`;
  }
  log.setLevel(next.log.level);
  const known = new Set(before.notes.map(({ text }) => text));
  for (const { level, text } of next.notes) if (!known.has(text)) log[level]({}, text);
  return undefined;
}
