// The shield on dskit's transport, in front of Grafana's fork: what ends it bare, and every attack of the table behind a fence.
import t, { type Test } from 'tap';
import { type EngineName, overEngines } from '../lab/engines.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { rejectedDuring } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { ATTACKS, type Attack } from '../policy/attacks.ts';
import { endsBare, livesBehind } from './attack-runs.ts';
import { buildKv } from './build.ts';
import { LABEL } from './members.ts';
import { GOSSIP_PORT } from './peers.ts';
import { APP_PORT, peakMb, send, startVictim } from './victims.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const END_TIMEOUT_MS = 20_000;
const QUIET_MB = 60;

t.setTimeout(180_000);
t.jobs = 2;

const wayOf = ({ kind }: Attack) => (kind === 'packet' ? 'dskit packet' : 'dskit stream');
/** Attacks that the fork of 2026-05 does not survive: rows 2 to 5, as the releases that it follows. */
const FATAL = ATTACKS.filter(({ ends, row }) => (ends.includes('v0.6.0') || row === 5) && row !== 1);

t.before(async () => {
  if (skip === false) await buildKv();
});

function hostsOf(lab: Lab): [Host, Host] {
  return ['attacker', 'victim'].map((name) => lab.addHost(name)) as [Host, Host];
}

function fenceOf(host: Host, engine: EngineName, attacker: Host) {
  const fence = {
    name: 'kv',
    cluster: LABEL,
    stage: 'accept',
    wire: 'none',
    listen: `${host.ipv4}:${GOSSIP_PORT}`,
    app: { address: `${host.ipv4}:${APP_PORT}`, sends: 'none', takes: 'none', transport: 'dskit' },
    admit: { cidrs: [host.ipv4, attacker.ipv4] },
  };
  return host.fence({ fences: [fence] }, { engine });
}

t.test('bare, a dskit member ends', { skip }, async (t) => {
  const lab = createLab({ name: 'shdkb' });
  t.teardown(() => lab.close());
  const [attacker, host] = hostsOf(lab);
  const stand = { lab, attacker, host, program: await buildKv(), wayOf };
  for (const attack of FATAL) await endsBare(t, stand, attack, END_TIMEOUT_MS);
});

const behind = async (t: Test, engine: EngineName) => {
  const lab = createLab({ name: `shdkf${engine[0]}` });
  t.teardown(() => lab.close());
  const [attacker, host] = hostsOf(lab);
  const fence = await fenceOf(host, engine, attacker);
  const stand = { lab, attacker, host, program: await buildKv(), wayOf };
  const ways = ['dskit packet', 'dskit stream'] as const;
  await livesBehind(t, stand, fence, { ways, placeOf: wayOf, quietMb: QUIET_MB });
};
overEngines(t, 'behind a fence it lives', behind, { skip });

const withoutEnd = async (t: Test, engine: EngineName) => {
  const lab = createLab({ name: `shdk9${engine[0]}` });
  t.teardown(() => lab.close());
  const [attacker, host] = hostsOf(lab);
  const bareHost = lab.addHost('bare');
  const fence = await fenceOf(host, engine, attacker);
  const bare = await startVictim(lab, bareHost, await buildKv(), GOSSIP_PORT);
  const fenced = await startVictim(lab, host, await buildKv(), APP_PORT);
  await fence.waitUntil('ready');
  const endless = Buffer.concat([Buffer.from('\x01\x0f10.77.0.99:7946', 'latin1'), Buffer.alloc(64 * 1024 * 1024)]);
  const grown = await rejectedDuring(fence, async () => {
    for (const to of [bareHost, host]) await send(lab, attacker, to, 'tcp', [endless]);
  });
  t.ok(peakMb(bare) > 120, `bare, 64 MB of it take ${peakMb(bare)} MB`);
  t.ok(peakMb(fenced) < QUIET_MB, `behind a fence ${peakMb(fenced)} MB`);
  t.strictSame(grown, { 'inbound dskit packet dskit_oversize': 1 });
};
overEngines(t, 'row 9: a packet that does not end', withoutEnd, { skip });
