/** Who is admitted to one fence, as it changes while the fence runs: its CIDRs, what DNS answers, and what gossip says of addresses. */
import type { Clock } from '../control/clock.ts';
import { createResolver, type DnsName } from '../control/resolver.ts';
import type { Fault, Stranger } from '../datapath/engine.ts';
import {
  type AdmissionRules,
  type Admission as Admits,
  type Cidr,
  createAdmission,
  NO_ADMISSION_RULES,
} from '../policy/admission.ts';
import type { IdentityRules } from '../policy/identity.ts';
import { type AddressRules, NO_ADDRESS_RULES } from '../ring/address-rules.ts';
import type { Ring } from '../ring/ring-types.ts';
import { escapeText } from '../wire/escape.ts';
import type { Lookup } from './dns.ts';

/** Between looks at what gossip says of addresses, ms. */
const LOOK_INTERVAL_MS = 1_000;

/** Who is admitted by address where nothing says who. */
const EVERYONE: readonly Cidr[] = [
  { address: '0.0.0.0', prefix: 0, family: 'ipv4' },
  { address: '::', prefix: 0, family: 'ipv6' },
];

/** CIDRs in force at once: those of several configurations, when reload follows reload while a name does not answer. */
const CIDRS_HELD_MAX = 10_000;

/** The admission part of a fence's configuration (config/types.ts). */
export interface AdmissionConfig {
  readonly cidrs: readonly Cidr[];
  readonly dns: readonly string[];
  readonly names: readonly string[];
  readonly graceMs: number;
}

export interface FenceAdmissionOptions {
  readonly config: AdmissionConfig;
  readonly refreshMs: number;
  /** Undefined while inspection is off: then no names are known. */
  readonly ring: Pick<Ring, 'addressRules' | 'setIdentity'> | undefined;
  readonly lookup: Lookup;
  readonly clock: Clock;
  /** Ends the foreign evidence about an address: DNS lists it anew. */
  absolve(address: string): void;
  onFault(fault: Fault): void;
}

export interface FenceAdmission {
  /** The rules of now; the same object until they change. */
  rules(): AdmissionRules;
  /** Has DNS asked about `peer`, at most once a second; resolves once an answer lists it and the rules say so, or all names were asked, or at once where asking cannot help. Never rejects. */
  ask(peer: Stranger): Promise<void>;
  /** Has what gossip says of addresses looked at now, and not within a second: somebody was rejected for who they are. */
  look(): void;
  /** Who should be there by the last good answers of DNS. */
  listed(): readonly string[];
  /** Whether the configuration names `address` only for a while, or not: DNS is asked, does not list it, and no CIDR of it does. */
  leaves(address: string): boolean;
  /** Whether every name answered at least once. */
  answered(): boolean;
  names(): readonly DnsName[];
  /** Takes another configuration; `rules()` are new when it returns. The CIDRs before it stay until all of its names have answered. */
  change(config: AdmissionConfig): void;
  /** Keeps the rules current from now on; `onChange` is called with every change of them, by `change` as well. */
  start(onChange: (rules: AdmissionRules) => void): void;
  stop(): void;
}

/** Makes the admission of a fence. Its rules are in force once the caller puts them there. */
export function composeAdmission(options: FenceAdmissionOptions): FenceAdmission {
  return new Admission(options);
}

class Admission implements FenceAdmission {
  readonly #options: FenceAdmissionOptions;
  readonly #resolver;
  #config: AdmissionConfig;
  #addresses: AddressRules = NO_ADDRESS_RULES;
  #rules: AdmissionRules;
  /** The configured CIDRs, and while names have not answered since a reload those that were in force before it: nobody is cut by names that fail. */
  #cidrs: readonly Cidr[];
  #byCidr: Admits;
  #identity: IdentityRules | undefined;
  #listed: ReadonlySet<string> = new Set();
  /** Who asked and has no answer yet; who asks has the bounds (datapath/doubts.ts). */
  readonly #waiting = new Set<() => void>();
  #onChange: (rules: AdmissionRules) => void = () => {};
  #cancelLook: (() => void) | undefined;

