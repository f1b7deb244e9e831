/**
 * Asks every other member, again and again, whether it takes frames with the cluster's label: a labelled memberlist ping to its gossip
 * port, by datagram and by connection. An answer proves the way of the data itself; a member that predates labels drops the ping.
 */
import type { ProbeLeg, ProbeReport } from '../ring/evidence.ts';
import type { Clock } from './clock.ts';
import { createRounds, ROUND_TARGETS_MAX } from './rounds.ts';

/** Members that are asked at the same time. */
export const PROBES_IN_FLIGHT_MAX = 32;

/**
 * Rounds in a row without any answer after which a member is asked only once in SELDOM_ROUNDS: a memberlist that predates labels logs an error
 * for each ping that it drops, and in a half-adopted ring it is everybody's.
 */
const PATIENT_ROUNDS = 3;
export const SELDOM_ROUNDS = 6;

/** Somebody to ask. */
export interface ProbeTarget {
  /** Its name by gossip; undefined where only DNS names the address: then whoever is there may answer. */
  readonly name: string | undefined;
  /** As formatAddress writes it. */
  readonly address: string;
  readonly port: number;
  /** Its fence is said to take the label by now, so that an answer may come any moment: it is asked in every round. */
  readonly promising?: boolean;
}

/** What became of one ping. */
export type PingResult =
  /** `label`: what the answer carried; undefined where that cannot be seen (connections, behind the fence's own rules). */
  | { readonly outcome: 'answered'; readonly label: 'own' | 'none' | undefined }
  /** It was sent, and no answer came in time, or something that is none. */
  | { readonly outcome: 'silent' }
  /** It was not asked, or we could not listen: a fault of our side, which says nothing about the member. */
  | { readonly outcome: 'unable' };

/** The sockets of one round. Pings settle within a bound and never reject. */
export interface PingRound {
  /** Undefined where the transport has no datagrams. */
  readonly packet: ((target: ProbeTarget) => Promise<PingResult>) | undefined;
  stream(target: ProbeTarget): Promise<PingResult>;
  /** Once every ping of the round has ended. */
  close(): void;
}

export interface Pinger {
  /** Opens a round; undefined while nobody can be asked: gossip is encrypted and there are no keys, or the transport is not known yet. */
  round(): PingRound | undefined;
}

export interface ProberOptions {
  readonly clock: Clock;
  /** How often each member is asked. With thousands that do not answer, a round takes longer. */
  intervalMs(): number;
  /** Whom to ask now; asked at the start of a round, once a second while there is nobody. Of several at one address and port, any may answer. */
  targets(): readonly ProbeTarget[];
  readonly pinger: Pinger;
  /** The answer to our datagram carried the own label: what no single spoofed datagram can do. */
  onOwn(address: string): void;
}

export interface Prober {
  /** What is known of the member of that name at `address` and `port`; undefined: not asked yet, or no target of the last round. */
  report(target: ProbeTarget): ProbeReport | undefined;
  start(): void;
  stop(): void;
}

const NEVER_ASKED: ProbeLeg = { askedMs: 0, answeredMs: 0, answer: undefined, silentSinceMs: 0 };

interface Entry {
  /** Whom its answers stand for: more than one where several share address and port. */
  readonly names: ReadonlySet<string | undefined>;
  packet: ProbeLeg | undefined;
  stream: ProbeLeg;
  /** Rounds in a row in which no leg was answered. */
  silentRounds: number;
}

/** Whether a member that dropped every ping of late is left in peace in this round. */
function rests({ packet, stream, silentRounds }: Entry, nowMs: number, intervalMs: number): boolean {
  const askedMs = Math.max(packet?.askedMs ?? 0, stream.askedMs);
  // A round begins a little early or late.
  return silentRounds >= PATIENT_ROUNDS && nowMs - askedMs < (SELDOM_ROUNDS - 0.5) * intervalMs;
}

function keyOf(address: string, port: number): string {
  return `${address} ${port}`;
}

