// Frames that whoever has a gossip key can end any member with (wire-protocol §6 row 7): bare members exit, fenced ones with keys live.
import { createCipheriv, randomBytes } from 'node:crypto';
import t from 'tap';
import { encodeLabelHeader } from '../../src/wire/label.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildMember } from './build.ts';
import { LABEL, startMember } from './members.ts';
import { eventually, GOSSIP_PORT, type Peer } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const KEY = Buffer.alloc(32, 'a key that leaked');
const EXIT_TIMEOUT_MS = 5_000;

t.setTimeout(240_000);

/** Sealed as a member would, but for the padding: `plain` is taken as it is. */
function seal(version: 0 | 1, plain: Buffer, aad: Uint8Array): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', KEY, nonce).setAAD(aad);
  return Buffer.concat([Buffer.of(version), nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function sealStream(version: 0 | 1, plain: Buffer, label: Buffer): Buffer {
  const head = Buffer.of(10, 0, 0, 0, 29 + plain.length);
  return Buffer.concat([head, seal(version, plain, Buffer.concat([head, label]))]);
}

/** A last byte that takes more off than there is. */
const BAD_PADDING = Buffer.alloc(16, 0xff);

interface Attack {
  readonly name: string;
  readonly udp: boolean;
  /** The frame after its label header. */
  frame(label: Buffer): Buffer;
}

const ATTACKS: readonly Attack[] = [
  { name: 'a packet with broken padding', udp: true, frame: (label) => seal(0, BAD_PADDING, label) },
  { name: 'a stream with broken padding', udp: false, frame: (label) => sealStream(0, BAD_PADDING, label) },
  { name: 'a stream of nothing', udp: false, frame: (label) => sealStream(1, Buffer.alloc(0), label) },
  { name: 'a stream of nothing but padding', udp: false, frame: (label) => sealStream(0, Buffer.alloc(16, 16), label) },
];

async function attack(from: Host, to: Peer, { udp, frame }: Attack, header: boolean, aad: string): Promise<void> {
  const body = frame(Buffer.from(aad));
  const bytes = header ? Buffer.concat([encodeLabelHeader(Buffer.from(LABEL)), body]) : body;
  const hex = bytes.toString('hex');
  const script = udp
    ? `const s = require('node:dgram').createSocket('udp4'); s.send(Buffer.from('${hex}', 'hex'), ${GOSSIP_PORT}, '${to.host.ipv4}', () => s.close());`
    : `const s = require('node:net').connect(${GOSSIP_PORT}, '${to.host.ipv4}', () => s.end(Buffer.from('${hex}', 'hex')));
       s.on('error', () => undefined).on('data', () => undefined).setTimeout(5_000, () => s.destroy());`;
  const { ok, output } = await from.run(process.execPath, ['-e', script]);
  if (!ok) throw new Error(output);
}

t.before(async () => {
  if (skip === false) for (const version of ['v0.6.0', 'v0.2.2'] as const) await buildMember(version);
});

t.test('bare members exit', { skip }, async (t) => {
  const lab = createLab({ name: 'sealbare' });
  t.teardown(() => lab.close());
  const attacker = lab.addHost('attacker');
  for (const version of ['v0.6.0', 'v0.2.2'] as const) {
    const label = version === 'v0.6.0' ? LABEL : '';
    const host = lab.addHost(version.replaceAll('.', ''));
    for (const one of ATTACKS) {
      const member = await startMember(lab, host, { version, label, keys: [KEY.toString('base64')] });
      await attack(attacker, member, one, label !== '', label);
      await t.resolves(member.process.exited(EXIT_TIMEOUT_MS), `${version}: ${one.name}`);
    }
  }
});

/** An old member behind a fence with its keys. */
async function startFenced(lab: Lab, attacker: Host, shield: boolean) {
  const host = lab.addHost(shield ? 'fenced' : 'open');
  const keyFile = lab.file('keys', KEY.toString('base64'));
  const config = {
    ...{ name: 'gossip', cluster: LABEL, stage: 'label', transparent: { port: GOSSIP_PORT }, shield },
    ...{ admit: { cidrs: [host.ipv4, attacker.ipv4] }, encryption: { keyFiles: [keyFile], reseal: 'on' } },
  };
  const fence = await host.fence({ fences: [config] });
  const member = await startMember(lab, host, { version: 'v0.2.2', keys: [KEY.toString('base64')] });
  await fence.waitUntil('ready');
  return { fence, member };
}

t.test('a fenced one lives, in both forms of associated data, and every frame is counted', { skip }, async (t) => {
  const lab = createLab({ name: 'sealfence' });
  t.teardown(() => lab.close());
  const attacker = lab.addHost('attacker');
  const { fence, member } = await startFenced(lab, attacker, true);
  for (const one of ATTACKS) {
    for (const [header, aad] of [
      [true, LABEL],
      [true, ''],
      [false, ''],
    ] as const) {
      await attack(attacker, member, one, header, aad);
    }
  }
  const [packets, streams] = [3, 9];
  await eventually('all were rejected', EXIT_TIMEOUT_MS, async () => {
    const found = JSON.stringify(await rejections(fence));
    const expected = JSON.stringify({
      'inbound native packet shield_empty_plaintext': packets,
      'inbound native stream shield_empty_plaintext': streams,
    });
    return found === expected ? undefined : found;
  });
  t.ok(member.process.running(), 'the member lives');
  t.strictSame(await member.members(), ['fenced']);
});

t.test('with the shield off it does not', { skip }, async (t) => {
  const lab = createLab({ name: 'sealopen' });
  t.teardown(() => lab.close());
  const attacker = lab.addHost('attacker');
  const { member } = await startFenced(lab, attacker, false);
  await attack(attacker, member, ATTACKS[1] as Attack, false, '');
  await t.resolves(member.process.exited(EXIT_TIMEOUT_MS), 'the same frame through the same fence');
});
