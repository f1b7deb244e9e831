/**
 * A fence in the engine's thread whose members DNS names only once it is asked, bundled and run in a namespace by a test. `intercept` installs the kernel's
 * rules; `wait MEMBER ANSWER_MS` runs one at stage accept until SIGTERM: a question about MEMBER is answered after that
 * time with MEMBER named, one about anybody else with nothing new, one about 10.77.0.x with x above 3 never.
 */

import type { FenceRules } from '../../src/datapath/engine.ts';
import { CELL, createCells } from '../../src/datapath/linux/cells.ts';
import { createLinuxEngine } from '../../src/datapath/linux/engine.ts';
import { createSharedMemory } from '../../src/datapath/linux/fence-start.ts';
import { installRules } from '../../src/datapath/linux/intercept.ts';
import { monotonicMs } from '../../src/datapath/linux/worker-protocol.ts';
import { NO_ADMISSION_RULES } from '../../src/policy/admission.ts';
import { readTallies } from '../../src/policy/tally-reading.ts';
import { peerTableBytes } from '../../src/ring/peers.ts';

const PORTS = { port: 7946, proxyPort: 17_946, uid: 7_946 };
const NEVER_ANSWERED = /^10\.77\.0\.([4-9]|\d\d)/;
const say = (line: string) => process.stdout.write(`${line}\n`);
const [what, member = '', answerMs = '0'] = process.argv.slice(2);

const rulesWith = (dns: readonly string[]): FenceRules => ({
  policy: {
    stage: 'accept',
    sends: 'none',
    takes: 'none',
    wire: 'none',
    unterminatedTls: 'reject',
    shield: true,
  },
  admission: { ...NO_ADMISSION_RULES, byDns: true, dns },
  starting: false,
});

async function wait(): Promise<void> {
  const peers = { peers: 100, windowMs: 60_000, foreignMs: 1_000 };
  const memory = createSharedMemory();
  const fence = createLinuxEngine().open(
    {
      onRejection: ({ peer, reason }) => say(`rejected ${peer.address} ${reason}`),
      onFault: (fault) => say(`fault ${fault.code} ${fault.message}`),
      onRingKey: () => undefined,
      onInspect: () => undefined,
      onStranger({ address }) {
        say(`asked ${address}`);
        if (NEVER_ANSWERED.test(address)) return;
        setTimeout(async () => {
          say(`waiting ${createCells(memory.cellsBuffer).get(CELL.waiting)}`);
          if (address === member) await fence.takeRules(rulesWith([member]));
          fence.answered(address);
        }, Number(answerMs));
      },
      onDeath: (why) => say(`died: ${why}`),
    },
    {
      ...{ name: 'one', label: Buffer.from('one.test'), rules: rulesWith([]), rings: undefined, peers, ...memory },
      inside: { keys: [], reseal: false, quarantine: undefined },
      peersBuffer: new SharedArrayBuffer(peerTableBytes(peers.peers)),
      waits: { waitMs: 700, bytesMax: 100_000 },
      floodPacketsPerSecond: 0,
      clock: { nowMs: Date.now(), monotonicMs: monotonicMs() },
      ...{
        mode: 'transparent',
        tcpSource: 'peer',
        streams: undefined,
        proxyPort: PORTS.proxyPort,
        port: PORTS.port,
        ipv6: false,
      },
    },
  );
  await fence.ready();
  say('ready');
  await new Promise((resolve) => process.once('SIGTERM', resolve));
  const { frames } = readTallies([memory.tallyBuffer]);
  for (const { direction, verdict, value } of frames.filter(({ value }) => value > 0)) {
    say(`frames ${direction} ${verdict} ${value}`);
  }
  await fence.stop();
}

if (what === 'intercept')
  await installRules({ fence: 'one', ...PORTS, peerPorts: [], tcpSource: 'peer', failOpen: false });
else await wait();
