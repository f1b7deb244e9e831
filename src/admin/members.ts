/** `/api/v1/members` as a value: what a fence knows of its ring. Whatever others chose is escaped. */
import type { Bringer, ForeignSighting } from '../ring/foreign.ts';
import type { KvInstance, KvKey } from '../ring/instances.ts';
import type { MemberView } from '../ring/member-view.ts';
import type { MergeAlarm } from '../ring/merge.ts';
import { alarmText, bringerText, warningText } from '../ring/merge-text.ts';
import type { MergeWarning } from '../ring/warnings.ts';
import { formatEndpoint } from '../wire/address.ts';
import { escapeBytes, escapeText } from '../wire/escape.ts';
import { NODE_META_MAX_BYTES } from '../wire/limits.ts';
import { decodeNodeMeta } from '../wire/node-meta.ts';
import type { FenceView } from './view.ts';

/** Rows that one answer holds of each list of a fence. */
export const MEMBERS_LIMIT = { fallback: 1_000, max: 10_000 } as const;

const time = (ms: number): string => new Date(ms).toISOString();
const timeOrNull = (ms: number | undefined): string | null => (ms === undefined || ms === 0 ? null : time(ms));

/** The rings of `fences`, at most `limit` rows of each list; a fence without inspection has `ring: null`. */
export function membersOf(fences: readonly FenceView[], limit: number): unknown {
  return { fences: fences.map((fence) => ({ name: fence.name, ring: ringOf(fence, limit) })) };
}

function ringOf({ ring, now, adoption }: FenceView, limit: number): unknown {
  if (ring === undefined) return null;
  const nowMs = now();
  const list = <Row>(rows: readonly Row[], show: (row: Row) => unknown) => ({
    total: rows.length,
    rows: rows.slice(0, limit).map(show),
  });
  const { keys, instances } = ring.instances(nowMs);
  const answering = adoption.evidence.evidence().filter(({ fence }) => fence?.outcome === 'fence');
  const fences = new Set(answering.map(({ name }) => name));
  return {
    canTellMerges: ring.canTellMerges(),
    warmingUp: ring.warmingUp(nowMs),
    members: list(ring.members(nowMs).sort(liveFirst), (member) => showMember(member, fences.has(member.name))),
    foreign: list(
      ring.foreignTuples(nowMs).sort((a, b) => b.lastMs - a.lastMs),
      showForeign,
    ),
    kvKeys: list(keys, showKey),
    instances: list(instances, showInstance),
    alarms: list(ring.alarms(nowMs), showAlarm),
    warnings: list(ring.warnings(nowMs), showWarning),
  };
}

function isGone({ state }: MemberView): boolean {
  return state === 'dead' || state === 'left';
}

function liveFirst(a: MemberView, b: MemberView): number {
  if (isGone(a) !== isGone(b)) return isGone(a) ? 1 : -1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** `answers`: its fence says so itself. */
function showMember(member: MemberView, answers: boolean): unknown {
  const { protocol, delegate, meta, labelState, sealForm, fenced, outside, foreignLabel } = member;
  const nodeMeta = decodeNodeMeta(meta);
  return {
    name: escapeText(member.name),
    address: member.address,
    port: member.port,
    state: member.state,
    stateSince: time(member.stateSinceMs),
    incarnation: member.incarnation,
    protocol: protocol ?? null,
    delegate: delegate ?? null,
    meta: escapeBytes(meta, NODE_META_MAX_BYTES),
    zone: nodeMeta === undefined ? null : escapeText(nodeMeta.zone),
    role: nodeMeta?.role ?? null,
    firstSeen: time(member.firstSeenMs),
    lastSeen: time(member.lastSeenMs),
    lastHeard: timeOrNull(member.lastHeardMs),
    labelState: labelState ?? null,
    sealForm: sealForm ?? null,
    app: member.app,
    fenced: answers || fenced || null,
    outside: outside ?? null,
    foreignLabel: foreignLabel === undefined ? null : escapeBytes(foreignLabel),
  };
}

function showForeign(sighting: ForeignSighting & { readonly own: boolean }): unknown {
  const { name, address, port, label, firstMs, lastMs, broughtBy, own } = sighting;
  return {
    name: escapeText(name),
    address,
    port,
    label: escapeBytes(label),
    own,
    firstSeen: time(firstMs),
    lastSeen: time(lastMs),
    broughtBy: showBringer(broughtBy),
  };
}

function showBringer(bringer: Bringer): unknown {
  const { atMs, message, by, peer, direction, transport, kind, answer, rejected } = bringer;
  return {
    at: time(atMs),
    text: bringerText(bringer),
    message,
    by,
    peer: formatEndpoint(peer),
    direction,
    transport,
    kind,
    answer,
    rejected,
  };
}

function showKey({ key, codec, bytes, deleted, firstSeenMs, lastSeenMs, unreadable }: KvKey): unknown {
  return {
    key: escapeText(key),
    codec: escapeText(codec),
    bytes,
    deleted,
    unreadable,
    firstSeen: time(firstSeenMs),
    lastSeen: time(lastSeenMs),
  };
}

function showInstance(instance: KvInstance): unknown {
  const { key, id, address, zone, state, timestamp, tokens, firstSeenMs, lastSeenMs, outside } = instance;
  return {
    key: escapeText(key),
    id: escapeText(id),
    address: escapeText(address),
    zone: escapeText(zone),
    state,
    // Seconds since the epoch as the instance wrote it: any number, so no date is made of it.
    heartbeat: timestamp,
    tokens,
    outside: outside ?? null,
    firstSeen: time(firstSeenMs),
    lastSeen: time(lastSeenMs),
  };
}

function showAlarm(alarm: MergeAlarm): unknown {
  const { name, address, port, atMs, broughtBy, foreign, lastOwnMs } = alarm;
  return {
    text: alarmText(alarm),
    name: escapeText(name),
    address,
    port,
    since: time(atMs),
    lastSeen: time(lastOwnMs),
    label: escapeBytes(foreign.label),
    broughtBy: showBringer(broughtBy),
    foreignSighting: showBringer(foreign.broughtBy),
  };
}

function showWarning(warning: MergeWarning): unknown {
  const { kind, outside, name, address, key, sinceMs } = warning;
  return {
    text: warningText(warning),
    kind,
    outside: outside ?? null,
    name: escapeText(name),
    address: escapeText(address),
    key: key === undefined ? null : escapeText(key),
    since: time(sinceMs),
  };
}
