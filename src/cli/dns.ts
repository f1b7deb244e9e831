/**
 * Looks a name of `admit.dns` up: A and AAAA together, or SRV and then its targets for a name that starts with `_`. Asked are the servers
 * of the system by c-ares (node:dns), which takes long answers by TCP; `/etc/hosts` and caches are not looked at.
 *
 * A part that fails takes nobody with it: where one address family, or one target, cannot be looked up and others answer, what that part
 * last gave stays in the answer, and the failure is said. A name that once answered under a domain of the search list is that name: its
 * failure or emptiness is not papered over by what another domain says, only its absence is.
 */
import { Resolver } from 'node:dns/promises';
import type { DnsAnswer } from '../control/resolver.ts';
import { escapeText } from '../wire/escape.ts';
import { candidatesOf, type ResolvConf, readResolvConf } from './resolv-conf.ts';

/** The first wait for a server and how often each is tried, doubling: 1.5 s for one server, so that a lost packet and its repetition fit into limits.strangerWait. */
const QUERY_TIMEOUT_MS = 500;
const QUERY_TRIES = 2;
/** Targets of an SRV name: one message of 64 KiB holds fewer. Each costs two questions, so a headless service's own A records are cheaper. */
const TARGETS_MAX = 2_000;
/** Targets that are looked up at once. */
const TARGETS_AT_ONCE = 32;

const WORDS: Readonly<Record<string, string>> = {
  ESERVFAIL: 'the server failed (SERVFAIL)',
  EREFUSED: 'the server refused (REFUSED)',
  ETIMEOUT: 'no answer in time',
  ECONNREFUSED: 'no server there (connection refused)',
  EBADRESP: 'the answer cannot be read',
  EFORMERR: 'the server did not understand (FORMERR)',
  ENOTIMP: 'the server cannot answer this (NOTIMP)',
  ECANCELLED: 'cancelled',
};

export interface LookupOptions {
  /** Servers as address or address:port instead of the system's. */
  readonly servers?: readonly string[];
  /** Instead of reading /etc/resolv.conf. */
  readonly resolvConf?: () => Promise<ResolvConf>;
}

/** Looks `name` up; rejects with an Error that says why not. Ends with `signal`. */
export type Lookup = (name: string, signal: AbortSignal) => Promise<DnsAnswer>;

type Family = 'A' | 'AAAA';

/** What was asked: a value, nothing under a name that exists, no such name, or no answer. */
type Outcome<T> =
  | { readonly is: 'found'; readonly value: T; readonly problem?: string | undefined }
  | { readonly is: 'empty' }
  | { readonly is: 'absent' }
  | { readonly is: 'failed'; readonly why: string };

/** Addresses by host and family, as they were last answered. */
type Memory = Map<string, Readonly<Partial<Record<Family, readonly string[]>>>>;

/** What is remembered of a name. */
interface Known {
  /** The name that answered, of the candidates of the search list. */
  readonly candidate: string;
  readonly hosts: Memory;
}

/** Makes a look-up that remembers what each name last answered; callers bound the names. */
export function createLookup({ servers, resolvConf = readResolvConf }: LookupOptions = {}): Lookup {
  const known = new Map<string, Known>();
  return async (name, signal) => {
    // A new one each time reads the servers anew.
    const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES });
    if (servers !== undefined) resolver.setServers(servers);
    const cancel = () => resolver.cancel();
    signal.addEventListener('abort', cancel);
    try {
      return await firstAnswer(resolver, name, candidatesOf(name, await resolvConf()), known, signal);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  };
}

