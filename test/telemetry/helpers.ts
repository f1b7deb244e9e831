/** Fences and rejections for the tests of this room. */
import type { Rejection } from '../../src/datapath/engine.ts';
import { createTally, TALLY_BYTES, type Tally } from '../../src/policy/tally.ts';
import type { MetricsFence } from '../../src/telemetry/metric-types.ts';

/** A foreign stream from 10.0.0.9, changed by `change`. */
export function rejection(change: Partial<Rejection> & { address?: string; text?: string } = {}): Rejection {
  const { address = '10.0.0.9', text = 'green', ...rest } = change;
  return {
    atMs: 1_000,
    direction: 'inbound',
    transport: 'native',
    kind: 'stream',
    peer: { address, port: 50_000 },
    labelState: 'foreign',
    reason: 'label_foreign',
    label: new TextEncoder().encode(text),
    bytes: 20,
    ...rest,
  };
}

/** A fence that has seen nothing, and the tally that it counts in. */
export function quietFence(change: Partial<MetricsFence> = {}): { fence: MetricsFence; tally: Tally } {
  const buffer = new SharedArrayBuffer(TALLY_BYTES);
  const fence: MetricsFence = {
    name: 'traces',
    shape: {
      mode: 'transparent',
      guardsOutbound: true,
      transport: 'auto',
      hasAdmissionRules: true,
      shield: true,
      hasKeys: true,
      tls: false,
      ceiling: 'enforce',
    },
    windowMs: 600_000,
    now: () => 1_000_000,
    stage: () => 'accept',
    stageChanges: () => [{ to: 'accept', origin: 'api', count: 2 }],
    readyToAdvance: (to) => to === 'label',
    tallies: () => [buffer],
    counts: () => ({ sessions: 3, streamsInbound: 2, streamsOutbound: 1, sessionEvictions: 7, waitingFrames: 4 }),
    dnsNames: () => [{ name: 'ring.traces', lastSuccessMs: 1_700_000, problem: undefined, addresses: 3 }],
    appUp: () => true,
    bypassDropped: () => ({ inbound: 4, outbound: 2 }),
    floodGuard: () => true,
    peerRecords: () => [],
    peerEvictions: () => 5,
    foreignPeers: () => new Set(),
    steadyForeignLabels: () => [],
    sightingEvictions: () => ({ rejections: 1, foreignLabels: 2, foreignPeers: 3 }),
    ring: undefined,
    inspectionSkipped: () => undefined,
    tlsNotAfterMs: () => undefined,
    tlsProblem: () => false,
    gossipKeys: () => 0,
    sealedPeers: () => [],
    sealEvictions: () => 0,
    ...change,
  };
  return { fence, tally: createTally(buffer) };
}

/** A metrics page as series to value. */
export function parsePage(page: string): Map<string, number> {
  const series = new Map<string, number>();
  for (const line of page.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const space = line.lastIndexOf(' ');
    const name = line.slice(0, space);
    if (series.has(name)) throw new Error(`twice on the page: ${name}`);
    series.set(name, Number(line.slice(space + 1)));
  }
  return series;
}