  constructor(options: FenceAdmissionOptions) {
    const { config, refreshMs, lookup, clock, onFault } = options;
    this.#options = options;
    this.#config = config;
    this.#cidrs = config.cidrs;
    this.#byCidr = byCidrAlone(config);
    this.#resolver = createResolver({
      names: config.dns,
      lookup,
      clock,
      refreshMs,
      graceMs: config.graceMs,
      onChange: (anew) => this.#resolved(anew),
      onProblem: (name, why) => onFault(this.#fault(name, why)),
    });
    this.#rules = this.#make();
    this.#identify();
  }

  rules(): AdmissionRules {
    return this.#rules;
  }

  look(): void {
    if (this.#look()) this.#take();
  }

  async ask({ address }: Stranger): Promise<void> {
    this.look();
    // Whoever is listed already is rejected for another reason.
    if (this.#listed.has(address)) return;
    const over = this.#resolver.ask();
    let listed: (() => void) | undefined;
    const named = new Promise<void>((resolve) => {
      listed = () => {
        if (this.#listed.has(address)) resolve();
      };
      this.#waiting.add(listed);
    });
    await Promise.race([over, named]);
    if (listed !== undefined) this.#waiting.delete(listed);
  }

  listed(): readonly string[] {
    return this.#resolver.listed();
  }

  leaves(address: string): boolean {
    return this.#config.dns.length > 0 && !this.#listed.has(address) && !this.#byCidr.admits(address);
  }

  answered(): boolean {
    return this.#resolver.answered();
  }

  names(): readonly DnsName[] {
    return this.#resolver.names();
  }

  change(config: AdmissionConfig): void {
    const { cidrs, byDns } = this.#rules;
    const before = byDns || cidrs.length > 0 ? cidrs : EVERYONE;
    this.#config = config;
    this.#byCidr = byCidrAlone(config);
    const all = new Map([...config.cidrs, ...before].map((cidr) => [`${cidr.address}/${cidr.prefix}`, cidr]));
    this.#cidrs = [...all.values()].slice(0, CIDRS_HELD_MAX);
    this.#resolver.change({ names: config.dns, graceMs: config.graceMs });
    this.#identify();
    this.#look();
    this.#take();
  }

  start(onChange: (rules: AdmissionRules) => void): void {
    this.#onChange = onChange;
    this.#resolver.start();
    this.#lookLater();
  }

  stop(): void {
    this.#onChange = () => {};
    this.#resolver.stop();
    this.#cancelLook?.();
  }

  #lookLater(): void {
    this.#cancelLook = this.#options.clock.after(LOOK_INTERVAL_MS, () => {
      this.look();
      this.#lookLater();
    });
  }

  /** Whether gossip says something else of addresses than before. */
  #look(): boolean {
    const { ring, clock } = this.#options;
    const latest = ring?.addressRules(clock.now()) ?? NO_ADDRESS_RULES;
    const changed = latest !== this.#addresses;
    this.#addresses = latest;
    return changed;
  }

  #resolved(anew: readonly string[]): void {
    this.#listed = new Set(this.#resolver.listed());
    this.#identify();
    this.#take();
    // After the rules: whoever is absolved is admitted by then.
    for (const address of anew) this.#options.absolve(address);
    // One name may answer long before another: nobody has to wait for the rest of a round.
    for (const look of this.#waiting) look();
  }

  /** What members and instances are held against: nothing about addresses until all that names them is known. */
  #identify(): void {
    const { cidrs, dns, names } = this.#config;
    const byDns = dns.length === 0 ? {} : { dns: this.#resolver.addresses() };
    const unknown = dns.length > 0 && !this.#resolver.answered();
    const identity: IdentityRules = unknown ? { cidrs: [], names } : { cidrs, names, ...byDns };
    if (this.#identity !== undefined && same(identity, this.#identity)) return;
    this.#identity = identity;
    this.#options.ring?.setIdentity(identity);
  }

  #take(): void {
    const made = this.#make();
    if (same(made, this.#rules)) return;
    this.#rules = made;
    this.#onChange(made);
  }

  #make(): AdmissionRules {
    const { dns, names } = this.#config;
    const { misnamed, shared } = this.#addresses;
    if (this.#resolver.answered()) this.#cidrs = this.#config.cidrs;
    const [byDns, byName] = [dns.length > 0, names.length > 0];
    return { cidrs: this.#cidrs, byDns, dns: this.#resolver.addresses(), byName, misnamed, shared };
  }

  #fault(name: string, why: string | undefined): Fault {
    const about = escapeText(name);
    if (why === undefined) return { code: 'dns_answers', about, message: `DNS answers for ${about} again` };
    const known = this.names().some((row) => row.name === name && row.lastSuccessMs > 0);
    const until = known ? 'its last good answer stays' : 'nobody is admitted by it until it answers';
    return { code: 'dns_failing', about, message: `DNS name ${about}: ${why}; ${until}` };
  }
}

/** The configured CIDRs, as if DNS had listed nobody. */
function byCidrAlone({ cidrs }: AdmissionConfig): Admits {
  return createAdmission({ ...NO_ADMISSION_RULES, cidrs, byDns: true });
}

/** Whether two sets of rules are the same: their lists are replaced when they change. */
function same<Rules extends object>(a: Rules, b: Rules): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof Rules>;
  return [...keys].every((key) => a[key] === b[key] || (isEmpty(a[key]) && isEmpty(b[key])));
}

function isEmpty(list: unknown): boolean {
  return Array.isArray(list) && list.length === 0;
}
