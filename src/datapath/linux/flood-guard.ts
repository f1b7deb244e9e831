/**
 * The flood guard of a fence: while more foreign packets arrive than a limit, the kernel drops them at the fence's own UDP sockets
 * (flood-filter.ts), all but a sample, so that they cost neither time nor room in the receive buffer, which the own cluster needs.
 * It also counts what the kernel dropped there. It lives in the engine's thread, beside the sockets.
 */
import { createRejectedCount } from '../../policy/rejected-count.ts';
import type { Tally } from '../../policy/tally.ts';
import type { Fault, FenceRules, Rejection } from '../engine.ts';
import type { Timer, Timers } from '../timers.ts';
import { buildFloodFilter } from './flood-filter.ts';
import { FloodMeter } from './flood-meter.ts';
import { DROPPABLE_REASONS, droppable } from './flood-rules.ts';
import { FloodSources } from './flood-sources.ts';
import { attachFilter, detachFilter, dropsAt, type FilterCalls } from './socket-filter.ts';
import { udpOverflows } from './udp-overflows.ts';

/** How often the rates are looked at while packets are rejected, ms: a flood goes on that long at full cost. */
export const LOOK_MS = 100;
/** How often the kernel's counts are read while nothing is dropped by a filter, ms: each costs a call a socket. Calm is looked at no more often. */
const CALM_COUNT_MS = 1_000;
/** How often the list of addresses to block may change, ms. */
const REFRESH_MS = 1_000;
/** Of 1,000 packets that the filter could drop: 60,000 a second leave 60 whose reasons are seen. */
export const SAMPLE_PER_THOUSAND = 1;

const HERE = { direction: 'inbound', transport: 'native', kind: 'packet' } as const;
const COUNTS = 2 ** 32;

export interface FloodGuardOptions {
  readonly calls: FilterCalls;
  readonly timers: Timers;
  /** ms; never runs backwards. */
  now(): number;
  readonly label: Uint8Array;
  readonly rules: FenceRules;
  /** Rejected packets a second from which a flood is on; 0: the guard is off. */
  readonly packetsPerSecond: number;
  /** What comes in by the loopback interface is the app's own (transparent mode). */
  readonly loopbackPasses: boolean;
  /** The buffer of the tally that this fence's packets are counted in, by this thread alone. */
  readonly tallyBuffer: ArrayBufferLike;
  readonly tally: Pick<Tally, 'dropped'>;
  /** The guard went on, or off again. */
  onActive(active: boolean): void;
  onFault(fault: Fault): void;
  /** For tests. */
  overflows?(): number | undefined;
}

export interface FloodGuard {
  /** Watches these sockets from now on, until `stop`; they are new, or have lost nothing that is to be counted. */
  watch(sockets: readonly number[]): void;
  /** Told of every rejection of this thread. */
  rejected(rejection: Rejection): void;
  /** Brings the filter in line with new rules before it returns: nothing is dropped then that they would pass. */
  takeRules(rules: FenceRules): void;
  /** Counts what is left to count. Before the sockets are closed. */
  stop(): void;
}

export function createFloodGuard(options: FloodGuardOptions): FloodGuard {
  return new Guard(options);
}

class Guard implements FloodGuard {
  readonly #options: FloodGuardOptions;
  readonly #rejected: () => number;
  readonly #sources = new FloodSources();
  readonly #meter: FloodMeter;
  #rules: FenceRules;
  /** Each with what it had dropped at the last look. */
  #sockets: { readonly fd: number; drops: number }[] = [];
  #timer: Timer | undefined;
  /** Nothing was rejected lately: the first that is makes the looks frequent. A hundred fences at rest cost a tenth that way. */
  #calm = false;
  /** Whether a filter is on the sockets. */
  #attached = false;
  #attachedAtMs = 0;
  #overflows = 0;
  /** Lost at the sockets while a filter was there. */
  #dropped = 0;
  #countedAtMs = 0;
  /** Why the kernel took no filter when it was last asked; under a flood it is asked at every look, and said once. */
  #refusal: string | undefined;

  constructor(options: FloodGuardOptions) {
    this.#options = options;
    this.#rules = options.rules;
    this.#rejected = createRejectedCount(options.tallyBuffer, HERE, DROPPABLE_REASONS);
    this.#meter = new FloodMeter(options.packetsPerSecond, options.now(), this.#counts());
  }

  watch(sockets: readonly number[]): void {
    // A kernel that does not count drops could not tell when a flood ends.
    this.#sockets = sockets.flatMap((fd) => {
      const drops = dropsAt(this.#options.calls, fd);
      return drops === undefined ? [] : [{ fd, drops }];
    });
    if (this.#sockets.length > 0) this.#wait(true);
  }

  rejected({ direction, kind, labelState, peer, atMs, wouldRejectAt }: Rejection): void {
    if (direction !== 'inbound' || kind !== 'packet' || wouldRejectAt !== undefined) return;
    if (this.#calm) {
      this.#timer?.clear();
      this.#meter.rested(this.#options.now());
      this.#wait(false);
    }
    if (labelState !== 'none') return;
    this.#sources.note(peer.address, atMs);
  }

