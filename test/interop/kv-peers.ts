/** What the tests ask of dskit's KV clients (dskit/main.go). */
import type { Test } from 'tap';
import { eventually, type Peer } from './peers.ts';

export const RING_KEY = 'collectors/ring';

/** dskit probes every five seconds, and packets take their turn: a value may need a few gossip rounds. */
export const GOSSIP_TIMEOUT_MS = 20_000;

/** Ids of the instances in the ring descriptor under `key`. */
export const instances = async (peer: Peer, key = RING_KEY) => {
  const { ok, error, instances: ids } = await peer.command(`get ${key}`);
  if (!ok) throw new Error(`${peer.name}: ${error}`);
  return ids as readonly string[];
};

/** Writes on one and waits until the other reads it. */
export async function shares(t: Test, from: Peer, to: Peer, id: string, key = RING_KEY, count = 1): Promise<void> {
  const { ok, error } = await from.command(`cas ${key} ${id} ${count === 1 ? '' : count}`);
  t.ok(ok, `${from.name} writes ${id} ${error}`);
  const last = count === 1 ? id : `${id}-${count - 1}`;
  const reads = async () =>
    (await instances(to, key)).includes(last) ? undefined : `sees ${await instances(to, key)}`;
  await t.resolves(eventually(`${to.name} reads ${id}`, GOSSIP_TIMEOUT_MS, reads), `${to.name} reads ${last}`);
}
