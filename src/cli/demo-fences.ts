/** The fences of the demo, one a pod, and the admin API over all of them. */
import { startAdmin } from '../admin/server.ts';
import { resolveFence } from '../config/resolve.ts';
import { configSchema } from '../config/schema.ts';
import type { FenceConfig, ListenMode } from '../config/types.ts';
import type { Rejection } from '../datapath/engine.ts';
import { createPump } from '../datapath/inspection-pump.ts';
import type { ListenPath } from '../datapath/listen.ts';
import { createFencedTransport } from '../demo/fenced.ts';
import type { Narrator } from '../demo/narrator.ts';
import type { Housing, PodSpec } from '../demo/pods.ts';
import type { Rejected } from '../demo/story.ts';
import { REASON_SENTENCES } from '../policy/reason.ts';
import { readTallies } from '../policy/tally-reading.ts';
import { formatEndpoint } from '../wire/address.ts';
import { escapeBytes } from '../wire/escape.ts';
import { SYSTEM_CLOCK } from './clock.ts';
import { composeInsideFence, type Fence, type FenceSink } from './compose.ts';
import { createEngines } from './engines.ts';
import { createReadiness, type Readiness } from './readiness.ts';
import { VERSION } from './version.ts';
import { createAdminView } from './views.ts';

/** Where the member itself listens, behind its fence. */
const APP_PORT = 7947;

export interface DemoFences {
  readonly url: string;
  readonly housing: Housing;
  /** What the fences have rejected so far. */
  rejected(): Rejected;
  stop(): Promise<void>;
}

type ListenFence = Fence<ListenPath>;

/** Composes a fence for every pod of `cast` and opens the admin API; a pod's fence opens with the pod. */
export async function openDemoFences(
  cast: readonly PodSpec[],
  adminPort: number,
  narrator: Narrator,
): Promise<DemoFences> {
  const sink: FenceSink = {
    rejection: tellFirst(cast, narrator),
    fault: () => undefined,
    findings: () => undefined,
    say: (fence, _level, message) => narrator.say('fence', `${fence} fence`, message),
  };
  const shared = { sink, pump: createPump(), clock: SYSTEM_CLOCK, engines: createEngines() };
  const env = { ...shared, stateFile: undefined, adminPort: 0 };
  const fences = new Map<string, ListenFence>();
  for (const pod of cast) fences.set(pod.name, await composeInsideFence(configOf(pod), env));
  const all = [...fences.values()];
  const open = new Set<string>();
  const readiness = createReadiness(all, { info: () => undefined, warn: () => undefined });
  // A pod that is not there yet, or no longer, does not make the others unready.
  const ofRunning: Readiness = { ...readiness, of: (name) => (open.has(name) ? readiness.of(name) : []) };
  const view = createAdminView(all, ofRunning, VERSION);
  const admin = await startAdmin(view, { address: { address: '127.0.0.1', port: adminPort }, writeToken: '' });
  readiness.start();
  return {
    url: `http://${formatEndpoint(admin.address)}`,
    housing: housingOf(fences, open),
    rejected: () => sumRejected(all),
    async stop() {
      readiness.end('stopping');
      await admin.stop();
    },
  };
}

/**
 * The stage is enforce, which a listen fence of a configuration file may not have for an app without labels: such an app's own
 * packets would leave past the fence, unlabelled. The demo's members hand everything that they send to their fence, so both
 * directions pass it, and every member of either ring is behind a fence from its first frame on.
 */
function configOf({ name, cluster, endpoint }: PodSpec): FenceConfig & { readonly mode: ListenMode } {
  const app = { address: endpoint.address, port: APP_PORT };
  const file = configSchema.parse({
    fences: [
      { name, cluster, listen: formatEndpoint(endpoint), app: { address: formatEndpoint(app), transport: 'native' } },
    ],
  });
  const [fence] = file.fences;
  if (fence === undefined) throw new TypeError('one fence was written');
  const mode = { kind: 'listen', listen: endpoint, app, appInside: true } as const;
  return { ...resolveFence(fence), stage: 'enforce', ceiling: undefined, mode };
}

function housingOf(fences: ReadonlyMap<string, ListenFence>, open: Set<string>): Housing {
  return {
    async open({ name }) {
      const fence = fences.get(name);
      if (fence === undefined) throw new Error(`no fence is named ${name}`);
      await fence.path.start();
      open.add(name);
      const { app } = (fence.config as FenceConfig & { mode: ListenMode }).mode;
      return {
        transport: (arrivals) => createFencedTransport(fence.path, app, arrivals),
        async close() {
          open.delete(name);
          await fence.path.stop();
        },
      };
    },
  };
}

/** Tells the first rejection of each kind at each fence: fences, directions, kinds and reasons are closed lists, so this ends. */
function tellFirst(cast: readonly PodSpec[], narrator: Narrator): (fence: string, rejection: Rejection) => void {
  const told = new Set<string>();
  return (fence, { direction, kind, reason, peer, label }) => {
    const key = `${fence} ${direction} ${kind} ${reason}`;
    if (told.has(key)) return;
    told.add(key);
    const who = cast.find(({ endpoint }) => endpoint.address === peer.address)?.name ?? 'a stranger';
    const shown = label.length === 0 ? '' : ` "${escapeBytes(label)}"`;
    const [what, way] = [kind === 'packet' ? 'packets' : 'connections', direction === 'inbound' ? 'from' : 'to'];
    narrator.say('fence', `${fence} fence`, `rejects ${what} ${way} ${peer.address} (${who}): ${reason}${shown}`);
    narrator.say('dim', '', REASON_SENTENCES[reason]);
  };
}

function sumRejected(fences: readonly ListenFence[]): Rejected {
  const { rejected } = readTallies(fences.flatMap((fence) => [...fence.tallies()]));
  const sum = (wanted: 'packet' | 'stream') =>
    rejected.filter(({ kind }) => kind === wanted).reduce((total, { value }) => total + value, 0);
  return { packets: sum('packet'), streams: sum('stream') };
}
