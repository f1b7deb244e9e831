/** Quarantine of streams, and inspection that reads along: requests and answers, passed, rejected, observed. */
import t from 'tap';
import type { Inside } from '../../src/datapath/inside.ts';
import type { Direction } from '../../src/policy/facts.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { createQuarantine, NO_QUARANTINE_RULES } from '../../src/ring/quarantine.ts';
import type { FrameSource } from '../../src/ring/source.ts';
import { createKeyring, openStream, sealStream } from '../../src/wire/encryption.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { decodePushPull, encodePushPull } from '../../src/wire/push-pull.ts';
import { framed, marked } from './cases.ts';
import {
  dial,
  makeContext,
  OWN,
  rejected,
  sendAll,
  startFence,
  startRecorder,
  type TestContext,
  throughGate,
  until,
  withInside,
} from './harness.ts';
import { bytewise, pushPull, row } from './messages.ts';

const STATE = Buffer.alloc(20_000, 'state');
const STRANGER = { name: 'stranger', address: '10.0.0.9', port: 7946 };
const strangers = row('stranger', { Addr: Uint8Array.of(10, 0, 0, 9) });
const MERGED = Buffer.from(encodePushPull({ join: true, nodes: [row('friend'), strangers], userState: STATE }));
const QUARANTINE = createQuarantine({ ...NO_QUARANTINE_RULES, foreign: [STRANGER] });

/** One exchange; the target answers at the dialler's FIN. */
async function exchange(
  made: TestContext,
  request: readonly Uint8Array[],
  answer: Uint8Array,
  direction: Direction = 'inbound',
): Promise<{ request: Buffer | undefined; answer: Buffer }> {
  const target = await startRecorder((recorded) => recorded.socket.on('end', () => void sendAll(recorded, [answer])));
  const fence = await startFence(made, target.port, { direction });
  const dialler = await dial(fence.port);
  await sendAll(dialler, request);
  await dialler.ended();
  dialler.socket.destroy();
  await until('the stream to end', () => fence.streams.counts().inbound + fence.streams.counts().outbound === 0);
  const got = target.connections[0]?.received();
  await fence.close();
  await target.close();
  return { request: got, answer: dialler.received() };
}

function names(message: Uint8Array): string[] {
  const read = decodePushPull(message);
  return read.ok && Buffer.from(read.value.userState).equals(STATE) ? read.value.nodes.map(({ Name }) => Name) : [];
}

t.test('quarantine strips rows of requests and answers, in both directions', async (t) => {
  for (const direction of ['inbound', 'outbound'] as const) {
    for (const chunks of [[MERGED], [...bytewise(MERGED.subarray(0, 200)), MERGED.subarray(200)]]) {
      const made = withInside(makeContext({ stage: 'accept' }), { quarantine: () => QUARANTINE });
      const got = await exchange(made, chunks, MERGED, direction);
      t.same(names(got.request ?? Buffer.alloc(0)), ['friend'], `${direction} request`);
      t.same(names(got.answer), ['friend'], `${direction} answer`);
      t.same(made.reading().quarantined.stripped, 2);
    }
  }
});

t.test('quarantine reaches into encrypted streams, and the seal is as it came', async (t) => {
  const keys = createKeyring([Buffer.alloc(16, 3)]);
  const seal = (plain: Uint8Array) => sealStream(keys, plain, OWN, 1, 0);
  const made = withInside(makeContext({ stage: 'label', sends: 'own', takes: 'own' }), {
    keyring: () => keys,
    quarantine: () => QUARANTINE,
  });
  const got = await exchange(made, [marked('own', Buffer.from(seal(MERGED)))], seal(MERGED));
  for (const sealed of [got.request?.subarray(13) ?? got.answer, got.answer]) {
    const opened = openStream(keys, sealed, OWN);
    t.ok(opened.ok && opened.value.form === 'label');
    t.same(opened.ok ? names(opened.value.plain) : [], ['friend']);
  }
});

t.test("a foreigner's probe over TCP is dropped: nobody is dialled", async (t) => {
  const ping = Buffer.from(
    encodeMessage({
      type: 'ping',
      SeqNo: 1,
      Node: 'friend',
      SourceAddr: Uint8Array.of(10, 0, 0, 9),
      SourcePort: 7946,
      SourceNode: 'stranger',
    }),
  );
  const made = withInside(makeContext({ stage: 'accept' }), { quarantine: () => QUARANTINE });
  const got = await exchange(made, [ping], Buffer.from('ack'));
  t.equal(got.request, undefined);
  t.equal(got.answer.length, 0);
  t.same(made.reading().quarantined.dropped, 1);
});

