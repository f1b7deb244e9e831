/**
 * A fence in the engine's thread whose rules change all the time: bundled and run in a namespace by a test. `intercept` installs the kernel's rules;
 * `flip ONE TWO FLIPS HOLD_MS` gives it two sets of rules in turn and prints when each was begun and in force (CLOCK_MONOTONIC,
 * ms); `listen ONE TWO FLIPS HOLD_MS OURS` does so for a listen fence on OURS, whose app is on the port below. Even: stage accept, the app takes own labels, ONE is admitted. Odd: stage label, it takes none, TWO is admitted.
 */
import type { FenceRules } from '../../src/datapath/engine.ts';
import { createLinuxEngine } from '../../src/datapath/linux/engine.ts';
import { createSharedMemory } from '../../src/datapath/linux/fence-start.ts';
import { installRules } from '../../src/datapath/linux/intercept.ts';
import { monotonicMs } from '../../src/datapath/linux/worker-protocol.ts';
import { NO_ADMISSION_RULES } from '../../src/policy/admission.ts';
import { readTallies } from '../../src/policy/tally-reading.ts';
import { peerTableBytes } from '../../src/ring/peers.ts';
import { LIMITS } from '../datapath/limits.ts';

const PORTS = { port: 7946, proxyPort: 17_946, uid: 7_946 };
const say = (line: string) => process.stdout.write(`${line}\n`);
const [what, one = '', two = '', flips = '0', holdMs = '0', ours = ''] = process.argv.slice(2);

function rulesOf(even: boolean): FenceRules {
  const address = even ? one : two;
  return {
    policy: {
      stage: even ? 'accept' : 'label',
      takes: even ? 'own' : 'none',
      ...{ sends: 'none', wire: 'none', unterminatedTls: 'reject', shield: true },
    },
    admission: { ...NO_ADMISSION_RULES, cidrs: [{ address, prefix: 32, family: 'ipv4' }] },
    starting: false,
  };
}

const INTERCEPTED = { mode: 'transparent', tcpSource: 'peer', ...PORTS, ipv6: false } as const;
const LISTENING = {
  mode: 'listen',
  listen: { address: ours, port: PORTS.port },
  app: { address: ours, port: PORTS.port + 1 },
  limits: LIMITS,
} as const;

async function flip(): Promise<void> {
  const peers = { peers: 100, windowMs: 60_000, foreignMs: 1_000 };
  const memory = createSharedMemory();
  const fence = createLinuxEngine().open(
    {
      onRejection: () => undefined,
      onFault: (fault) => say(`fault ${fault.code} ${fault.message}`),
      onStranger: () => undefined,
      onRingKey: () => undefined,
      onInspect: () => undefined,
      onDeath: (why) => say(`died: ${why}`),
    },
    {
      name: 'one',
      label: Buffer.from('one.test'),
      rules: rulesOf(true),
      inside: { keys: [], reseal: false, quarantine: undefined },
      rings: undefined,
      peersBuffer: new SharedArrayBuffer(peerTableBytes(peers.peers)),
      peers,
      waits: { waitMs: 0, bytesMax: 1 },
      floodPacketsPerSecond: 0,
      ...memory,
      clock: { nowMs: Date.now(), monotonicMs: monotonicMs() },
      streams: undefined,
      ...(what === 'listen' ? LISTENING : INTERCEPTED),
    },
  );
  await fence.ready();
  say('ready');
  for (let i = 1; i <= Number(flips); i++) {
    await new Promise((resolve) => setTimeout(resolve, Number(holdMs)));
    const begunMs = monotonicMs();
    await fence.takeRules(rulesOf(i % 2 === 0));
    say(`flip ${i % 2} ${begunMs} ${monotonicMs()}`);
  }
  await fence.stop();
  const frames = readTallies([memory.tallyBuffer]).frames.filter(({ value }) => value > 0);
  say(`frames ${frames.reduce((sum, { value }) => sum + value, 0)}`);
}

if (what === 'intercept')
  await installRules({ fence: 'one', ...PORTS, peerPorts: [], tcpSource: 'peer', failOpen: false });
else await flip();
