// What members answer to a stream that they cannot open, and to one that they can: its length alone tells which.
import t from 'tap';
import { readSealedAnswer } from '../../src/wire/sealed-refusal.ts';
import { createLab, type Host } from '../lab/lab.ts';
import { requireTools } from '../lab/tools.ts';
import type { MemberlistVersion } from './build.ts';
import { LABEL, startMember } from './members.ts';
import { GOSSIP_PORT, type Peer } from './peers.ts';

const skip = requireTools(['root', 'ip', 'setpriv', 'go']);
const KEY = Buffer.alloc(32, 7).toString('base64');

t.setTimeout(300_000);

/** Sends `hex` to a member and gives all that it answers; the script ends by itself. */
async function ask(from: Host, to: Peer, hex: string): Promise<Buffer> {
  const script = `const chunks = [];
    const s = require('node:net').connect(${GOSSIP_PORT}, '${to.host.ipv4}', () => s.write(Buffer.from('${hex}', 'hex')));
    s.on('data', (chunk) => chunks.push(chunk)).on('close', () => console.log(Buffer.concat(chunks).toString('hex')));
    s.on('error', (error) => console.error(error.code)).setTimeout(10_000, () => s.destroy());`;
  const { ok, output } = await from.run(process.execPath, ['-e', script]);
  if (!ok) throw new Error(output);
  return Buffer.from(output.trim(), 'hex');
}

/** A stream that nobody has the key of. */
function strangersStream(label: string): string {
  const sealed = Buffer.alloc(300, 0x5a);
  sealed[0] = 1;
  const head = Buffer.of(10, 0, 0, sealed.length >> 8, sealed.length & 0xff);
  const header = label === '' ? [] : [Buffer.of(244, label.length), Buffer.from(label)];
  return Buffer.concat([...header, head, sealed]).toString('hex');
}

t.test('a member that has other keys refuses in as many bytes', { skip }, async (t) => {
  const lab = createLab({ name: 'refusal' });
  t.teardown(() => lab.close());
  const asker = lab.addHost('asker');
  const versions: readonly MemberlistVersion[] = ['v0.6.0', 'v0.2.2'];
  for (const [i, version] of versions.entries()) {
    for (const compress of [true, false]) {
      const label = version === 'v0.2.2' ? '' : LABEL;
      const host = lab.addHost(`m${i}${compress ? 'c' : 'p'}`);
      const member = await startMember(lab, host, { version, label, compress, keys: [KEY] });
      const answer = await ask(asker, member, strangersStream(label));
      t.equal(readSealedAnswer(answer), 'refused', `${version}, compression ${compress}: ${answer.length} bytes`);
      await member.process.kill();
    }
  }
});
