/**
 * Where a fence starts that nobody told its stage: as low as the fences of its first peers are, so that an app that comes up in a
 * ring whose fences label or enforce is not cut off by its own fence. The app's first frames wait meanwhile.
 */
import { STAGE_INDEX, STAGES, type Stage } from '../policy/stage.ts';
import type { Clock } from './clock.ts';
import { nearestPossible, type StageBounds } from './stage-guard.ts';

/** Fences that are asked: each is one connection at a time when the app waits. */
export const ASKED_MAX = 8;

/** Of those, the ones that only DNS names: what the app dials is certainly wanted, and comes later. */
export const ASKED_BY_DNS_MAX = 6;

/** The share of the frames' wait after which the start is decided, so that it is in force when the first of them runs out of time. */
const DECIDE_AT = 0.9;

/**
 * Nobody answered in time: how often the same peers are asked again, and how often at most (10 minutes). A fence that took its lowest
 * stage in a ring that enforces is cut off, and gossip then teaches it nothing that it could climb by.
 */
export const LATE_EVERY_MS = 5_000;
export const LATE_MAX = 120;

export interface StarterOptions {
  readonly clock: Clock;
  /** How long a frame waits at most, ms. */
  readonly waitMs: number;
  /** What the fence can be; asked when it is decided, because a reload changes it. */
  bounds(): StageBounds;
  /** Addresses that DNS lists, without our own. */
  listed(): readonly string[];
  /** Whether `address` is admitted and not our own. */
  mayAsk(address: string): boolean;
  /** The stages that the fences at `addresses` report, each once; none of one that is starting itself. Never rejects. */
  first(addresses: readonly string[]): Promise<readonly Stage[]>;
  /** Called once, and once more when it said `default` and a fence answers after all; resolves when it is in force. `by` says why, one line. */
  begin(stage: Stage, origin: 'peers' | 'default', by: string): Promise<void>;
}

export interface Starter {
  /** A frame of the peer at `address` waits; `reached`: no single datagram could have made that up. The first one starts the clock, but for one that nothing names and anybody can make up. */
  seen(peer: { readonly address: string; readonly reached: boolean }): void;
  /** DNS may list more now. */
  look(): void;
  /** Resolves when the stage that this start found is in force, or the starter was stopped; at once while the clock does not run. */
  ended(): Promise<void>;
  /** Asks no more, and what still comes changes nothing. */
  stop(): void;
}

export function createStarter(options: StarterOptions): Starter {
  const { clock } = options;
  const asked = new Set<string>();
  /** Whose datagrams came before anybody was reached: asked only when the start is over, after all others, because anybody can make them up. */
  const heard = new Set<string>();
  const reported: Stage[] = [];
  let waiting = 0;
  let over = false;
  let stopped = false;
  let cancel: (() => void) | undefined;
  let release = () => {};
  const ended = new Promise<void>((resolve) => {
    release = resolve;
  });

  const decide = () => {
    if (over) return;
    over = true;
    cancel?.();
    const { stage, origin, by } = startFrom(reported, asked.size, options.bounds());
    if (origin === 'default') askLate(LATE_MAX);
    void options.begin(stage, origin, by).finally(release);
  };
  const askLate = (left: number) => {
    if (left === 0) return;
    cancel = clock.after(LATE_EVERY_MS, async () => {
      const known = new Set([...asked, ...options.listed(), ...heard]);
      const peers = [...known].filter(options.mayAsk).slice(0, ASKED_MAX);
      const stages = peers.length === 0 ? [] : await options.first(peers);
      if (stopped) return;
      if (stages.length === 0) return askLate(left - 1);
      const { stage, by } = startFrom(stages.slice(0, ASKED_MAX), peers.length, options.bounds());
      void options.begin(stage, 'peers', `${by}, asked late`);
    });
  };
  const ask = async (addresses: readonly string[]) => {
    if (addresses.length === 0) return;
    for (const address of addresses) asked.add(address);
    waiting++;
    const stages = await options.first(addresses);
    waiting--;
    reported.push(...stages.slice(0, ASKED_MAX));
    // Those that were asked have answered, and one of them knows.
    if (waiting === 0 && reported.length > 0) decide();
  };
  const look = () => {
    if (over || cancel === undefined) return;
    const room = ASKED_BY_DNS_MAX - asked.size;
    const fresh = options.listed().filter((address) => !asked.has(address) && options.mayAsk(address));
    void ask(fresh.slice(0, Math.max(0, room)));
  };
  return {
    seen({ address, reached }) {
      // Somebody's datagram, when the app may not be there yet: too early to ask, and the wait for those who come would be spent on it.
      if (over || (!reached && !options.mayAsk(address))) return;
      cancel ??= clock.after(options.waitMs * DECIDE_AT, decide);
      if (!reached && heard.size < ASKED_MAX) heard.add(address);
      if (reached && asked.size < ASKED_MAX && !asked.has(address) && options.mayAsk(address)) void ask([address]);
      look();
    },
    look,
    ended: () => (over || cancel !== undefined ? ended : Promise.resolve()),
    stop() {
      over = true;
      stopped = true;
      cancel?.();
      release();
    },
  };
}

/** Where to start when fences reported `stages`. */
export function startFrom(
  stages: readonly Stage[],
  asked: number,
  bounds: StageBounds,
): { readonly stage: Stage; readonly origin: 'peers' | 'default'; readonly by: string } {
  const lowest = nearestPossible('observe', bounds);
  if (stages.length === 0) {
    const by =
      asked === 0 ? 'no peer was there to ask' : `none of ${asked} peers that were asked has a fence that answers`;
    return { stage: lowest, origin: 'default', by };
  }
  const indices = stages.map((stage) => STAGE_INDEX[stage]);
  const [least, greatest] = [Math.min(...indices), Math.max(...indices)];
  const apart = greatest - least > 1;
  // Next to both the greatest and, unless that is three below it, the least: fenced members may be one stage apart.
  const wanted = STAGES[apart ? greatest - 1 : least] as Stage;
  const stage = nearestPossible(wanted, bounds);
  const counts = STAGES.map((name) => ({
    name,
    count: stages.filter((reportedStage) => reportedStage === name).length,
  }))
    .filter(({ count }) => count > 0)
    .map(({ name, count }) => `${count} at ${name}`)
    .join(', ');
  const loud = apart ? '; THEY ARE MORE THAN ONE STAGE APART, which cuts members off' : '';
  const bound = stage === wanted ? '' : `; ${wanted} cannot be here`;
  return { stage, origin: 'peers', by: `the fences of the first peers are ${counts}${loud}${bound}` };
}