t.test('at observe quarantine changes nothing', async (t) => {
  const made = withInside(makeContext({ stage: 'observe' }), { quarantine: () => QUARANTINE });
  const got = await exchange(made, [MERGED], MERGED);
  t.ok(got.request?.equals(MERGED));
  t.ok(got.answer.equals(MERGED));
});

interface Tapped {
  readonly source: FrameSource;
  bytes: string;
  ended: boolean | undefined;
}

/** An Inside that records what it is offered. */
function recording(tapped: Tapped[]): Partial<Inside> {
  return {
    stream(source) {
      const entry: Tapped = { source, bytes: '', ended: undefined };
      tapped.push(entry);
      return {
        push: (chunk) => {
          entry.bytes += Buffer.from(chunk).toString('hex');
          return true;
        },
        end: (complete) => {
          entry.ended = complete;
        },
      };
    },
  };
}

t.test('inspection reads requests and answers as they came, after the label', async (t) => {
  const request = pushPull(['one', 'two'], STATE);
  const answer = pushPull(['three'], STATE);
  for (const stage of ['observe', 'accept', 'label'] as const satisfies Stage[]) {
    for (const carrier of ['native', 'dskit-stream'] as const) {
      for (const split of [false, true]) {
        const tapped: Tapped[] = [];
        const made = withInside(makeContext({ stage }), recording(tapped));
        const sent = framed(carrier, marked('own', request));
        await exchange(made, split ? [...bytewise(sent.subarray(0, 150)), sent.subarray(150)] : [sent], answer);
        const what = `${stage} ${carrier} ${split ? 'split' : 'whole'}`;
        t.match(
          tapped,
          [{ source: { answer: false, rejected: false, labelState: 'own' } }, { source: { answer: true } }],
          what,
        );
        // Of a native push/pull what follows the table is of no interest; dskit's state is.
        const [table, whole] = carrier === 'native' ? [request.length - STATE.length, false] : [request.length, true];
        const [read = '', answered = ''] = tapped.map(({ bytes }) => bytes);
        t.ok(request.toString('hex').startsWith(read) && read.length >= 2 * table, `${what}: request`);
        t.ok(answer.toString('hex').startsWith(answered), `${what}: answer`);
        t.equal(answered.length >= 2 * (answer.length - (whole ? 0 : STATE.length)), true, `${what}: all of interest`);
        t.same(
          tapped.map(({ ended }) => ended),
          [true, true],
          what,
        );
      }
    }
  }
});

t.test('inspection reads rejected streams, what is drained of them too', async (t) => {
  const request = pushPull(['one', 'two'], Buffer.alloc(2_000_000, 'x'));
  for (const split of [false, true]) {
    const tapped: Tapped[] = [];
    const made = withInside(makeContext({ stage: 'enforce' }), recording(tapped));
    const sent = framed('dskit-stream', marked('foreign', request));
    await exchange(made, split ? [...bytewise(sent.subarray(0, 100)), sent.subarray(100)] : [sent], Buffer.alloc(0));
    t.equal(tapped.length, 1);
    t.match(tapped[0]?.source, { rejected: true, labelState: 'foreign', answer: false });
    t.ok(tapped[0]?.bytes === request.toString('hex'), 'all of it');
    t.equal(tapped[0]?.ended, true);
    t.same(rejected(made.reading()), { 'inbound dskit stream label_foreign': 1 });
  }
});