async function firstAnswer(
  resolver: Resolver,
  name: string,
  candidates: readonly string[],
  known: Map<string, Known>,
  signal: AbortSignal,
): Promise<DnsAnswer> {
  const before = known.get(name);
  let failure: string | undefined;
  let empty = false;
  for (const candidate of candidates) {
    if (signal.aborted) throw new Error('cancelled');
    const isKnown = candidate === before?.candidate;
    const hosts: Memory = new Map();
    const found = await lookUp(resolver, candidate, isKnown ? before.hosts : new Map(), hosts);
    if (found.is === 'found') {
      known.set(name, { candidate, hosts });
      return { addresses: found.value, problem: found.problem };
    }
    if (found.is === 'failed') failure ??= found.why;
    if (found.is === 'empty') empty = true;
    if (isKnown && found.is !== 'absent') break;
  }
  if (failure !== undefined) throw new Error(failure);
  if (!empty) throw new Error('no such name (NXDOMAIN)');
  return { addresses: [] };
}

function lookUp(resolver: Resolver, name: string, before: Memory, after: Memory): Promise<Outcome<string[]>> {
  return name.startsWith('_') ? service(resolver, name, before, after) : host(resolver, name, before, after);
}

async function service(resolver: Resolver, name: string, before: Memory, after: Memory): Promise<Outcome<string[]>> {
  const listed = await ask(`SRV of ${escapeText(name)}`, () => resolver.resolveSrv(name));
  if (listed.is !== 'found') return listed;
  // The root as target: the service is decidedly not there (RFC 2782).
  const targets = [...new Set(listed.value.map((row) => row.name))].filter((target) => target !== '' && target !== '.');
  if (targets.length > TARGETS_MAX) return { is: 'failed', why: `more than ${TARGETS_MAX} targets` };
  const addresses: string[] = [];
  let problem: string | undefined;
  for (let at = 0; at < targets.length; at += TARGETS_AT_ONCE) {
    const batch = targets.slice(at, at + TARGETS_AT_ONCE);
    const found = await Promise.all(batch.map((target) => host(resolver, target, before, after)));
    found.forEach((outcome, i) => {
      if (outcome.is === 'found') addresses.push(...outcome.value);
      if (outcome.is === 'found') problem ??= outcome.problem;
      if (outcome.is !== 'failed') return;
      problem ??= outcome.why;
      const kept = before.get(batch[i] ?? '');
      if (kept === undefined) return;
      after.set(batch[i] ?? '', kept);
      addresses.push(...(kept.A ?? []), ...(kept.AAAA ?? []));
    });
  }
  if (addresses.length > 0) return { is: 'found', value: addresses, problem };
  return problem === undefined ? { is: 'empty' } : { is: 'failed', why: problem };
}

async function host(resolver: Resolver, name: string, before: Memory, after: Memory): Promise<Outcome<string[]>> {
  const [a, aaaa] = await Promise.all([
    ask(`A of ${escapeText(name)}`, () => resolver.resolve4(name)),
    ask(`AAAA of ${escapeText(name)}`, () => resolver.resolve6(name)),
  ]);
  const failed = [a, aaaa].find((outcome) => outcome.is === 'failed');
  if (a.is !== 'found' && aaaa.is !== 'found') {
    return failed ?? (a.is === 'absent' && aaaa.is === 'absent' ? a : { is: 'empty' });
  }
  const kept = before.get(name);
  const A = a.is === 'failed' ? (kept?.A ?? []) : foundIn(a);
  const AAAA = aaaa.is === 'failed' ? (kept?.AAAA ?? []) : foundIn(aaaa);
  after.set(name, { A, AAAA });
  return { is: 'found', value: [...A, ...AAAA], problem: failed?.is === 'failed' ? failed.why : undefined };
}

function foundIn(outcome: Outcome<string[]>): string[] {
  return outcome.is === 'found' ? outcome.value : [];
}

/** One question; `what` is escaped. */
async function ask<T>(what: string, question: () => Promise<T[]>): Promise<Outcome<T[]>> {
  try {
    const value = await question();
    return value.length === 0 ? { is: 'empty' } : { is: 'found', value };
  } catch (error) {
    const code = String((error as NodeJS.ErrnoException).code);
    if (code === 'ENODATA') return { is: 'empty' };
    if (code === 'ENOTFOUND') return { is: 'absent' };
    return { is: 'failed', why: `${what}: ${WORDS[code] ?? `it cannot be looked up (${escapeText(code)})`}` };
  }
}
