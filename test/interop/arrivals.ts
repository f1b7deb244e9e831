/** A load under watch: what is written must arrive at every reader, and nobody may be missing from anybody's member list. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Findings that are kept; all are counted. */
const FINDINGS_MAX = 50;

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
  /** When each reader had it first. */
  readonly arrivedMs: Map<string, number>;
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
  /** Words that did not arrive everywhere within `boundMs` of being written, or of the end of a restart on their way; one line each. */
  late(boundMs: number): readonly string[];
  /** The slowest arrival of a word during whose way nobody restarted, ms. */
  slowestMs(): number;
  /** Who was missing from whose list, and which reader could not be asked; one line each. */
  findings(): readonly string[];
  /** What each reader lacks now, of everything written. Empty: nothing was lost. */
  missing(): Promise<readonly string[]>;
}

/** Asks each of `watched` every `pollMs`. */
export function createArrivals(watched: readonly Watched[], pollMs: number): Arrivals {
  const all = new Map<string, Written>();
  const restarts: { readonly fromMs: number; untilMs: number }[] = [];
  const resting = new Set<string>();
  const settled = (name: string) => !resting.has(name);
  const findings: string[] = [];
  let found = 0;
  let running = false;
  let loops: Promise<void>[] = [];
  const find = (what: string) => {
    found++;
    if (findings.length < FINDINGS_MAX) findings.push(`${new Date().toISOString()} ${what}`);
  };
  const calm = (fromMs: number, untilMs: number) =>
    restarts.every((span) => span.untilMs < fromMs || span.fromMs > untilMs);

  /** `boundMs` after it was written, or after the last restart on its way ended. */
  function due(atMs: number, boundMs: number): number {
    let dueMs = atMs + boundMs;
    for (const { fromMs, untilMs } of restarts) {
      if (fromMs <= dueMs && untilMs >= atMs) dueMs = Math.max(dueMs, untilMs + boundMs);
    }
    return dueMs;
  }

  async function ask(who: Watched): Promise<void> {
    if (!settled(who.name)) return;
    const others = watched.filter((other) => other !== who && settled(other.name));
    try {
      const [words, view] = [await who.words(), await who.view()];
      if (!settled(who.name)) return;
      const nowMs = Date.now();
      for (const word of words) {
        const entry = all.get(word);
        if (entry !== undefined && !entry.arrivedMs.has(who.name)) entry.arrivedMs.set(who.name, nowMs);
      }
      for (const { name, id } of others) {
        if (settled(name) && !view.includes(id)) find(`${who.name} does not see ${name}`);
      }
    } catch (error) {
      if (settled(who.name)) find(`${who.name} does not answer: ${(error as Error).message}`);
    }
  }

  const loop = async (who: Watched) => {
    while (running) {
      await ask(who);
      await sleep(pollMs);
    }
  };
  return {
    start() {
      running = true;
      loops = watched.map(loop);
    },
    async stop() {
      running = false;
      await Promise.all(loops);
    },
    written: (word) => void all.set(word, { atMs: Date.now(), arrivedMs: new Map() }),
    count: () => all.size,
    settled,
    async restart(name, action) {
      const span = { fromMs: Date.now(), untilMs: Number.POSITIVE_INFINITY };
      restarts.push(span);
      resting.add(name);
      await action();
      resting.delete(name);
      span.untilMs = Date.now();
    },
    late(boundMs) {
      const lines: string[] = [];
      for (const [word, { atMs, arrivedMs }] of all) {
        const dueMs = due(atMs, boundMs);
        if (Date.now() < dueMs) continue;
        const slow = watched.filter(({ name }) => (arrivedMs.get(name) ?? Number.POSITIVE_INFINITY) > dueMs);
        const say = ({ name }: Watched) => `${name} (${(arrivedMs.get(name) ?? Number.NaN) - atMs} ms)`;
        if (slow.length > 0) lines.push(`${word} at ${slow.map(say).join(', ')}`);
      }
      return lines;
    },
    slowestMs() {
      const taken = [...all.values()].flatMap(({ atMs, arrivedMs }) =>
        [...arrivedMs.values()].filter((ms) => calm(atMs, ms)).map((ms) => ms - atMs),
      );
      return Math.max(0, ...taken);
    },
    findings: () => (found > findings.length ? [...findings, `and ${found - findings.length} more`] : findings),
    async missing() {
      const lacks: string[] = [];
      for (const who of watched) {
        const words = new Set(await who.words());
        const gone = [...all.keys()].filter((word) => !words.has(word));
        if (gone.length > 0) lacks.push(`${who.name} lacks ${gone.length}: ${gone.slice(0, 10)}`);
      }
      return lacks;
    },
  };
}