  takeRules(rules: FenceRules): void {
    this.#rules = rules;
    if (this.#meter.active) this.#renew('the rules of now reject nothing by its label');
  }

  stop(): void {
    this.#timer?.clear();
    this.#calm = false;
    this.#detach();
    if (this.#meter.end()) this.#options.onActive(false);
    this.#sockets = [];
  }

  #wait(calm: boolean): void {
    this.#calm = calm;
    this.#timer = this.#options.timers.set(calm ? CALM_COUNT_MS : LOOK_MS, () => this.#look());
  }

  #look(): void {
    const nowMs = this.#options.now();
    if (this.#attached || nowMs - this.#countedAtMs >= CALM_COUNT_MS) this.#countDrops();
    const changed = this.#meter.look(nowMs, this.#counts());
    if (changed && this.#meter.active) this.#begin();
    else if (changed) this.#end();
    else if (this.#meter.active && nowMs - this.#attachedAtMs >= REFRESH_MS && this.#sources.refresh(nowMs)) {
      this.#renew('the kernel does not take the filter of now');
    }
    this.#wait(!this.#meter.active && this.#meter.perSecond === 0);
  }

  /** Puts the filter of now in the place of the one before, or ends it. */
  #renew(why: string): void {
    if (this.#attach()) return;
    this.#meter.end();
    this.#say('flood_guard_off', `flood guard off: ${why}`);
  }

  #begin(): void {
    this.#sources.refresh(this.#options.now());
    if (!this.#attach()) {
      this.#meter.end();
      return;
    }
    const why = `${Math.round(this.#meter.perSecond)} packets a second were rejected`;
    const what = `the kernel drops such packets now, all but ${SAMPLE_PER_THOUSAND} of 1000`;
    this.#say('flood_guard_on', `flood guard on: ${why}; ${what}`);
  }

  #end(): void {
    this.#detach();
    const rate = Math.round(this.#meter.perSecond);
    this.#say('flood_guard_off', `flood guard off: foreign packets are down to ${rate} a second`);
  }

  /** Puts the filter of now on every socket; false: nothing may be dropped, or the kernel refused, and there is none on any. */
  #attach(): boolean {
    const unlabelled = droppable(this.#rules, this.#sources.list());
    if (unlabelled === undefined) {
      this.#detach();
      return false;
    }
    const { label, loopbackPasses } = this.#options;
    const filter = { label, loopbackPasses, samplePerThousand: SAMPLE_PER_THOUSAND };
    const program = buildFloodFilter({ ...filter, unlabelled });
    // Without the addresses it is small: net.core.optmem_max bounds what a socket may hold of programs.
    const small = () => buildFloodFilter({ ...filter, unlabelled: { kind: 'none' } });
    this.#countDrops();
    if (!this.#attached) this.#overflows = this.#readOverflows();
    this.#attached = true;
    this.#attachedAtMs = this.#options.now();
    for (const { fd } of this.#sockets) {
      const refused = this.#put(fd, program, small);
      if (refused === undefined) continue;
      this.#detach();
      const message = `the kernel takes no filter: ${refused}`;
      if (refused !== this.#refusal) this.#options.onFault({ code: 'flood_filter', message });
      this.#refusal = refused;
      return false;
    }
    this.#refusal = undefined;
    return true;
  }

  #put(fd: number, program: Buffer, small: () => Buffer): string | undefined {
    const { calls } = this.#options;
    if (attachFilter(calls, fd, program) === undefined) return undefined;
    // The former one counts as long as it is there.
    detachFilter(calls, fd);
    if (attachFilter(calls, fd, program) === undefined) return undefined;
    return attachFilter(calls, fd, small());
  }

  #detach(): void {
    for (const { fd } of this.#sockets) detachFilter(this.#options.calls, fd);
    // Afterwards: what it dropped to the last is its own.
    this.#countDrops();
    this.#attached = false;
  }

  /** While a filter is on, what was not lost to a full buffer is what it dropped. */
  #countDrops(): void {
    const { calls, tally } = this.#options;
    this.#countedAtMs = this.#options.now();
    let dropped = 0;
    for (const socket of this.#sockets) {
      const drops = dropsAt(calls, socket.fd) ?? socket.drops;
      // The kernel counts modulo 2^32.
      dropped += (drops - socket.drops + COUNTS) % COUNTS;
      socket.drops = drops;
    }
    let filtered = 0;
    if (this.#attached) {
      const overflows = this.#readOverflows();
      filtered = Math.max(0, dropped - Math.max(0, overflows - this.#overflows));
      this.#overflows = overflows;
    }
    if (filtered > 0) tally.dropped('kernel_filter', filtered);
    if (dropped > filtered) tally.dropped('socket_overflow', dropped - filtered);
    // The flood's rate has both: what overflows elsewhere in the namespace must not make it look over.
    if (this.#attached) this.#dropped += dropped;
  }

  #readOverflows(): number {
    return (this.#options.overflows ?? udpOverflows)() ?? 0;
  }

  #counts() {
    return { rejected: this.#rejected(), dropped: this.#dropped };
  }

  #say(code: 'flood_guard_on' | 'flood_guard_off', message: string): void {
    this.#options.onActive(this.#meter.active);
    this.#options.onFault({ code, message });
  }
}
