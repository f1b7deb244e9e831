/** Who is asked, again and again: members by labelled pings, their fences through their admin API. */
import type { Clock } from '../control/clock.ts';
import { createFleet, type Fleet } from '../control/fleet.ts';
import { createProber, type Prober } from '../control/prober.ts';
import { impossible, type StageBounds, stageAbove } from '../control/stage-guard.ts';
import type { FenceContext, StreamSettings } from '../datapath/engine.ts';
import type { Stage } from '../policy/stage.ts';
import { parseAddress } from '../wire/address.ts';
import { createAdminAsker } from './ask-admin.ts';
import type { FenceEvidence } from './evidence.ts';
import { createPinger } from './pinger.ts';
import type { ConfigKeeper } from './reconfigure.ts';

/** How many times longer the interval is while no step is ahead: then the answers only show what is there. */
const REST_FACTOR = 6;

/** How often each member is asked by a fence at `stage` that can be what `bounds` say, ms. */
export function askIntervalMs(probeIntervalMs: number, stage: Stage, bounds: StageBounds): number {
  const next = stageAbove(stage);
  return next !== undefined && impossible(next, bounds) === undefined ? probeIntervalMs : REST_FACTOR * probeIntervalMs;
}

export interface AsksOptions {
  readonly keeper: ConfigKeeper;
  readonly clock: Clock;
  readonly context: FenceContext;
  readonly streams: StreamSettings;
  /** The port of the admin API, here and at every other member; 0: no fence is asked. */
  readonly adminPort: number;
  tallies(): readonly ArrayBufferLike[];
}

export interface Asked extends Pick<FenceEvidence, 'targets' | 'pingTargets'> {
  intervalMs(): number;
}

/** Both are not started yet. */
export function createAsks(
  options: AsksOptions,
  { intervalMs, targets, pingTargets }: Asked,
): { readonly prober: Prober; readonly fleet: Fleet } {
  const { keeper, clock, context, streams, tallies, adminPort } = options;
  const { mode, encryption } = keeper.config();
  const admits = (address: string) => context.admission().admits(address);
  const prober = createProber({
    clock,
    intervalMs,
    targets: pingTargets,
    pinger: createPinger({
      config: {
        mode,
        encryption,
        get dialects() {
          return keeper.config().dialects;
        },
      },
      context,
      streams,
      clock,
      tallies,
    }),
    onOwn(address) {
      const bytes = parseAddress(address);
      if (bytes !== undefined) context.peers.learn(bytes, 'own', context.now());
    },
  });
  const fleet = createFleet({
    clock,
    intervalMs,
    ask: createAdminAsker({ port: adminPort }),
    label: context.label,
    targets: () => (adminPort === 0 ? [] : targets()),
    admits: (address) => adminPort !== 0 && admits(address),
  });
  return { prober, fleet };
}
