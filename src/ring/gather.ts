/**
 * Joins what is known of the other members into the rows that readiness weighs: gossip, DNS, the memory of peers, the fence's own
 * labelled pings, and what other fences say. Pure: every source is read at one moment.
 */
import type { Admission } from '../policy/admission.ts';
import type { Evidence, FenceReport, ProbeReport } from './evidence.ts';
import type { MemberView } from './member-view.ts';
import type { PeerRecord } from './peers.ts';
import { endpointKey } from './tuple.ts';

/** How long a member may still send after it said that it leaves, ms (serf config.go LeavePropagateDelay: 5 s). */
const LEAVING_MS = 5_000;

/** What is read of a peer's record. */
export type PeerShown = Pick<PeerRecord, 'address' | 'port' | 'ambiguous' | 'lastOwnMs'> & {
  readonly unlabelled?: Evidence['unlabelled'];
};

export interface EvidenceSources {
  readonly nowMs: number;
  /** The memory window, ms: what is older proves nothing. */
  readonly windowMs: number;
  /** When a full member table was last read; 0: never. */
  readonly tableMs: number;
  readonly members: readonly MemberView[];
  /** Addresses that DNS says should be members, as formatAddress writes them. */
  readonly listed: readonly string[];
  readonly records: readonly PeerShown[];
  readonly admission: Admission;
  /** Whether the rules as configured, without any grace, do not name the address. */
  leaves(address: string): boolean;
  /** Our own app's addresses, as formatAddress writes them, and its gossip port. */
  readonly local: { has(address: string): boolean; readonly port: number };
  probe(target: Target): ProbeReport | undefined;
  fence(target: Target): FenceReport | undefined;
}

/** Somebody to ask; `name` is undefined where gossip gave none. */
export interface Target {
  readonly name: string | undefined;
  readonly address: string;
  readonly port: number;
}

/**
 * One row for each other member that gossip named within the window, or since the last full table where that is older, and that did not leave, for each address that DNS lists besides,
 * and for each further admitted address that sent unlabelled frames within the window. Our own app is none of them.
 */
export function gatherEvidence(sources: EvidenceSources): Evidence[] {
  const { nowMs, windowMs, tableMs, members, local, records } = sources;
  const others = members.filter(({ app, address, port }) => !app && !(port === local.port && local.has(address)));
  const listed = new Set(sources.listed.filter((address) => !local.has(address)));
  // Whom the last full table named is a member until the next one: an app alone may take a minute to its first push/pull.
  const sinceMs = tableMs > 0 ? Math.min(nowMs - windowMs, tableMs) : nowMs - windowMs;
  const lately = others.filter(({ lastSeenMs }) => lastSeenMs >= sinceMs);
  const staying = lately.filter(({ state }) => state !== 'left');
  const taken = new Set(staying.map(({ address }) => address));
  // DNS still lists who left, unless the listing is for somebody else there.
  const named = lately.filter(({ state, address }) => state !== 'left' || (listed.has(address) && !taken.has(address)));
  const known = new Map(records.filter(({ port }) => port === 0).map((record) => [record.address, record]));
  const shared = sharedAddresses(named);
  const row = (target: Target, member: MemberView | undefined) =>
    evidenceOf(sources, target, member, known.get(target.address), {
      inDns: listed.has(target.address),
      ambiguous: shared.has(target.address),
    });
  const rows = named.map((member) => row(member, member));
  const seen = new Set(named.map(({ address }) => address));
  const nameless = (address: string) => row({ name: undefined, address, port: local.port }, undefined);
  for (const address of listed) if (!seen.has(address)) rows.push(nameless(address));
  const gone = goneAddresses(others);
  for (const { address, unlabelled } of known.values()) {
    if (unlabelled === undefined || seen.has(address) || listed.has(address) || local.has(address)) continue;
    const over = nowMs - unlabelled.lastMs > windowMs || unlabelled.lastMs <= (gone.get(address) ?? 0) + LEAVING_MS;
    if (!over && sources.admission.admits(address)) rows.push(nameless(address));
  }
  return rows;
}

function evidenceOf(
  sources: EvidenceSources,
  target: Target,
  member: MemberView | undefined,
  record: PeerShown | undefined,
  at: { readonly inDns: boolean; readonly ambiguous: boolean },
): Evidence {
  const { address, port } = target;
  const { nowMs, windowMs, admission } = sources;
  const ambiguous = at.ambiguous || record?.ambiguous === true || admission.shared(address);
  const probe = sources.probe(target);
  const unlabelled = record?.unlabelled;
  return {
    name: member?.name,
    address,
    port,
    state: member?.state,
    namedMs: member?.lastSeenMs ?? 0,
    inDns: at.inDns,
    admitted: admission.admits(address),
    leaving: admission.admits(address) && sources.leaves(address),
    ambiguous,
    foreignLabel: member?.foreignLabel,
    // What came from an address with several members behind it is nobody's; an answer comes from the very port that was asked.
    ownMs: Math.max(ambiguous ? 0 : ownFrameMs(member, record), ownAnswerMs(probe)),
    unlabelled:
      unlabelled === undefined || unlabelled.count === 0 || nowMs - unlabelled.lastMs > windowMs
        ? undefined
        : unlabelled,
    probe,
    fence: sources.fence({ name: member?.name, address, port }),
    fenced: member?.fenced === true,
  };
}

/** When a frame with the own label last came from the address, unless that was before the member came there: an address goes from one to another. */
function ownFrameMs(member: MemberView | undefined, record: PeerShown | undefined): number {
  const lastMs = record?.lastOwnMs ?? 0;
  return lastMs >= (member?.addressSinceMs ?? 0) ? lastMs : 0;
}

/** When a datagram with the own label last answered a ping of ours. */
function ownAnswerMs(probe: ProbeReport | undefined): number {
  return probe?.packet?.answer === 'own' ? probe.packet.answeredMs : 0;
}

/** Addresses at which several members are, whatever their ports: those that are gone count only where they have a port of their own. */
function sharedAddresses(members: readonly MemberView[]): Set<string> {
  const endpoints = new Map<string, string>();
  const shared = new Set<string>();
  for (const { address, port } of members) {
    const key = endpointKey(address, port);
    if ((endpoints.get(address) ?? key) !== key) shared.add(address);
    endpoints.set(address, key);
  }
  return shared;
}

/** When the last member left each address at which nobody is any more; foreigners' addresses are nobody's for good. */
function goneAddresses(members: readonly MemberView[]): Map<string, number> {
  const gone = new Map<string, number>();
  for (const { state, address, stateSinceMs, foreignLabel } of members) {
    const atMs = foreignLabel !== undefined ? Number.POSITIVE_INFINITY : state === 'left' ? stateSinceMs : undefined;
    if (atMs !== undefined) gone.set(address, Math.max(gone.get(address) ?? 0, atMs));
  }
  return gone;
}
