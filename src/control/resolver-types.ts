/** The resolver (resolver.ts) as others see it. */
import type { Clock } from './clock.ts';
import type { DnsName } from './resolver-name.ts';

/** What one look-up gave. */
export interface DnsAnswer {
  /** IP addresses as text, in any order and notation; those of an earlier answer included where a part of this one failed. */
  readonly addresses: readonly string[];
  /** What failed although there is an answer; one line. */
  readonly problem?: string | undefined;
}

export interface ResolverOptions {
  readonly names: readonly string[];
  /** Looks one name up; rejects with an Error whose message says why in a few words. Should end soon after `signal`. */
  lookup(name: string, signal: AbortSignal): Promise<DnsAnswer>;
  readonly clock: Clock;
  /** Between the starts of two rounds, ms. */
  readonly refreshMs: number;
  /** How long an address stays after it left the answers, ms. */
  readonly graceMs: number;
  /** `addresses()`, `listed()` or `answered()` changed. `anew`: addresses that were in no answer before, and are in one that is not its name's first. */
  onChange(anew: readonly string[]): void;
  /** A name fails, said once; or, without `why`, answers again. */
  onProblem(name: string, why: string | undefined): void;
}

export interface Resolver {
  /** Admitted now: the last good answers, and what left one within the grace. Sorted; the same array until it changes. */
  addresses(): readonly string[];
  /** The last good answers: who should be there. Sorted; the same array until it changes. */
  listed(): readonly string[];
  /** Whether every name answered at least once. */
  answered(): boolean;
  /** Looks all names up now, or once ROUND_GAP_MS passed since the last time; joins a round that is under way. Resolves when that round is over, or at once when stopped. Never rejects. */
  ask(): Promise<void>;
  /** In the order of the configuration. */
  names(): readonly DnsName[];
  /** Takes other names and another grace; what a name that is gone had listed stays for the grace, and until every other name has answered. New names are looked up soon. */
  change(to: { readonly names: readonly string[]; readonly graceMs: number }): void;
  /** Looks everything up at once, then on the refresh. */
  start(): void;
  /** What is under way is dropped, whatever it brings; what is known stays. */
  stop(): void;
}
