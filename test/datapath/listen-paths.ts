/** Whole listen paths on either engine over the same context: the portable one, and the Linux one with its thread. */
import type { DataPath, PathLimits } from '../../src/datapath/engine.ts';
import { createLinuxEngine } from '../../src/datapath/linux/engine.ts';
import { createEngineListenPath } from '../../src/datapath/linux/listen-path.ts';
import { createListenPath, type ListenPath } from '../../src/datapath/listen.ts';
import type { ListenOptions, WorkerOptions } from '../../src/datapath/options.ts';
import type { TallyReading } from '../../src/policy/tally-reading.ts';
import { createPeerTable, peerTableBytes } from '../../src/ring/peers.ts';
import { freePort } from '../cli/fence-process.ts';
import type { EngineName } from '../lab/engines.ts';
import { LIMITS, makeContext, type TestContext } from './harness.ts';

const PEERS = { peers: 64, windowMs: 600_000, foreignMs: 10_000 };

/** One for the tests of a process. */
const linux = createLinuxEngine();

/** A path that nobody uses: the thread ends with its last path, and takes seconds to come up from the sources. */
let parked: Promise<DataPath> | undefined;

/** Ends the thread, where there is one. */
export async function stopThread(): Promise<void> {
  await (await parked)?.stop();
  parked = undefined;
}

export interface PathOptions {
  readonly host?: string;
  /** Default: one that is free. */
  readonly port?: number;
  readonly app: { readonly address: string; readonly port: number };
  readonly limits?: Partial<PathLimits>;
}

export interface StartedPath {
  readonly path: DataPath;
  /** The portable path, which an app in this process can send through. */
  readonly inside: ListenPath | undefined;
  readonly port: number;
  /** What it counted, in whichever thread. */
  reading(): TallyReading;
}

/** Starts one; rejects as its start does. */
export async function startPath(engine: EngineName, made: TestContext, options: PathOptions): Promise<StartedPath> {
  const { host = '127.0.0.1', port = await freePort(), app, limits } = options;
  const streams = { transport: 'auto', rejectStreams: 'explain', limits: { ...LIMITS, ...limits } } as const;
  const listen: ListenOptions = { listen: { address: host, port }, app, streams };
  if (engine === 'linux') {
    parked ??= park();
    await parked;
  }
  const inside = engine === 'portable' ? createListenPath(made.context, listen) : undefined;
  const path = inside ?? throughThread(made, listen);
  await path.start();
  return { path, inside, port, reading: () => made.reading(path.tallies()) };
}

async function park(): Promise<DataPath> {
  const streams = { transport: 'auto', rejectStreams: 'explain', limits: LIMITS } as const;
  const app = { address: '127.0.0.1', port: 1 };
  const path = throughThread(makeContext(), { listen: { ...app, port: await freePort() }, app, streams });
  await path.start();
  return path;
}

function throughThread(made: TestContext, listen: ListenOptions): DataPath {
  const peersBuffer = new SharedArrayBuffer(peerTableBytes(PEERS.peers));
  const worker: WorkerOptions = {
    ...{ label: made.context.label, peersBuffer, peers: PEERS, rules: made.rules, rings: undefined },
    ask: () => undefined,
    inspect: () => undefined,
    waits: { waitMs: 0, bytesMax: 1 },
    floodPacketsPerSecond: 0,
    inside: () => ({ keys: [], reseal: false, quarantine: undefined }),
  };
  const context = { ...made.context, peers: createPeerTable(peersBuffer, PEERS) };
  return createEngineListenPath(context, { ...listen, worker }, linux);
}
