/** A ring that was fed a merge: for tests of whoever shows it. */
import { createRing } from '../../src/ring/ring.ts';
import type { Ring } from '../../src/ring/ring-types.ts';
import type { FrameSource } from '../../src/ring/source.ts';
import { encodeProto } from '../../src/wire/protobuf.ts';
import { encodeSnappy } from '../../src/wire/snappy.ts';

export const START_MS = 1_000_000;

const BASE: FrameSource = {
  atMs: START_MS,
  direction: 'inbound',
  transport: 'native',
  kind: 'packet',
  peer: { address: '10.0.0.2', port: 7946 },
  labelState: 'none',
  label: new Uint8Array(0),
  rejected: false,
  answer: false,
};

const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);

/** An alive message about `Node` at 10.0.0.`host`. */
export const alive = (Node: string, host: number, change: { Incarnation?: number; Meta?: Uint8Array } = {}) =>
  ({
    type: 'alive',
    Incarnation: 1,
    Node,
    Addr: Uint8Array.of(10, 0, 0, host),
    Port: 7946,
    Meta: new Uint8Array(0),
    Vsn: VSN,
    ...change,
  }) as const;

/** A ring of one instance: `ingester-1` at 10.0.0.1:9095, in zone `east`. */
function ringValue(): Uint8Array {
  const instance = encodeProto([
    [1, '10.0.0.1:9095'],
    [2, START_MS / 1_000],
    [7, 'east'],
  ]);
  const entry = encodeProto([
    [1, 'ingester-1'],
    [2, instance],
  ]);
  return encodeSnappy(encodeProto([[1, entry]]));
}

/**
 * Members a-1, a-2 (of zone "east") and a dead a-3; `b\u0007"1` of 10.0.0.9, shown as green's by itself in a rejected push/pull, then brought into
 * our gossip by a-2: an alarm. Rules want addresses of 10.0.0.0/29, so it is a warning too, after the grace of 10 s.
 */
export function mergedRing(): Ring {
  const ring = createRing({
    startedMs: START_MS,
    warmUpMs: 0,
    identity: { cidrs: [{ address: '10.0.0.0', prefix: 29, family: 'ipv4' }], names: [] },
    graceMs: 10_000,
    proven: () => false,
  });
  ring.frame(BASE, undefined);
  ring.message(BASE, alive('a-1', 1));
  ring.message(BASE, alive('a-2', 2, { Meta: Buffer.from([1, 1, 4, ...Buffer.from('east')]) }));
  ring.message(BASE, alive('a-3', 3));
  ring.message(BASE, { type: 'dead', Incarnation: 1, Node: 'a-3', From: 'a-1' });
  const green: FrameSource = {
    ...BASE,
    atMs: START_MS + 1_000,
    kind: 'stream',
    peer: { address: '10.0.0.9', port: 50_001 },
    labelState: 'foreign',
    label: Buffer.from('green'),
    rejected: true,
  };
  ring.frame(green, undefined);
  const foreigner = alive('b\u0007"1', 9);
  ring.pushPull(green, { nodes: 1, userStateBytes: 0, join: true });
  ring.node(green, { ...foreigner, Name: foreigner.Node, State: 0 });
  ring.message({ ...BASE, atMs: START_MS + 2_000 }, foreigner);
  ring.kv(
    { ...BASE, transport: 'dskit', atMs: START_MS + 2_000 },
    { key: 'collectors/ring', codec: 'ringDesc', deleted: false, updateTimeMs: 0, value: ringValue() },
  );
  return ring;
}