/** A prober that is not started yet. It keeps at most ROUND_TARGETS_MAX reports. */
export function createProber({ clock, intervalMs, targets, pinger, onOwn }: ProberOptions): Prober {
  let entries = new Map<string, Entry>();
  let round: PingRound | undefined;

  const endRound = () => {
    round?.close();
    round = undefined;
  };

  const begin = (): readonly ProbeTarget[] => {
    const given = distinct(targets());
    const list = given.map(({ target }) => target);
    round = list.length === 0 ? undefined : pinger.round();
    if (round === undefined) {
      entries = new Map();
      return [];
    }
    const kept = new Map<string, Entry>();
    for (const { target, names } of given) {
      const key = keyOf(target.address, target.port);
      const known = entries.get(key);
      // What another member at the same address answered says nothing about this one.
      const entry = known !== undefined && sameNames(known.names, names) ? known : undefined;
      kept.set(key, {
        names,
        packet: round.packet === undefined ? undefined : (entry?.packet ?? NEVER_ASKED),
        stream: entry?.stream ?? NEVER_ASKED,
        silentRounds: entry?.silentRounds ?? 0,
      });
    }
    entries = kept;
    const [nowMs, restMs] = [clock.now(), intervalMs()];
    const asked = list.filter(({ address, port, promising }) => {
      const entry = kept.get(keyOf(address, port));
      return entry === undefined || promising === true || !rests(entry, nowMs, restMs);
    });
    if (asked.length === 0) endRound();
    return asked;
  };

  const ask = async (target: ProbeTarget, leg: 'packet' | 'stream', ping: PingRound['stream']): Promise<void> => {
    const entry = entries.get(keyOf(target.address, target.port));
    const askedMs = clock.now();
    let result = await ping(target);
    // One datagram may be lost, one connection may meet a full queue: only twice says something.
    if (result.outcome === 'silent') result = await ping(target);
    const before = entry?.[leg];
    if (entry === undefined || before === undefined || result.outcome === 'unable') return;
    entry[leg] = legAfter(before, askedMs, clock.now(), result);
    if (result.outcome === 'answered' && result.label === 'own') onOwn(target.address);
  };

  const rounds = createRounds<ProbeTarget>({
    clock,
    intervalMs,
    inFlightMax: PROBES_IN_FLIGHT_MAX,
    begin,
    async visit(target) {
      if (round === undefined) return;
      const { packet } = round;
      const stream = round.stream.bind(round);
      await Promise.all([
        packet === undefined ? undefined : ask(target, 'packet', packet),
        ask(target, 'stream', stream),
      ]);
      const entry = entries.get(keyOf(target.address, target.port));
      if (entry === undefined) return;
      const legs = entry.packet === undefined ? [entry.stream] : [entry.packet, entry.stream];
      entry.silentRounds = legs.every(({ silentSinceMs }) => silentSinceMs > 0) ? entry.silentRounds + 1 : 0;
    },
    end: endRound,
  });

  return {
    report({ name, address, port }) {
      const entry = entries.get(keyOf(address, port));
      // The address may have gone to somebody else since the round began.
      if (entry === undefined || !entry.names.has(name)) return undefined;
      if ((entry.packet ?? NEVER_ASKED).askedMs + entry.stream.askedMs === 0) return undefined;
      return { packet: entry.packet, stream: entry.stream };
    },
    start: () => rounds.start(),
    stop() {
      rounds.stop();
      endRound();
    },
  };
}

interface Given {
  readonly target: ProbeTarget;
  readonly names: Set<string | undefined>;
}

/** One target for each address and port, without a name where several are given. */
function distinct(targets: readonly ProbeTarget[]): readonly Given[] {
  const byKey = new Map<string, Given>();
  for (const target of targets) {
    const key = keyOf(target.address, target.port);
    const known = byKey.get(key);
    if (known === undefined && byKey.size === ROUND_TARGETS_MAX) continue;
    const names = (known?.names ?? new Set()).add(target.name);
    byKey.set(key, { target: names.size > 1 ? { ...target, name: undefined } : target, names });
  }
  return [...byKey.values()];
}

function sameNames(a: ReadonlySet<string | undefined>, b: ReadonlySet<string | undefined>): boolean {
  return a.size === b.size && [...a].every((name) => b.has(name));
}

function legAfter(
  before: ProbeLeg,
  askedMs: number,
  nowMs: number,
  result: Exclude<PingResult, { outcome: 'unable' }>,
): ProbeLeg {
  if (result.outcome === 'answered') return { askedMs, answeredMs: nowMs, answer: result.label, silentSinceMs: 0 };
  const silentSinceMs = before.silentSinceMs === 0 ? askedMs : before.silentSinceMs;
  return { ...before, askedMs, silentSinceMs };
}
