/**
 * Which addresses DNS vouches for: every name is looked up on a fixed refresh, and at once when somebody unknown appears. What is known
 * only ever grows by an answer and shrinks by an answer plus the grace: a name that cannot be looked up keeps its last good answer, and
 * an empty answer is an answer, never "everyone".
 */
import { canonicalAddress } from '../policy/admission.ts';
import { createNameState, type DnsName, merged, type NameState } from './resolver-name.ts';
import type { DnsAnswer, Resolver, ResolverOptions } from './resolver-types.ts';

export type { DnsAnswer, DnsName, Resolver };

/** The least time between the starts of two rounds, ms: whoever sends us frames must not choose how often DNS is asked. */
export const ROUND_GAP_MS = 1_000;

/** How long one look-up may take, ms; its own time-outs are shorter (cli/dns.ts), this one is for those that hang. */
export const LOOKUP_TIMEOUT_MS = 10_000;

/** Addresses of one answer. A DNS message of 64 KiB holds some 6,000, so more is no honest answer. */
export const ADDRESSES_MAX = 10_000;

/** Names that the configuration lost and that still vouch for somebody; the first to go make room. */
export const GONE_MAX = 64;

/** Makes a resolver; `start` sets it going. */
export function createResolver(options: ResolverOptions): Resolver {
  return new NameResolver(options);
}

/** A round that waits for its time, or is under way. */
interface Round {
  readonly over: Promise<void>;
  readonly end: () => void;
  atMs: number;
  cancel: () => void;
}

