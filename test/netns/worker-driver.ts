/** Opens a fence in the engine's thread, breaks it, and prints what the main thread is told: bundled and run in a namespace by a test. */
import type { FenceRules } from '../../src/datapath/engine.ts';
import { createLinuxEngine } from '../../src/datapath/linux/engine.ts';
import { createSharedMemory } from '../../src/datapath/linux/fence-start.ts';
import { monotonicMs } from '../../src/datapath/linux/worker-protocol.ts';
import { NO_ADMISSION_RULES } from '../../src/policy/admission.ts';
import type { PolicySettings } from '../../src/policy/decide.ts';
import { peerTableBytes } from '../../src/ring/peers.ts';

const say = (line: string) => process.stdout.write(`${line}\n`);
const policy: PolicySettings = {
  stage: 'observe',
  sends: 'none',
  takes: 'none',
  wire: 'none',
  unterminatedTls: 'reject',
  shield: true,
};
const peers = { peers: 10, windowMs: 1_000, foreignMs: 1_000 };
const started = performance.now();
const fence = createLinuxEngine().open(
  {
    onRejection: () => undefined,
    onFault: (fault) => say(`fault ${fault.code}`),
    onStranger: () => undefined,
    onRingKey: () => undefined,
    onInspect: () => undefined,
    onDeath: (why) => say(`died: ${why}`),
  },
  {
    name: 'one',
    label: Buffer.from('one'),
    rules: { policy, admission: NO_ADMISSION_RULES, starting: false },
    inside: { keys: [], reseal: false, quarantine: undefined },
    rings: undefined,
    peersBuffer: new SharedArrayBuffer(peerTableBytes(peers.peers)),
    peers,
    waits: { waitMs: 0, bytesMax: 1 },
    floodPacketsPerSecond: 0,
    ...createSharedMemory(),
    ...{ mode: 'transparent', tcpSource: 'peer', streams: undefined },
    clock: { nowMs: Date.now(), monotonicMs: monotonicMs() },
    proxyPort: Number(process.argv[2]),
    port: 7946,
    ipv6: true,
  },
);
try {
  await fence.ready();
  say('ready');
  if (process.argv[3] === 'stop') {
    const from = performance.now();
    await fence.stop();
    say(`stopped ${Math.round(performance.now() - from)}`);
  } else void fence.takeRules(null as unknown as FenceRules);
} catch (error) {
  say(`${(error as Error).name} ${(error as { code?: string }).code} ${(error as Error).message}`);
  say(`after ${Math.round(performance.now() - started)}`);
}
