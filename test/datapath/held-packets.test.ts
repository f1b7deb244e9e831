/** dskit packet connections that are held: shield, keys, quarantine, and the digest that what goes on must have. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { createQuarantine, NO_QUARANTINE_RULES } from '../../src/ring/quarantine.ts';
import { createKeyring, openPacket, sealPacket } from '../../src/wire/encryption.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { framed, marked } from './cases.ts';
import {
  dial,
  frames,
  makeContext,
  OWN,
  pause,
  rejected,
  sendAll,
  startFence,
  startRecorder,
  type TestContext,
  withInside,
} from './harness.ts';
import { bytewise } from './messages.ts';

const KEYS = createKeyring([Buffer.alloc(16, 3)]);
const DIGEST_BYTES = 16;

function alive(Node: string, Vsn = Uint8Array.of(1, 5, 2, 0, 0, 0)): Buffer {
  const Addr = Uint8Array.of(10, 0, 0, 7);
  return Buffer.from(
    encodeMessage({ type: 'alive', Incarnation: 3, Node, Addr, Port: 7946, Meta: new Uint8Array(0), Vsn }),
  );
}

/** Sends one connection through an inbound fence and gives what the app got; undefined when it was not dialled. */
async function through(made: TestContext, chunks: readonly Uint8Array[]): Promise<Buffer | undefined> {
  const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
  const fence = await startFence(made, target.port);
  const dialler = await dial(fence.port);
  await sendAll(dialler, chunks);
  await dialler.ended();
  const got = fence.dials() === 0 ? undefined : target.connections[0]?.received();
  await fence.close();
  await target.close();
  return got;
}

/** The packet of a connection, and whether its digest is right. */
function packetOf(connection: Buffer | undefined): { packet: Buffer; right: boolean } {
  const bytes = connection ?? Buffer.alloc(0);
  const packet = bytes.subarray(2 + (bytes[1] ?? 0), -DIGEST_BYTES);
  return { packet, right: createHash('md5').update(packet).digest().equals(bytes.subarray(-DIGEST_BYTES)) };
}

t.test('a packet waits for its FIN, and passes as it came but for the label', async (t) => {
  for (const mark of ['own', 'none'] as const) {
    for (const split of [false, true]) {
      const sent = framed('dskit-packet', marked(mark, alive('friend')));
      const made = makeContext({ stage: 'accept' });
      const got = await through(made, split ? bytewise(sent) : [sent]);
      t.ok(got?.equals(framed('dskit-packet', alive('friend'))));
      t.same(frames(made.reading()), { [`inbound dskit packet ${mark} pass`]: 1 });
    }
  }
});

t.test('a wrong digest stays wrong, whatever becomes of the packet', async (t) => {
  const sent = framed('dskit-packet', marked('own', alive('friend')));
  sent[sent.length - 1] = (sent.at(-1) ?? 0) ^ 1;
  const { packet, right } = packetOf(await through(makeContext({ stage: 'accept' }), [sent]));
  t.ok(packet.equals(alive('friend')));
  t.notOk(right);
});

t.test('a packet that harms is rejected, and never dialled through', async (t) => {
  const bad = framed('dskit-packet', marked('own', alive('friend', Uint8Array.of(1, 2))));
  for (const chunks of [[bad], bytewise(bad)]) {
    const made = makeContext({ stage: 'accept' });
    t.equal(await through(made, chunks), undefined);
    t.same(rejected(made.reading()), { 'inbound dskit packet shield_bad_version': 1 });
  }
});

t.test('at observe it passes, and is counted for the later stages', async (t) => {
  const bad = framed('dskit-packet', marked('own', alive('friend', Uint8Array.of(1, 2))));
  const made = makeContext({ stage: 'observe' });
  t.ok((await through(made, bytewise(bad)))?.equals(bad));
  t.same(rejected(made.reading()), {});
  t.match(made.rejections, [{ reason: 'shield_bad_version', wouldRejectAt: 'accept', kind: 'packet' }]);
});

t.test('a connection that never ends is reset in time', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const fence = await startFence(made, 1, { limits: { holdTimeoutMs: 300 } });
  const dialler = await dial(fence.port);
  dialler.socket.write(framed('dskit-packet', marked('own', alive('friend'))));
  t.equal(await dialler.ended(), 'reset');
  t.same(rejected(made.reading()), { 'inbound dskit packet hold_timeout': 1 });
  t.equal(fence.dials(), 0);
  await fence.close();
});

t.test("an encrypted packet comes out in the app's form, with a right digest", async (t) => {
  const sealed = Buffer.from(sealPacket(KEYS, alive('friend'), OWN, 1, 0));
  const made = withInside(makeContext({ stage: 'accept' }), { keyring: () => KEYS });
  const { packet, right } = packetOf(await through(made, [framed('dskit-packet', marked('own', sealed))]));
  const opened = openPacket(KEYS, packet, OWN);
  t.ok(opened.ok && opened.value.form === 'empty');
  if (opened.ok) t.ok(Buffer.from(opened.value.plain).equals(alive('friend')));
  t.ok(right);
  const damaged = framed('dskit-packet', marked('own', sealed));
  damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
  t.notOk(packetOf(await through(made, [damaged])).right);
});

t.test('quarantine leaves nothing of a packet: nobody is dialled, and it is counted', async (t) => {
  const rules = { ...NO_QUARANTINE_RULES, foreign: [{ name: 'stranger', address: '10.0.0.7', port: 7946 }] };
  const quarantine = createQuarantine(rules);
  const made = withInside(makeContext({ stage: 'accept' }), { quarantine: () => quarantine });
  const sent = framed('dskit-packet', marked('own', alive('stranger')));
  t.equal(await through(made, [sent]), undefined);
  t.same(rejected(made.reading()), {}, 'the frame itself was in order');
  const { stripped, dropped } = made.reading().quarantined;
  t.same([stripped, dropped], [1, 0]);
  t.ok(
    (await through(made, [framed('dskit-packet', alive('friend'))]))?.equals(framed('dskit-packet', alive('friend'))),
  );
});

t.test('inspection is offered the packet once it is whole: passed, rejected, held or not', async (t) => {
  const foreign = framed('dskit-packet', marked('foreign', alive('stranger')));
  const own = framed('dskit-packet', marked('own', alive('friend')));
  const cases = [
    { stage: 'observe', sent: foreign, rejected: false, shield: true },
    { stage: 'accept', sent: foreign, rejected: true, shield: true },
    { stage: 'accept', sent: own, rejected: false, shield: true },
    { stage: 'accept', sent: own, rejected: false, shield: false },
  ] as const;
  for (const { stage, sent, shield, rejected: isRejected } of cases) {
    const seen: [boolean, string, string][] = [];
    const made = withInside(makeContext({ stage, shield }), {
      room: () => true,
      packet: ({ rejected: was, labelState }, memory, at, end) =>
        void seen.push([was, labelState, Buffer.from(memory.subarray(at, end)).toString('hex')]),
    });
    await through(made, bytewise(sent));
    await pause(20);
    const body = sent === foreign ? alive('stranger') : alive('friend');
    t.same(
      seen,
      [[isRejected, sent === foreign ? 'foreign' : 'own', body.toString('hex')]],
      `${stage} shield ${shield}`,
    );
  }
});
