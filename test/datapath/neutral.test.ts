// Pings on streams, and fences' own pings in packets, teach nothing of what their sender speaks: with and without a look into the stream,
// sealed or not, in observe too. A foreign label counts all the same.
import t from 'tap';
import { NO_INSIDE } from '../../src/datapath/inside.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { createKeyring, sealPacket, sealStream } from '../../src/wire/encryption.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { encodeProbe } from '../../src/wire/probe.ts';
import { framed, type Mark, marked } from './cases.ts';
import {
  dial,
  makeContext,
  OWN,
  sendAll,
  startFence,
  startRecorder,
  type TestContext,
  throughGate,
  until,
  withInside,
} from './harness.ts';
import { pushPull } from './messages.ts';

const KEYS = createKeyring([new Uint8Array(32).fill(1)]);
const PROBE = Buffer.from(encodeProbe({ seqNo: 7, node: 'tempo-1' }));
const SOURCE = { SourceAddr: Uint8Array.of(127, 0, 0, 1), SourcePort: 7946, SourceNode: 'tempo-1' };
const PING = Buffer.from(encodeMessage({ type: 'ping', SeqNo: 7, Node: 'tempo-0', ...SOURCE }));
const TABLE = pushPull(['tempo-1']);

/** What is remembered of the sender: `own`, `none`, `foreign`, `unlabelled`. */
function learned({ context }: TestContext): readonly string[] {
  const record = context.peers.records(context.now()).find(({ port }) => port === 0);
  const { lastOwnMs = 0, lastNoneMs = 0, lastForeignMs = 0, unlabelled } = record ?? {};
  const shown = { own: lastOwnMs, none: lastNoneMs, foreign: lastForeignMs, unlabelled: unlabelled?.count ?? 0 };
  return Object.entries(shown).flatMap(([what, value]) => (value > 0 ? [what] : []));
}

async function after(
  stream: Buffer,
  stage: Stage,
  made: TestContext = makeContext({ stage }),
): Promise<readonly string[]> {
  const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
  const fence = await startFence(made, target.port);
  const dialler = await dial(fence.port);
  await sendAll(dialler, [stream]);
  await until('it to be over', () => fence.streams.counts().inbound === 0);
  await fence.close();
  await target.close();
  return learned(made);
}

for (const stage of ['observe', 'accept'] as const) {
  t.test(`streams at ${stage}`, async (t) => {
    const of = (mark: Mark, message: Buffer) => after(marked(mark, message), stage);
    for (const [what, ping] of Object.entries({ PROBE, PING })) {
      t.strictSame(await of('own', ping), [], `${what} with our label`);
      t.strictSame(await of('none', ping), [], `${what} without one`);
      t.strictSame(await of('foreign', ping), ['foreign'], `${what} with a foreign one`);
    }
    t.strictSame(await of('own', TABLE), ['own']);
    t.strictSame(await of('none', TABLE), ['none', 'unlabelled']);
  });

  t.test(`dskit's packets at ${stage}: only a fence's ping is known as such`, async (t) => {
    const of = (message: Buffer) => after(framed('dskit-packet', marked('own', message)), stage);
    t.strictSame(await of(PROBE), []);
    t.strictSame(await of(PING), ['own']);
  });
}

t.test('without the shield nothing looks into a stream, and the header says enough', async (t) => {
  const blind = () => makeContext({ stage: 'accept', shield: false });
  t.strictSame(await after(marked('own', PROBE), 'accept', blind()), []);
  t.strictSame(await after(framed('dskit-packet', marked('own', PROBE)), 'accept', blind()), []);
  t.strictSame(await after(marked('own', TABLE), 'accept', blind()), ['own']);
});

t.test('sealed ones, opened with the keys to look into them', async (t) => {
  const keyed = () => withInside(makeContext({ stage: 'accept' }), { keyring: () => KEYS });
  const stream = (plain: Buffer) => marked('own', Buffer.from(sealStream(KEYS, plain, OWN, 1, 0)));
  t.strictSame(await after(stream(PROBE), 'accept', keyed()), []);
  t.strictSame(await after(stream(TABLE), 'accept', keyed()), ['own']);
  const packet = (plain: Buffer) =>
    framed('dskit-packet', marked('own', Buffer.from(sealPacket(KEYS, plain, OWN, 1, 0))));
  t.strictSame(await after(packet(PROBE), 'accept', keyed()), []);
  t.strictSame(await after(packet(PING), 'accept', keyed()), ['own']);
});

t.test('datagrams', async (t) => {
  const peer = { address: '127.0.0.1', port: 7946 };
  const pass = (plain: Buffer, seals: boolean) => {
    const made = makeContext({ stage: 'accept' });
    const context = { ...made.context, inside: { ...NO_INSIDE, keyring: () => KEYS } };
    throughGate(context, PING, 'outbound', peer);
    const body = seals ? sealPacket(KEYS, plain, OWN, 1, 0) : plain;
    throughGate(context, marked('own', Buffer.from(body)), 'inbound', peer);
    return learned(made);
  };
  for (const seals of [true, false]) {
    t.strictSame(pass(PROBE, seals), []);
    t.strictSame(pass(PING, seals), ['own'], 'a member that answers');
  }
});
