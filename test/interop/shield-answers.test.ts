// The shield on what comes back to an app's own dial, and on gossip that shuts a member out: v0.6.0 bare, and behind transparent fences.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { INCARNATION_MAX } from '../../src/policy/shield-rules.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { rejectedDuring, transparentConfig } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { ATTACKS } from '../policy/attacks.ts';
import { buildMember } from './build.ts';
import { joinRing, startMember } from './members.ts';
import { eventually, GOSSIP_PORT, type Peer } from './peers.ts';
import { send } from './victims.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const TIMEOUT_MS = 15_000;
/** Longer than a refutation takes to come back, by gossip every 200 ms. */
const REFUTE_MS = 4_000;

t.setTimeout(180_000);
t.jobs = 2;

t.before(async () => {
  if (skip === false) await buildMember('v0.6.0');
});

/** Admits the lab's whole network: nothing is refused for who sent it. */
const fenceOf = (host: Host) =>
  host.fence(transparentConfig({ cluster: 'ours', stage: 'accept', cidrs: ['10.77.0.0/24'] }));

/** Answers every connection with the bytes, and reads what comes. */
async function startAnswerer(lab: Lab, host: Host, bytes: Uint8Array, port: number): Promise<void> {
  const path = join(lab.directory('answers'), String(port));
  writeFileSync(path, bytes);
  const script = `
    const bytes = require('node:fs').readFileSync(process.argv[1]);
    const server = require('node:net').createServer((socket) => socket.on('error', () => {}).resume().write(bytes));
    server.listen(Number(process.argv[2]), () => console.log('listening'));`;
  await host.spawn(process.execPath, ['-e', script, path, String(port)]).waitFor(/listening/, TIMEOUT_MS);
}

t.test('an answer that ends the dialler', { skip }, async (t) => {
  const lab = createLab({ name: 'shans' });
  t.teardown(() => lab.close());
  const answers = ATTACKS.filter(({ kind, ends, row }) => kind === 'stream' && ends.includes('v0.6.0') && row < 5);
  t.ok(answers.length >= 3);
  const host = lab.addHost('victim');
  const fence = await fenceOf(host);
  const fenced = await startMember(lab, host, { version: 'v0.6.0' });
  await fence.waitUntil('ready');
  for (const [i, attack] of answers.entries()) {
    // The gossip port: a fence guards no other.
    const answerer = lab.addHost(`answerer${i}`);
    await startAnswerer(lab, answerer, attack.bytes(), GOSSIP_PORT);
    const bare = await startMember(lab, lab.addHost(`bare${i}`), { version: 'v0.6.0' });
    const to = `${answerer.ipv4}:${GOSSIP_PORT}`;
    bare.command(`join ${to}`).catch(() => undefined);
    t.equal(await bare.process.exited(TIMEOUT_MS).catch(String), 2, `row ${attack.row}, ${attack.name}: bare`);
  }
  const grown = await rejectedDuring(fence, async () => {
    for (const i of answers.keys()) {
      const { ok } = await fenced.command(`join ${lab.host(`answerer${i}`).ipv4}:${GOSSIP_PORT}`);
      t.equal(ok, false, 'the join fails');
    }
  });
  const expected: Record<string, number> = {};
  for (const { reason } of answers) {
    const key = `outbound native stream ${reason}`;
    expected[key] = (expected[key] ?? 0) + 1;
  }
  t.strictSame(grown, expected, 'behind a fence each is rejected');
  t.ok(fenced.process.running(), 'and the member lives');
});

/** Tells `to` that the second of a ring is dead, and says who `to` sees for as long as a refutation may take. */
async function accuse(lab: Lab, attacker: Host, [to, about]: readonly [Peer, Peer], incarnation: number) {
  const dead = encodeMessage({ type: 'dead', Incarnation: incarnation, Node: about.name, From: 'stranger' });
  await send(lab, attacker, to.host, 'udp', [dead]);
  await new Promise((resolve) => setTimeout(resolve, REFUTE_MS));
  return to.members();
}

t.test('row 15: a death that cannot be refuted', { skip }, async (t) => {
  const lab = createLab({ name: 'shinc' });
  t.teardown(() => lab.close());
  const attacker = lab.addHost('attacker');
  const hosts = ['one', 'two', 'three', 'four'].map((name) => lab.addHost(name)) as [Host, Host, Host, Host];
  const fence = await fenceOf(hosts[0]);
  const [one, two, three, four] = (await Promise.all(
    hosts.map((host) => startMember(lab, host, { version: 'v0.6.0' })),
  )) as [Peer, Peer, Peer, Peer];
  await fence.waitUntil('ready');
  await Promise.all([joinRing([one, two]), joinRing([three, four])]);
  t.strictSame(await accuse(lab, attacker, [three, four], 5), ['four', 'three'], 'another death is refuted');
  t.strictSame(await accuse(lab, attacker, [three, four], 0xffff_ffff), ['three'], 'bare: out, for good');
  t.strictSame(
    await accuse(lab, attacker, [one, two], INCARNATION_MAX - 9),
    ['one', 'two'],
    'the highest that can be refuted passes',
  );
  const grown = await rejectedDuring(fence, async () => {
    const seen = await accuse(lab, attacker, [one, two], 0xffff_ffff);
    t.strictSame(seen, ['one', 'two'], 'behind a fence: it stays');
  });
  t.strictSame(grown, { 'inbound native packet shield_bad_incarnation': 1 });
  await eventually('the bare one stays out', 1_000, async () =>
    `${await three.members()}` === 'three' ? undefined : 'back',
  );
});
