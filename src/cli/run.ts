/** `ringfence run`: the composition root. */
import { AdminStartError } from '../admin/server.ts';
import type { Config } from '../config/types.ts';
import { CertFileError } from '../control/cert-files.ts';
import { KeyFileError } from '../control/key-files.ts';
import { openStateFile, type StateFile } from '../control/state-file.ts';
import { StartError } from '../datapath/engine.ts';
import { createPump } from '../datapath/inspection-pump.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import { formatEndpoint } from '../wire/address.ts';
import { SYSTEM_CLOCK } from './clock.ts';
import { composeFence, type Fence } from './compose.ts';
import { readConfigWithText } from './config-file.ts';
import { descriptorWarning } from './descriptors.ts';
import { createEngines, type Engines } from './engines.ts';
import { CliError, EXIT, oneLine } from './exit.ts';
import { type House, logSink, openHouse } from './house.ts';
import { type ConfigWatch, type ConfigWatchOptions, watchConfig } from './reload.ts';
import { type Signals, takeSignals } from './signals.ts';
import { VERSION } from './version.ts';

/** Runs the fences of `file` until a signal ends them. Resolves with the exit code; a start that fails rejects with a CliError. */
export async function run(file: string, engines = createEngines()): Promise<number> {
  const { config, text } = readConfigWithText(file);
  const labels = new Map(config.fences.map(({ name, label }) => [name, label]));
  const log = createLog({ ...config.log, ownLabel: (fence) => labels.get(fence) });
  // A data path whose worker died ends the process on the spot (datapath/linux/transparent.ts); its last words must get out.
  process.once('exit', () => log.close());
  const crashed = watchCrashes(log);
  const signals = takeSignals();
  try {
    log.info({ version: VERSION, node: process.versions.node, pid: process.pid }, 'ringfence starts');
    for (const { level, text } of config.notes) log[level]({}, text);
    const tooFew = descriptorWarning(config.fences);
    if (tooFew !== undefined) log.warn({}, tooFew);
    const running = await open({ file, config, text, log }, engines);
    const { address } = running.house.admin;
    log.info({ admin: formatEndpoint(address) }, `admin API on http://${formatEndpoint(address)}`);
    running.watch.start();
    return await Promise.race([untilSignalled(running, signals, log), crashed]);
  } finally {
    log.close();
  }
}

/** What runs, and the files that it watches and keeps. */
interface Running {
  readonly house: House;
  readonly watch: ConfigWatch;
  readonly stateFile: StateFile | undefined;
}

async function open(start: Omit<ConfigWatchOptions, 'fences'>, engines: Engines): Promise<Running> {
  const { config, log } = start;
  const stateFile = await openState(config, log);
  const env = {
    sink: logSink(log),
    pump: createPump(),
    clock: SYSTEM_CLOCK,
    engines,
    stateFile,
    adminPort: config.admin.address.port,
  };
  const fences: Fence[] = [];
  try {
    for (const fence of config.fences) fences.push(await composeFence(fence, env));
    const watch = await watchConfig({ ...start, fences });
    const house = await openHouse(fences, config.admin, log, { config: watch.last, stateFile: stateFile?.problem });
    return { house, watch, stateFile };
  } catch (error) {
    if (error instanceof KeyFileError) {
      throw new CliError(EXIT.config, [`ringfence: encryption.keyFiles: ${oneLine(error.message)}`], { cause: error });
    }
    if (error instanceof CertFileError) {
      throw new CliError(EXIT.config, [`ringfence: tls: ${oneLine(error.message)}`], { cause: error });
    }
    if (error instanceof StartError || error instanceof AdminStartError) {
      throw new CliError(EXIT.failure, [`ringfence: cannot start: ${oneLine(error.message)}`], { cause: error });
    }
    throw error;
  }
}

function openState({ stateFile }: Config, log: Log): Promise<StateFile | undefined> {
  if (stateFile === undefined) return Promise.resolve(undefined);
  return openStateFile({
    file: stateFile,
    clock: SYSTEM_CLOCK,
    wallNow: Date.now,
    onProblem(why) {
      if (why === undefined) log.info({}, 'the state file was written again');
      else log.warn({}, `the state file: ${oneLine(why)}`);
    },
  });
}

/** First signal: drain, then stop. Second: stop at once. */
async function untilSignalled({ house, watch, stateFile }: Running, signals: Signals, log: Log): Promise<number> {
  const first = await signals.next();
  watch.stop();
  log.info({ signal: first }, `${first}: forwarding goes on until the app is gone or the grace ends`);
  const drained = house.drain().then(() => undefined);
  const hurry = await Promise.race([drained, signals.next()]);
  if (hurry !== undefined) log.warn({ signal: hurry }, `second signal (${hurry}): stopping at once`);
  await house.stop();
  await stateFile?.stop();
  return EXIT.ok;
}

/** Resolves with the exit code once something unforeseen happened, which is logged: going on could mean going on wrongly. */
function watchCrashes(log: Log): Promise<number> {
  return new Promise((resolve) => {
    const crash = (kind: string) => (error: unknown) => {
      log.error({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }, kind);
      resolve(EXIT.failure);
    };
    process.on('uncaughtException', crash('uncaught exception'));
    process.on('unhandledRejection', crash('unhandled rejection'));
  });
}
