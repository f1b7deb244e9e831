/** A load under watch: what is written must arrive at every reader, and nobody may be missing from anybody's member list. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Findings that are kept; all are counted. */
const FINDINGS_MAX = 50;
/** Failed questions in a row that are a finding. */
const FAILURES_MAX = 3;

export interface Watched {
  readonly name: string;
  /** What the others' member lists know it by. */
  readonly id: string;
  /** Words that it has now. */
  words(): Promise<readonly string[]>;
  /** Ids of the members that it sees. */
  view(): Promise<readonly string[]>;
}

interface Written {
  readonly atMs: number;
  /** When each reader was seen to have it. */
  readonly arrivedMs: Map<string, number>;
  /** Readers that were asked when it was overdue, and had it not. */
  readonly lateAt: Set<string>;
}

export interface ArrivalTimes {
  /** How often each reader is asked. */
  readonly pollMs: number;
  /** How long a word may be on its way. */
  readonly boundMs: number;
}

export interface Arrivals {
  /** Runs until `stop`. */
  start(): void;
  stop(): Promise<void>;
  written(word: string): void;
  count(): number;
  /** Runs a planned restart: until it resolves, `name` is not asked, nobody need see it, and words may be on their way for longer. A failure goes to the caller. */
  restart(name: string, action: () => Promise<void>): Promise<void>;
  /** Whether `name` is not restarting. */
  settled(name: string): boolean;
  /**
   * Words that a reader had not when it was asked more than `boundMs` after they were written, or after the end of a restart on their
   * way; one line each. What the answer lacks counts, and not when it came: a slow machine makes nothing late.
   */
  late(): readonly string[];
  /** The slowest arrival of a word during whose way nobody restarted, ms. */
  slowestMs(): number;
  /** Who was missing from whose list, and which reader could not be asked; one line each. */
  findings(): readonly string[];
  /** What each reader lacks now, of everything written. Empty: nothing was lost. */
  missing(): Promise<readonly string[]>;
}

export function createArrivals(watched: readonly Watched[], times: ArrivalTimes): Arrivals {
  return new Watch(watched, times);
}

class Watch implements Arrivals {
  readonly #watched: readonly Watched[];
  readonly #times: ArrivalTimes;
  readonly #all = new Map<string, Written>();
  readonly #restarts: { readonly fromMs: number; untilMs: number }[] = [];
  readonly #resting = new Set<string>();
  /** Failed questions in a row. */
  readonly #failed = new Map<string, number>();
  readonly #findings: string[] = [];
  #found = 0;
  #running = false;
  #loops: Promise<void>[] = [];

  constructor(watched: readonly Watched[], times: ArrivalTimes) {
    this.#watched = watched;
    this.#times = times;
  }

  start(): void {
    this.#running = true;
    this.#loops = this.#watched.map(async (who) => {
      while (this.#running) {
        await this.#ask(who);
        await sleep(this.#times.pollMs);
      }
    });
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
  }

  written(word: string): void {
    this.#all.set(word, { atMs: Date.now(), arrivedMs: new Map(), lateAt: new Set() });
  }

  count(): number {
    return this.#all.size;
  }

  settled(name: string): boolean {
    return !this.#resting.has(name);
  }

  async restart(name: string, action: () => Promise<void>): Promise<void> {
    const span = { fromMs: Date.now(), untilMs: Number.POSITIVE_INFINITY };
    this.#restarts.push(span);
    this.#resting.add(name);
    await action();
    this.#resting.delete(name);
    span.untilMs = Date.now();
  }

  late(): readonly string[] {
    return [...this.#all].flatMap(([word, { atMs, arrivedMs, lateAt }]) => {
      const say = (name: string) => `${name} (${(arrivedMs.get(name) ?? Number.NaN) - atMs} ms)`;
      return lateAt.size === 0 ? [] : [`${word} at ${[...lateAt].map(say).join(', ')}`];
    });
  }

  slowestMs(): number {
    const calm = (fromMs: number, untilMs: number) =>
      this.#restarts.every((span) => span.untilMs < fromMs || span.fromMs > untilMs);
    const taken = [...this.#all.values()].flatMap(({ atMs, arrivedMs }) =>
      [...arrivedMs.values()].filter((ms) => calm(atMs, ms)).map((ms) => ms - atMs),
    );
    return Math.max(0, ...taken);
  }

  findings(): readonly string[] {
    const more = this.#found - this.#findings.length;
    return more > 0 ? [...this.#findings, `and ${more} more`] : this.#findings;
  }

  async missing(): Promise<readonly string[]> {
    const lacks: string[] = [];
    for (const who of this.#watched) {
      const words = new Set(await who.words());
      const gone = [...this.#all.keys()].filter((word) => !words.has(word));
      if (gone.length > 0) lacks.push(`${who.name} lacks ${gone.length}: ${gone.slice(0, 10)}`);
    }
    return lacks;
  }

  /** `boundMs` after it was written, or after the last restart on its way ended. */
  #due(atMs: number): number {
    const { boundMs } = this.#times;
    let dueMs = atMs + boundMs;
    for (const { fromMs, untilMs } of this.#restarts) {
      if (fromMs <= dueMs && untilMs >= atMs) dueMs = Math.max(dueMs, untilMs + boundMs);
    }
    return dueMs;
  }

  async #ask(who: Watched): Promise<void> {
    const { name } = who;
    if (!this.settled(name)) return;
    const others = this.#watched.filter((other) => other !== who && this.settled(other.name));
    const askedMs = Date.now();
    try {
      const [words, view] = [new Set(await who.words()), await who.view()];
      if (!this.settled(name)) return;
      this.#failed.delete(name);
      this.#note(name, words, askedMs);
      for (const other of others) {
        if (this.settled(other.name) && !view.includes(other.id)) this.#find(`${name} does not see ${other.name}`);
      }
    } catch (error) {
      if (!this.settled(name)) return;
      const times = (this.#failed.get(name) ?? 0) + 1;
      this.#failed.set(name, times);
      // A machine that is busy elsewhere fails once; what hangs fails again.
      if (times >= FAILURES_MAX) this.#find(`${name} does not answer: ${(error as Error).message}`);
    }
  }

  #note(name: string, words: ReadonlySet<string>, askedMs: number): void {
    const nowMs = Date.now();
    for (const [word, { atMs, arrivedMs, lateAt }] of this.#all) {
      if (arrivedMs.has(name)) continue;
      if (words.has(word)) arrivedMs.set(name, nowMs);
      else if (askedMs > this.#due(atMs)) lateAt.add(name);
    }
  }

  #find(what: string): void {
    this.#found++;
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push(`${new Date().toISOString()} ${what}`);
  }
}
