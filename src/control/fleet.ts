/** What the fences of the other members say about themselves, through the admin API at each member's address. */
import type { Stage } from '../policy/stage.ts';
import type { FenceReport } from '../ring/evidence.ts';
import { answerLifeMs } from '../ring/readiness.ts';
import type { Clock } from './clock.ts';
import { type AdminAnswer, fenceOf } from './fleet-answer.ts';
import { createRounds, ROUND_TARGETS_MAX } from './rounds.ts';

/** Addresses that are asked at the same time. */
export const FLEET_IN_FLIGHT_MAX = 16;

/** Addresses that a starting fence asks at once, and how long it waits for them, ms. */
export const FIRST_ASKED_MAX = 8;
export const FIRST_WAIT_MS = 2_000;

/** How long a step waits for what the fences say just before it, ms. */
export const REFRESH_WAIT_MS = 2_000;

export interface FleetOptions {
  readonly clock: Clock;
  /** How often each address is asked. */
  intervalMs(): number;
  /** Asks the admin API at an address. Settles within a bound of its own and never rejects. */
  ask(address: string): Promise<AdminAnswer>;
  /** The cluster's label. */
  readonly label: Uint8Array;
  /** Addresses of the other members; asked at the start of a round, once a second while there are none. */
  targets(): readonly { readonly address: string }[];
  /** Whether the admission rules name the address now: nobody else is asked. */
  admits(address: string): boolean;
}

export interface Fleet {
  /**
   * What the fence of `name` at `address` last said; undefined: not asked yet, not lately (ring/readiness.ts answerLifeMs), or not among
   * the last round's targets.
   */
  report(address: string, name: string | undefined): FenceReport | undefined;
  /** Whether a question to `address` has ended, whatever was answered and however long ago; false once it is no target any more. */
  asked(address: string): boolean;
  /**
   * For a fence that starts: the stages that fences of our cluster at `addresses` say they are at (those that are starting themselves
   * left out), within FIRST_WAIT_MS. Asks the first FIRST_ASKED_MAX that are admitted; what the members are called is not checked.
   */
  first(addresses: readonly string[]): Promise<readonly Stage[]>;
  /** Asks those that showed a fence once more, at once; resolves when all have answered, or after REFRESH_WAIT_MS. Never rejects. */
  refresh(): Promise<void>;
  start(): void;
  stop(): void;
}

interface Answered {
  readonly answer: AdminAnswer;
  readonly atMs: number;
  /** Whether the question after it was not answered in time. */
  readonly missed: boolean;
}

/** A fleet client that is not started yet; `first` works all the same. It keeps at most ROUND_TARGETS_MAX answers. */
export function createFleet({ clock, intervalMs, ask, label, targets, admits }: FleetOptions): Fleet {
  const ourLabel = Buffer.from(label).toString('hex');
  let answers = new Map<string, Answered>();

  const visit = async (address: string): Promise<void> => {
    // The rules may have changed since the round began.
    if (!admits(address)) return;
    const answer = await ask(address);
    const before = answers.get(address);
    const late = answer.outcome === 'unknown' && answer.problem === 'timeout';
    // Only two losses in a row say something, as with pings: a busy machine is late once, and what was said stays as old as it is.
    const keeps = late && before?.answer.outcome === 'fences' && !before.missed;
    answers.set(address, keeps ? { ...before, missed: true } : { answer, atMs: clock.now(), missed: false });
  };

  const rounds = createRounds<string>({
    clock,
    intervalMs,
    inFlightMax: FLEET_IN_FLIGHT_MAX,
    begin() {
      const addresses = [...new Set(targets().map(({ address }) => address))]
        .filter(admits)
        .slice(0, ROUND_TARGETS_MAX);
      const kept = addresses.map((address) => [address, answers.get(address)] as const);
      answers = new Map(kept.filter((entry): entry is readonly [string, Answered] => entry[1] !== undefined));
      return addresses;
    },
    visit,
    end() {},
  });

  return {
    report(address, name) {
      const answered = answers.get(address);
      // Where many hang, a round takes minutes: what was said before proves nothing of now.
      if (answered === undefined || clock.now() - answered.atMs > answerLifeMs(intervalMs())) return undefined;
      const { answer, atMs } = answered;
      if (answer.outcome !== 'fences') return { ...answer, atMs };
      const found = fenceOf(answer.fences, ourLabel, name);
      if ('problem' in found) return { outcome: 'unknown', problem: found.problem, atMs };
      const { stage, starting } = found.fence;
      return { outcome: 'fence', stage, starting, atMs };
    },
    asked: (address) => answers.has(address),
    first(addresses) {
      const asked = [...new Set(addresses)].filter(admits).slice(0, FIRST_ASKED_MAX);
      const stages: Stage[] = [];
      return new Promise((resolve) => {
        const cancel = clock.after(FIRST_WAIT_MS, () => resolve([...stages]));
        const each = asked.map(async (address) => {
          const answer = await ask(address);
          if (answer.outcome !== 'fences') return;
          const ours = answer.fences.filter((fence) => fence.label === ourLabel && !fence.starting);
          stages.push(...ours.map(({ stage }) => stage));
        });
        void Promise.allSettled(each).then(() => {
          cancel();
          resolve([...stages]);
        });
      });
    },
    async refresh() {
      const showed = [...answers].filter(([, { answer }]) => answer.outcome === 'fences').map(([address]) => address);
      let next = 0;
      const lane = async (): Promise<void> => {
        for (let address = showed[next++]; address !== undefined; address = showed[next++]) await visit(address);
      };
      let cancel = () => {};
      const late = new Promise<void>((resolve) => {
        cancel = clock.after(REFRESH_WAIT_MS, () => {
          // Whoever is still to be asked is as old as it was.
          next = showed.length;
          resolve();
        });
      });
      await Promise.race([late, Promise.allSettled(Array.from({ length: FLEET_IN_FLIGHT_MAX }, lane))]);
      cancel();
    },
    start: () => rounds.start(),
    stop: () => rounds.stop(),
  };
}
