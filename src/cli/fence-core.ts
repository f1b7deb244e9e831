/** What every fence has whatever carries it: its context (policy, memory, counters), what looks inside, its files, and who is asked. */
import type { FenceConfig } from '../config/types.ts';
import type { Fault, FenceContext, Stranger } from '../datapath/engine.ts';
import { turnsOnPeer } from '../datapath/judge.ts';
import type { WorkerOptions } from '../datapath/options.ts';
import { createTimedDoubts, type TimedDoubts } from '../datapath/timed-doubts.ts';
import { createTally, TALLY_BYTES } from '../policy/tally.ts';
import { BoundedTable } from '../ring/bounded.ts';
import { MEMORY } from '../ring/known-peer.ts';
import { createPeerTable, type KnownPeer, type PeerTable, peerTableBytes } from '../ring/peers.ts';
import { createSightings, type Sightings } from '../telemetry/sightings.ts';
import { parseAddress } from '../wire/address.ts';
import { monotonicNow } from './clock.ts';
import type { FenceEnv } from './compose.ts';
import { createRulesKeeper, type RulesKeeper } from './fence-rules.ts';
import { type FirstStage, firstStage } from './first-stage.ts';
import { composeInside, type FenceInside } from './inside.ts';
import { type ConfigKeeper, createConfigKeeper } from './reconfigure.ts';
import { composeTls, type FenceTls } from './tls.ts';

/** Addresses that are kept as they were found in the table of peers. */
const PROVEN_KEPT = 256;

export interface Core {
  readonly context: FenceContext;
  readonly sightings: Sightings;
  readonly inside: FenceInside;
  readonly tls: FenceTls;
  readonly tallyBuffer: SharedArrayBuffer;
  readonly peersBuffer: SharedArrayBuffer;
  readonly keeper: ConfigKeeper;
  readonly rules: RulesKeeper;
  readonly first: FirstStage;
  readonly doubts: TimedDoubts;
  /** Who is asked about strangers, and looks at what gossip says of them, once that is there. */
  readonly asks: { ask(peer: Stranger): void; look(): void };
}

/** Rejects with a KeyFileError or a CertFileError when a file of the fence cannot be read. */
export async function createCore(config: FenceConfig, { sink, pump, stateFile }: FenceEnv): Promise<Core> {
  const peersBuffer = new SharedArrayBuffer(peerTableBytes(config.memory.peers));
  const tallyBuffer = new SharedArrayBuffer(TALLY_BYTES);
  const sightings = createSightings({ windowMs: config.memory.windowMs });
  const keeper = createConfigKeeper(config);
  const first = firstStage(config, stateFile);
  const rules = createRulesKeeper(config, first);
  const peers = createPeerTable(peersBuffer, config.memory);
  const onFault = (fault: Fault) => sink.fault(config.name, fault);
  const inside = await composeInside({
    config,
    pump,
    now: monotonicNow,
    proven: provenBy(peers),
    quarantine: () => keeper.config().quarantine,
    graceMs: () => keeper.config().graceMs,
    mayChange: () => rules.rules().policy.stage !== 'observe',
    onExcerpt: (source, text) => sightings.excerpt(source, text),
    onFault,
  });
  const tls = await composeTls(config, monotonicNow, onFault);
  const asks = { ask: (_peer: Stranger) => {}, look: () => {} };
  const doubts = createTimedDoubts({
    canAsk: () => rules.rules().admission.byDns,
    starting: () => rules.rules().starting,
    ask: (peer) => asks.ask(peer),
    now: monotonicNow,
    ...waitsOf(config),
  });
  const context: FenceContext = {
    name: config.name,
    label: config.label,
    snapshot: rules.snapshot,
    admission: rules.admission,
    starting: () => rules.rules().starting,
    doubts,
    peers,
    tally: createTally(tallyBuffer),
    inside: inside.inside,
    now: monotonicNow,
    onRejection(rejection) {
      if (turnsOnPeer(rejection.reason)) asks.look();
      sightings.note(rejection);
      sink.rejection(config.name, rejection);
    },
    onFault,
  };
  return { context, sightings, inside, tls, tallyBuffer, peersBuffer, keeper, rules, first, doubts, asks };
}

/** How long, and how much of it, frames of strangers may wait. */
function waitsOf({ adoption }: FenceConfig): { readonly waitMs: number; readonly bytesMax: number } {
  return { waitMs: adoption.strangerWaitMs, bytesMax: adoption.strangerWaitBytes };
}

/** Whether an address (text) is proven: of each alive message inspection asks twice, so some are kept as they were found. */
function provenBy(peers: PeerTable): (address: string, nowMs: number) => boolean {
  const found = new BoundedTable<KnownPeer>(PROVEN_KEPT);
  const find = (address: string): KnownPeer | undefined => {
    const bytes = parseAddress(address);
    if (bytes === undefined) return undefined;
    const peer = peers.know(bytes, 0);
    found.put(address, peer, false);
    return peer;
  };
  return (address, nowMs) => {
    const peer = found.get(address) ?? find(address);
    return peer !== undefined && (peer.memory(nowMs) & MEMORY.proven) !== 0;
  };
}

/** What the engine's thread is given of a fence. */
export function workerOptions(config: FenceConfig, core: Core): WorkerOptions {
  return {
    label: config.label,
    peersBuffer: core.peersBuffer,
    peers: config.memory,
    rules: core.rules.rules,
    ask: (peer) => core.asks.ask(peer),
    waits: waitsOf(config),
    floodPacketsPerSecond: config.floodPacketsPerSecond,
    inside: core.inside.rules,
    rings: core.inside.rings,
    inspect: core.inside.inspect,
  };
}
