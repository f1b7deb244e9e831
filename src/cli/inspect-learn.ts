/** What gossip of a capture teaches: a ring for each label, and what the rings say of each other. */
import { NO_IDENTITY_RULES } from '../policy/identity.ts';
import { createRing, type Ring } from '../ring/ring.ts';
import { addressText } from '../ring/tuple.ts';
import { escapeText } from '../wire/escape.ts';
import { decodeNodeMeta } from '../wire/node-meta.ts';
import { NODE_STATE } from '../wire/push-pull.ts';
import { LABELS_MAX } from './inspect-bounds.ts';
import type { Findings, LabelText } from './inspect-findings.ts';
import type { Gossip, Speaker } from './inspect-gossip.ts';
import { type InstanceRow, type KeyRow, type MemberRow, timeText } from './inspect-report.ts';

export interface Learner extends Gossip {
  /** Call for every frame, before what is inside of it. */
  frame(speaker: Speaker): void;
  memberCount(label: LabelText): number;
  /** Rows of one label's ring, or of all. */
  members(label?: LabelText): readonly MemberRow[];
  keys(label?: LabelText): readonly KeyRow[];
  instances(label?: LabelText): readonly InstanceRow[];
  /** Labels without a ring, because of the bound on them, and table entries that were left out. */
  leftOut(): { readonly labels: number; readonly entries: number };
}

interface LabelRing {
  readonly ring: Ring;
  readonly label: LabelText;
  lastMs: number;
}

export function createLearner(findings: Findings): Learner {
  // By the label's bytes: as text two that differ could look alike.
  const rings = new Map<string, LabelRing>();
  let unknownLabels = 0;

  // A packet has many messages, and one speaker.
  let last: { readonly speaker: Speaker; readonly ring: Ring | undefined } | undefined;
  const ringOf = (speaker: Speaker): Ring | undefined => {
    if (last?.speaker !== speaker) last = { speaker, ring: findRing(speaker) };
    return last.ring;
  };
  const findRing = ({ source, label }: Speaker): Ring | undefined => {
    const key = Buffer.from(source.label).toString('latin1');
    let known = rings.get(key);
    if (known === undefined) {
      if (rings.size === LABELS_MAX) {
        unknownLabels++;
        return undefined;
      }
      const ring = createRing({
        startedMs: source.atMs,
        // The order of all frames is known.
        warmUpMs: 0,
        identity: NO_IDENTITY_RULES,
        graceMs: 0,
        proven: () => false,
      });
      known = { ring, label, lastMs: source.atMs };
      rings.set(key, known);
    }
    known.lastMs = Math.max(known.lastMs, source.atMs);
    return known.ring;
  };
  const select = (label: LabelText | undefined): readonly LabelRing[] =>
    [...rings.values()].filter((one) => label === undefined || one.label === label);
  /** Times of captures without any are 0. */
  const timeOf = (atMs: number) => timeText(atMs === 0 ? undefined : atMs);

  const membersOf = ({ ring, label, lastMs }: LabelRing): MemberRow[] =>
    ring.members(lastMs).map((member) => ({
      name: escapeText(member.name),
      address: member.address,
      port: member.port,
      state: member.state,
      incarnation: member.incarnation,
      versions: versionText(member.protocol, member.delegate),
      zone: zoneOf(member.meta),
      label,
      labels: findings.labelsOf(member),
      lastAt: timeOf(member.lastSeenMs),
    }));

  return {
    frame(speaker) {
      ringOf(speaker)?.frame(speaker.source, undefined);
    },
    message(speaker, message) {
      ringOf(speaker)?.message(speaker.source, message);
      if (message.type !== 'alive') return;
      const { Node: name, Addr, Port: port } = message;
      findings.alive({ name, address: addressText(Addr), port }, speaker.label, speaker.see('alive'));
    },
    node(speaker, node) {
      ringOf(speaker)?.node(speaker.source, node);
      if (node.State !== NODE_STATE.alive) return;
      const tuple = { name: node.Name, address: addressText(node.Addr), port: node.Port };
      findings.alive(tuple, speaker.label, speaker.see('push/pull'));
    },
    pair(speaker, pair) {
      ringOf(speaker)?.kv(speaker.source, pair);
    },
    memberCount: (label) => select(label).reduce((sum, { ring, lastMs }) => sum + ring.members(lastMs).length, 0),
    members: (label) => select(label).flatMap(membersOf),
    keys: (label) =>
      select(label).flatMap(({ ring, label: own, lastMs }) =>
        ring.instances(lastMs).keys.map(({ key, codec, bytes, lastSeenMs }) => ({
          key: escapeText(key),
          codec: escapeText(codec),
          label: own,
          bytes,
          lastAt: timeOf(lastSeenMs),
        })),
      ),
    instances: (label) =>
      select(label).flatMap(({ ring, label: own, lastMs }) =>
        ring.instances(lastMs).instances.map(({ key, id, address, zone, state, timestamp }) => ({
          key: escapeText(key),
          id: escapeText(id),
          address: escapeText(address),
          zone: escapeText(zone),
          state,
          label: own,
          heartbeatAt: timestamp === 0 ? null : timeText(timestamp * 1e3),
        })),
      ),
    leftOut() {
      const evictions = [...rings.values()].flatMap(({ ring }) => Object.values(ring.evictions()));
      return { labels: unknownLabels, entries: evictions.reduce((sum, count) => sum + count, 0) };
    },
  };
}

type Versions = { readonly min: number; readonly max: number; readonly current: number } | undefined;

function versionText(protocol: Versions, delegate: Versions): string | null {
  const text = ({ min, max, current }: NonNullable<Versions>) => `${min}-${max} (${current})`;
  if (protocol === undefined) return null;
  return delegate === undefined ? text(protocol) : `${text(protocol)}, delegate ${text(delegate)}`;
}

function zoneOf(meta: Uint8Array): string | null {
  const decoded = decodeNodeMeta(meta);
  return decoded === undefined ? null : escapeText(decoded.zone);
}
