/** The demo's cast: members as pods that come and go, and the addresses that they are given. */
import type { Endpoint } from '../datapath/engine.ts';
import { type EmbeddedMember, startMember, type TransportMaker } from './member.ts';
import { LAN_TIMING } from './settings.ts';
import type { TableEvent } from './table.ts';

export const CLUSTERS = ['tempo-blue', 'tempo-green'] as const;
export type ClusterName = (typeof CLUSTERS)[number];

/** The gossip port of every member, as Tempo has it. */
const GOSSIP_PORT = 7946;

/** Faster than the LAN's 30 s, so that a spectator sees a whole life. */
const TIMING = { ...LAN_TIMING, pushPullIntervalMs: 5_000, streamTimeoutMs: 3_000 };

export interface PodSpec {
  readonly name: string;
  readonly cluster: ClusterName;
  /** What its peers dial. */
  readonly endpoint: Endpoint;
}

/**
 * Everyone who plays, in one /24 as the pods of a node are. blue-2 comes late and is given the address that green-2 had; green-3
 * replaces green-2.
 */
export function castOf(net: string): readonly PodSpec[] {
  const pod = (name: string, cluster: ClusterName, host: number): PodSpec => ({
    name,
    cluster,
    endpoint: { address: `${net}.${host}`, port: GOSSIP_PORT },
  });
  return [
    pod('blue-0', 'tempo-blue', 11),
    pod('blue-1', 'tempo-blue', 12),
    pod('blue-2', 'tempo-blue', 23),
    pod('green-0', 'tempo-green', 21),
    pod('green-1', 'tempo-green', 22),
    pod('green-2', 'tempo-green', 23),
    pod('green-3', 'tempo-green', 24),
  ];
}

/** How a pod's member reaches the network: bare, or through a fence that starts and ends with the pod. */
export interface Housing {
  open(pod: PodSpec): Promise<{ readonly transport: TransportMaker; close(): Promise<void> }>;
}

/** A running pod. */
export interface Pod {
  readonly spec: PodSpec;
  readonly member: EmbeddedMember;
}

export interface Pods {
  running(cluster: ClusterName): readonly Pod[];
  start(name: string): Promise<Pod>;
  /** Ends the pod at once, without a goodbye. */
  kill(name: string): Promise<void>;
  /** Says every goodbye within `timeoutMs` and ends everything. */
  leaveAll(timeoutMs: number): Promise<void>;
}

export function createPods(
  cast: readonly PodSpec[],
  housing: Housing,
  onEvent: (pod: PodSpec, event: TableEvent) => void,
): Pods {
  const running = new Map<string, Pod & { close(): Promise<void> }>();
  let ended = false;
  return {
    running: (cluster) => [...running.values()].filter(({ spec }) => spec.cluster === cluster),
    async start(name) {
      const spec = cast.find((pod) => pod.name === name);
      if (spec === undefined) throw new Error(`no pod is named ${name}`);
      const house = await housing.open(spec);
      const settings = { name, advertise: spec.endpoint, timing: TIMING };
      try {
        const member = await startMember(settings, house.transport, (event) => onEvent(spec, event));
        if (ended) {
          await member.stop();
          throw new Error('the demo has ended');
        }
        const pod = { spec, member, close: house.close };
        running.set(name, pod);
        return pod;
      } catch (error) {
        await house.close();
        throw error;
      }
    },
    async kill(name) {
      const pod = running.get(name);
      running.delete(name);
      await pod?.member.stop();
      await pod?.close();
    },
    async leaveAll(timeoutMs) {
      ended = true;
      const pods = [...running.values()];
      running.clear();
      await Promise.all(pods.map(({ member }) => member.leave(timeoutMs)));
      await Promise.all(pods.map(({ close }) => close()));
    },
  };
}

/** The names that `pod` lists as alive, itself included, sorted. */
export function listOf({ member }: Pod): string[] {
  return member
    .members()
    .filter(({ state }) => state === 'alive')
    .map(({ name }) => name)
    .sort();
}