class NameResolver implements Resolver {
  readonly #options: ResolverOptions;
  #graceMs: number;
  #names: NameState[];
  /** Names that the configuration no longer has, while what they listed is within the grace, or a name that it has never answered. */
  #gone: NameState[] = [];
  #addresses: readonly string[] = [];
  #listed: readonly string[] = [];
  #running = false;
  /** Planned or under way; there is one whenever it runs and has names. */
  #round: Round | undefined;
  #underWay = false;
  /** Names came while a round was under way: the next one begins as soon as it may. */
  #hurry = false;
  #startedMs = Number.NEGATIVE_INFINITY;
  #cancelExpiry = () => {};

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#graceMs = options.graceMs;
    this.#names = options.names.map(createNameState);
  }

  addresses(): readonly string[] {
    return this.#addresses;
  }

  listed(): readonly string[] {
    return this.#listed;
  }

  answered(): boolean {
    return this.#names.every((name) => name.view().lastSuccessMs > 0);
  }

  names(): readonly DnsName[] {
    return this.#names.map((name) => name.view());
  }

  ask(): Promise<void> {
    return this.#hasten()?.over ?? Promise.resolve();
  }

  change({ names, graceMs }: { readonly names: readonly string[]; readonly graceMs: number }): void {
    const nowMs = this.#options.clock.now();
    const known = new Map([...this.#gone, ...this.#names].map((state) => [state.name, state]));
    const stay = new Set(names);
    for (const state of this.#names) if (!stay.has(state.name)) state.leave(nowMs);
    this.#gone = [...known.values()].filter((state) => !stay.has(state.name) && !state.empty()).slice(-GONE_MAX);
    this.#names = names.map((name) => known.get(name) ?? createNameState(name));
    this.#graceMs = graceMs;
    this.#hurry = this.#underWay;
    if (this.#names.length === 0) this.#dropRound();
    else this.#hasten();
    this.#expire();
    this.#publish([], true);
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#expire();
    this.#hasten();
  }

  stop(): void {
    this.#running = false;
    this.#cancelExpiry();
    this.#dropRound();
  }

  #dropRound(): void {
    this.#round?.cancel();
    this.#round?.end();
    this.#round = undefined;
    this.#underWay = false;
  }

  /** The round under way, or the next one, brought forward as far as the gap allows; undefined where nothing is to be asked. */
  #hasten(): Round | undefined {
    if (!this.#running || this.#names.length === 0) return undefined;
    if (this.#underWay) return this.#round;
    const atMs = Math.max(this.#options.clock.now(), this.#startedMs + ROUND_GAP_MS);
    if (this.#round === undefined || this.#round.atMs > atMs) this.#plan(atMs);
    return this.#round;
  }

  #plan(atMs: number): void {
    const { clock } = this.#options;
    const waitMs = atMs - clock.now();
    this.#round?.cancel();
    const round = { ...(this.#round ?? opened()), atMs, cancel: () => {} };
    this.#round = round;
    if (waitMs <= 0) this.#begin(round);
    else round.cancel = clock.after(waitMs, () => this.#begin(round));
  }

  #begin(round: Round): void {
    this.#underWay = true;
    this.#hurry = false;
    this.#startedMs = this.#options.clock.now();
    const lookUps = this.#names.map((name) => this.#lookUp(name, round));
    round.cancel = () => {
      for (const { abort } of lookUps) abort();
    };
    void Promise.all(lookUps.map(({ done }) => done)).then(() => {
      if (this.#round === round) this.#finish(round);
    });
  }

  #finish(round: Round): void {
    this.#underWay = false;
    this.#round = undefined;
    // What expired meanwhile waited: an address may have moved from one name to another.
    this.#expire();
    this.#plan(this.#startedMs + (this.#hurry ? ROUND_GAP_MS : this.#options.refreshMs));
    round.end();
  }

  /** Looks one name up. `done` never rejects, and resolves without a word once it is aborted. */
  #lookUp(name: NameState, round: Round): { readonly done: Promise<void>; readonly abort: () => void } {
    const { clock, lookup } = this.#options;
    const controller = new AbortController();
    const settled = new Promise<DnsAnswer>((resolve, reject) => {
      const late = clock.after(LOOKUP_TIMEOUT_MS, () => {
        reject(new Error(`no answer within ${LOOKUP_TIMEOUT_MS / 1_000} s`));
        controller.abort();
      });
      controller.signal.addEventListener('abort', () => {
        late();
        reject(new Error('stopped'));
      });
      Promise.resolve(lookup(name.name, controller.signal)).finally(late).then(resolve, reject);
    });
    const done = settled.then(
      (answer) => {
        if (this.#wants(name, round)) this.#take(name, answer);
      },
      (error: unknown) => {
        if (this.#wants(name, round)) this.#say(name, error instanceof Error ? error.message : String(error));
      },
    );
    return { done, abort: () => controller.abort() };
  }

  /** Whether an answer is still of use: not after a stop, and not for a name that the configuration lost meanwhile. */
  #wants(name: NameState, round: Round): boolean {
    return this.#round === round && this.#names.includes(name);
  }

  #take(name: NameState, { addresses, problem }: DnsAnswer): void {
    const found = new Set<string>();
    for (const address of addresses) {
      const canonical = canonicalAddress(address);
      if (canonical !== undefined) found.add(canonical);
      if (found.size > ADDRESSES_MAX) {
        this.#say(name, `the answer has more than ${ADDRESSES_MAX} addresses`);
        return;
      }
    }
    const first = name.view().lastSuccessMs === 0;
    const before = new Set(this.#listed);
    const changed = name.answer(found, this.#options.clock.now());
    this.#say(name, name.overflown() ?? problem);
    if (changed) this.#publish(first ? [] : [...found].filter((address) => !before.has(address)), true);
  }

  #say(name: NameState, why: string | undefined): void {
    const before = name.view().problem;
    name.setProblem(why);
    if ((before === undefined) !== (why === undefined)) this.#options.onProblem(name.name, why);
  }

  /** Forgets what is out of its grace, but not during a round; plans the next time. */
  #expire(): void {
    if (this.#underWay) return;
    this.#cancelExpiry();
    const { clock } = this.#options;
    const nowMs = clock.now();
    let nextMs = Number.POSITIVE_INFINITY;
    // What a name listed that is gone, or was and has not answered again, stays until all have answered: one of them may list it.
    for (const name of [...this.#names, ...this.#gone].filter((at) => this.answered() || at.view().lastSuccessMs > 0)) {
      nextMs = Math.min(nextMs, name.expire(nowMs - this.#graceMs) + this.#graceMs);
    }
    this.#gone = this.#gone.filter((name) => !name.empty());
    // A millisecond later: what left exactly a grace ago is still within it.
    if (this.#running && nextMs < Number.POSITIVE_INFINITY) {
      this.#cancelExpiry = clock.after(nextMs - nowMs + 1, () => this.#expire());
    }
    this.#publish([], false);
  }

  #publish(anew: readonly string[], always: boolean): void {
    const addresses = merged(
      [...this.#names, ...this.#gone].map((name) => name.addresses()),
      this.#addresses,
    );
    const changed = addresses !== this.#addresses;
    this.#addresses = addresses;
    this.#listed = merged(
      this.#names.map((name) => name.listed()),
      this.#listed,
    );
    if (changed || always) this.#options.onChange(anew);
  }
}

function opened(): Pick<Round, 'over' | 'end'> {
  let end = () => {};
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { over, end };
}
