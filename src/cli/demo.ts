/** `ringfence demo`: two small clusters on loopback, a recycled address, and what fences make of it. */
import { AdminStartError } from '../admin/server.ts';
import { StartError } from '../datapath/engine.ts';
import { createNarrator, type Narrator, type Output } from '../demo/narrator.ts';
import { castOf, createPods, type Housing } from '../demo/pods.ts';
import { playBare, playFenced, playOpening } from '../demo/story.ts';
import { createBareTransport } from '../demo/transport.ts';
import { parseAddress } from '../wire/address.ts';
import { type DemoFences, openDemoFences } from './demo-fences.ts';
import { CliError, EXIT, oneLine } from './exit.ts';

/** Every goodbye together; with the sockets' end it stays under three seconds. */
const LEAVE_TIMEOUT_MS = 1_000;

export interface DemoOptions {
  readonly fenced: boolean;
  /** The first three bytes of the members' addresses. */
  readonly net?: string;
  /** Port of the admin API on 127.0.0.1; 0 takes a free one. */
  readonly adminPort?: number;
  readonly out?: Output;
  /** Ends the demo besides SIGINT and SIGTERM. */
  readonly signal?: AbortSignal;
}

/** The flags of the sub-command, as typed. */
export interface DemoFlags {
  readonly fence: boolean;
  readonly port: string;
  readonly net: string;
}

/** Checks the flags and runs the demo; a flag that is wrong rejects with a CliError. */
export function demoCommand({ fence, port, net }: DemoFlags): Promise<number> {
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    throw new CliError(EXIT.usage, [`ringfence demo: --port ${oneLine(port)}: a port is a number from 0 to 65535`]);
  }
  if (!/^127\.\d{1,3}\.\d{1,3}$/.test(net) || parseAddress(`${net}.1`) === undefined) {
    throw new CliError(EXIT.usage, [`ringfence demo: --net ${oneLine(net)}: must be loopback, such as 127.0.71`]);
  }
  return demo({ fenced: fence, adminPort: Number(port), net });
}

/** Runs the demo until a signal ends it, or until bare rings have merged; resolves with the exit code. */
export async function demo(options: DemoOptions): Promise<number> {
  const { fenced, net = '127.0.71', adminPort = 9746, out = process.stdout } = options;
  const { NO_COLOR = '' } = process.env;
  const narrator = createNarrator(out, out.isTTY === true && NO_COLOR === '');
  const ending = new AbortController();
  const end = () => ending.abort();
  options.signal?.addEventListener('abort', end, { once: true });
  process.on('SIGINT', end).on('SIGTERM', end);
  try {
    if (!fenced) return await playWithoutFences(net, narrator, ending.signal);
    return await playWithFences(net, adminPort, narrator, ending.signal);
  } catch (error) {
    if (ending.signal.aborted) return EXIT.ok;
    throw explain(error);
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
  }
}

async function playWithFences(net: string, port: number, narrator: Narrator, signal: AbortSignal): Promise<number> {
  const fences: DemoFences = await openDemoFences(castOf(net), port, narrator);
  const pods = createPods(castOf(net), fences.housing, () => undefined);
  try {
    narrator.print('Two Tempo clusters gossip side by side on this machine. Their members predate labels;');
    narrator.print('a fence in front of each one puts the cluster label on what leaves, and lets in its own only.');
    narrator.print(
      `Look around at ${fences.url} : /metrics  /api/v1/status  /api/v1/rejections      (Ctrl-C ends it)\n`,
    );
    const play = { pods, narrator, signal };
    const story = playOpening(play).then(() => playFenced(play, fences.rejected));
    return await Promise.race([story, aborted(signal)]);
  } finally {
    await pods.leaveAll(LEAVE_TIMEOUT_MS);
    const { packets, streams } = fences.rejected();
    await fences.stop();
    const what = `everyone said goodbye; the fences had rejected ${packets} packets and ${streams} connections`;
    if (signal.aborted) narrator.say('plain', 'end', what);
  }
}

async function playWithoutFences(net: string, narrator: Narrator, signal: AbortSignal): Promise<number> {
  const housing: Housing = {
    open: async ({ endpoint }) => ({
      transport: (arrivals) => createBareTransport(endpoint, arrivals),
      close: async () => undefined,
    }),
  };
  const pods = createPods(castOf(net), housing, () => undefined);
  try {
    narrator.print('The same two clusters, without fences.\n');
    const play = { pods, narrator, signal };
    const merged = await Promise.race([playOpening(play).then(() => playBare(play)), aborted(signal)]);
    narrator.print(
      merged
        ? '\nThe two rings are one: traces of one tenant now land in the store of the other. `ringfence demo` plays it fenced.'
        : '\nThe rings did not merge in time; run it again.',
    );
    return merged ? EXIT.ok : EXIT.failure;
  } finally {
    await pods.leaveAll(LEAVE_TIMEOUT_MS);
  }
}

/** Rejects when `signal` aborts: a dial that hangs must not hold up the end. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = () => reject(signal.reason as Error);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}

/** What cannot start, as one line. */
function explain(error: unknown): unknown {
  const message = error instanceof Error ? error.message : String(error);
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (error instanceof AdminStartError)
    return new CliError(EXIT.failure, [`ringfence demo: ${message}; --port chooses another`]);
  if (code === 'EADDRNOTAVAIL') {
    const what =
      'each member of the demo has a loopback address of its own, which Linux has from the start and macOS does not';
    return new CliError(EXIT.failure, [`ringfence demo: ${message}: ${what}`]);
  }
  if (code === 'EADDRINUSE') {
    return new CliError(EXIT.failure, [`ringfence demo: ${message}: is another demo running?`]);
  }
  if (error instanceof StartError) return new CliError(EXIT.failure, [`ringfence demo: ${message}`]);
  return error;
}