t.test(
  'dskit packets that only inspection collects are bounded over all streams, and a peer has a share',
  async (t) => {
    let inspected: string[] = [];
    const packet = (source: FrameSource): void => void inspected.push(source.peer.address);
    for (const [mark, stage] of [
      ['foreign', 'accept'],
      ['own', 'observe'],
    ] as const) {
      inspected = [];
      const made = withInside(makeContext({ stage }), { room: () => true, packet });
      const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
      const fence = await startFence(made, target.port);
      const large = framed('dskit-packet', marked(mark, Buffer.concat([Uint8Array.of(8), Buffer.alloc(900_000)])));
      const busy = await Promise.all(Array.from({ length: 12 }, () => dial(fence.port, '127.0.0.2')));
      await Promise.all(busy.map((dialler) => sendAll(dialler, [large.subarray(0, -1)], false)));
      await until('all of it', () => made.reading().frames.reduce((sum, { value }) => sum + value, 0) === busy.length);
      await sendAll(await dial(fence.port), [large]);
      await until('the other', () => inspected.includes('127.0.0.1'));
      for (const { socket } of busy) socket.end(large.subarray(-1));
      await Promise.all(busy.map((dialler) => dialler.ended()));
      await until('every stream to end', () => fence.streams.counts().inbound === 0);
      const ofBusy = inspected.filter((address) => address === '127.0.0.2').length;
      t.ok(ofBusy > 0 && ofBusy <= 6, `${mark}: ${ofBusy} of ${busy.length} fitted`);
      t.same(Object.keys(rejected(made.reading())), stage === 'observe' ? [] : ['inbound dskit packet label_foreign']);
      await fence.close();
      await target.close();
    }
  },
);

t.test('a stream that breaks off ends its inspection as cut; TLS and broken headers have none', async (t) => {
  const tapped: Tapped[] = [];
  const made = withInside(makeContext({ stage: 'observe' }), recording(tapped));
  const target = await startRecorder();
  const fence = await startFence(made, target.port);
  const dialler = await dial(fence.port);
  dialler.socket.write(pushPull(['one'], STATE).subarray(0, 500));
  await until('the bytes', () => (tapped[0]?.bytes.length ?? 0) === 1_000);
  dialler.socket.resetAndDestroy();
  await until('the end', () => tapped[0]?.ended !== undefined);
  t.equal(tapped[0]?.ended, false);
  for (const bytes of [Buffer.from([22, 3, 1, 0, 5]), Buffer.from([244, 0, 6])]) {
    const other = await dial(fence.port);
    await new Promise((resolve) => other.socket.write(bytes, resolve));
    other.socket.resetAndDestroy();
  }
  await until('the others to end', () => fence.streams.counts().inbound === 0);
  t.equal(tapped.length, 1);
  await fence.close();
  await target.close();
});

t.test('what the app writes on streams tells whether packets may be ciphertext', async (t) => {
  const keys = createKeyring([Buffer.alloc(16, 3)]);
  const sealedState = Buffer.from(sealStream(keys, MERGED, new Uint8Array(0), 1, 0));
  // Ciphertext that reads like an indirect ping of 2^32 fields.
  const unlucky = Buffer.concat([Buffer.of(1, 0xdf, 0xff, 0xff, 0xff, 0xff), Buffer.alloc(60, 0x91)]);
  const peer = { address: '127.0.0.1', port: 7946 };
  for (const direction of ['inbound', 'outbound'] as const) {
    for (const stage of ['observe', 'accept'] as const) {
      const made = makeContext({ stage });
      const passes = () => {
        made.setStage('accept');
        const passing = throughGate(made.context, unlucky, 'inbound', peer);
        made.setStage(stage);
        return passing !== undefined;
      };
      const app = async (bytes: Uint8Array, peers: Uint8Array) =>
        direction === 'inbound' ? exchange(made, [peers], bytes) : exchange(made, [bytes], peers, 'outbound');
      const where = `${direction}, ${stage}`;
      await app(MERGED, sealedState);
      t.notOk(passes(), `${where}: plaintext`);
      await app(sealedState, MERGED);
      t.ok(passes(), `${where}: sealed`);
      await app(MERGED, sealedState);
      t.notOk(passes(), `${where}: plaintext again`);
    }
  }
  const made = makeContext({ stage: 'accept' });
  const passes = () => throughGate(made.context, unlucky, 'inbound', peer) !== undefined;
  const body = (packet: Uint8Array) => framed('dskit-packet', Buffer.from(packet));
  await exchange(made, [body(encodeMessage({ type: 'nackResp', SeqNo: 1 }))], new Uint8Array(0), 'outbound');
  t.notOk(passes(), 'a dskit packet in plaintext');
  await exchange(made, [body(Buffer.alloc(60, 1))], new Uint8Array(0), 'outbound');
  t.ok(passes(), 'a sealed one');
});
