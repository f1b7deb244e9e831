/** Encrypted streams: opened with the keys, looked into, and sealed for their reader, requests and answers. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { Inside } from '../../src/datapath/inside.ts';
import type { Direction } from '../../src/policy/facts.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { createQuarantine, NO_QUARANTINE_RULES } from '../../src/ring/quarantine.ts';
import { encodeCompress } from '../../src/wire/compress.ts';
import { createKeyring, openStream, type SealForm, sealStream } from '../../src/wire/encryption.ts';
import { USER_STATE_MAX_BYTES } from '../../src/wire/limits.ts';
import { framed, marked } from './cases.ts';
import {
  dial,
  FOREIGN,
  makeContext,
  OWN,
  rejected,
  sendAll,
  startFence,
  startRecorder,
  type TestContext,
  withInside,
} from './harness.ts';
import { bytewise, HARMFUL, pushPull } from './messages.ts';

const NO_LABEL = new Uint8Array(0);
const KEY_BYTES = [Buffer.alloc(32, 1), Buffer.alloc(16, 2)];
const KEYS = createKeyring(KEY_BYTES);
const STRANGERS = createKeyring([Buffer.alloc(32, 9)]);
const REQUEST = pushPull(['one', 'two'], Buffer.alloc(100_000, 'state'));
const ANSWER = pushPull(['three'], Buffer.alloc(50_000, 'other'));

/** `plain` under the second key, so that the key of a frame shows in what becomes of it. */
function sealed(plain: Uint8Array, form: SealForm, version: 0 | 1 = 1, keyring = KEYS): Buffer {
  return Buffer.from(sealStream(keyring, plain, form === 'label' ? OWN : NO_LABEL, version, keyring.size - 1));
}

interface Exchanged {
  readonly made: TestContext;
  /** What the other side got, the label header included. */
  readonly request: Buffer;
  readonly answer: Buffer;
}

interface Way {
  readonly inside: Partial<Inside>;
  readonly direction?: Direction;
  readonly stage?: Stage;
  readonly chunked?: boolean;
}

/** One exchange through a fence of an app that predates labels. */
async function exchange(request: Buffer, answer: Buffer, way: Way): Promise<Exchanged> {
  const { inside, direction = 'inbound', stage = 'label', chunked = false } = way;
  const made = withInside(makeContext({ stage }), inside);
  const target = await startRecorder((recorded) => {
    recorded.socket.on('end', () => void sendAll(recorded, chunked ? bytewise(answer) : [answer]));
  });
  const fence = await startFence(made, target.port, { direction });
  const dialler = await dial(fence.port);
  await sendAll(dialler, chunked ? [...bytewise(request.subarray(0, 300)), request.subarray(300)] : [request]);
  await dialler.ended();
  const got = target.connections[0]?.received() ?? Buffer.alloc(0);
  await fence.close();
  await target.close();
  return { made, request: got, answer: dialler.received() };
}

/** How `frame` is sealed; undefined when it is not by these keys, or its content is another. */
function formOf(frame: Uint8Array, plain: Uint8Array): (string | number)[] | undefined {
  const opened = openStream(KEYS, frame, OWN);
  if (!opened.ok || !Buffer.from(opened.value.plain).equals(plain)) return undefined;
  const { form, version, key } = opened.value;
  return [form, version, key];
}

function sealCounts(made: TestContext) {
  const { sealed: opened, resealed } = made.reading();
  return {
    opened: opened
      .filter(({ value }) => value > 0)
      .map(({ direction, kind, outcome, value }) => [direction, kind, outcome, value]),
    resealed: resealed.filter(({ value }) => value > 0).map(({ direction, value }) => [direction, value]),
  };
}

t.test('a native member dials an app that predates labels, and reads its answer', async (t) => {
  for (const version of [0, 1] as const) {
    for (const chunked of [false, true]) {
      const request = marked('own', sealed(REQUEST, 'label', version));
      const answer = sealed(ANSWER, 'empty', version);
      const inside = { keyring: () => KEYS, reseal: () => true };
      const got = await exchange(request, answer, { inside, chunked });
      t.same(formOf(got.request, REQUEST), ['empty', version, 1], "the app's form, the same version and key");
      t.same(
        formOf(got.answer, ANSWER),
        ['label', version, 1],
        'the answer carries no header, and the label in its data',
      );
      t.same(rejected(got.made.reading()), {});
      t.same(sealCounts(got.made), {
        opened: [
          ['inbound', 'stream', 'label', 1],
          ['inbound', 'stream', 'empty', 1],
        ],
        resealed: [['inbound', 2]],
      });
    }
  }
});

t.test('the app dials a native member, with reseal and without', async (t) => {
  for (const reseal of [true, false]) {
    const inside = { keyring: () => KEYS, reseal: () => reseal };
    const got = await exchange(sealed(REQUEST, 'empty'), sealed(ANSWER, 'label'), { inside, direction: 'outbound' });
    t.ok(got.request.subarray(0, 13).equals(marked('own', Buffer.alloc(0))), 'with the label in front');
    t.same(formOf(got.request.subarray(13), REQUEST)?.[0], reseal ? 'label' : 'empty');
    t.same(formOf(got.answer, ANSWER), ['empty', 1, 1], 'towards the app always in its form');
    if (!reseal) t.ok(got.request.subarray(13).length === sealed(REQUEST, 'empty').length);
  }
});

t.test('between fenced members nothing has to be sealed anew, and bytes stay as they are', async (t) => {
  const request = sealed(REQUEST, 'empty');
  const answer = sealed(ANSWER, 'empty');
  const got = await exchange(marked('own', request), answer, { inside: { keyring: () => KEYS } });
  t.ok(got.request.equals(request));
  t.ok(got.answer.equals(answer));
  t.same(sealCounts(got.made).resealed, []);
  const with2 = await exchange(marked('own', request), answer, { inside: { keyring: () => KEYS, reseal: () => true } });
  t.ok(with2.answer.equals(answer), 'who sealed without the label reads without: it is answered so');
});

t.test('what no key opens, and every stream at observe, passes as it came', async (t) => {
  const request = sealed(REQUEST, 'label', 1, STRANGERS);
  const answer = sealed(ANSWER, 'label', 1, STRANGERS);
  const inside = { keyring: () => KEYS, reseal: () => true };
  const got = await exchange(marked('own', request), answer, { inside });
  t.ok(got.request.equals(request));
  t.ok(got.answer.equals(answer));
  t.same(sealCounts(got.made).opened, [['inbound', 'stream', 'no_key', 2]]);
  const observed = await exchange(sealed(REQUEST, 'label'), sealed(ANSWER, 'label'), { inside, stage: 'observe' });
  t.same(formOf(observed.request, REQUEST)?.[0], 'label');
  t.same(formOf(observed.answer, ANSWER)?.[0], 'label');
  const keyless = await exchange(marked('own', sealed(REQUEST, 'label')), sealed(ANSWER, 'empty'), { inside: {} });
  t.same(formOf(keyless.request, REQUEST)?.[0], 'label', 'without keys neither');
});

t.test('a frame that announces more than members take is not waited for', async (t) => {
  const huge = Buffer.concat([Buffer.from([10, 0x7f, 0xff, 0xff, 0xff]), Buffer.alloc(100)]);
  const got = await exchange(marked('own', huge), Buffer.from('no'), { inside: { keyring: () => KEYS } });
  t.ok(got.request.equals(huge));
});

t.test('harm inside is found, and the dialler is told in a form that it reads', async (t) => {
  // Of two bytes, where the padding says that it has sixteen: a slice of negative length in memberlist.
  for (const [carrier, form] of [
    ['native', 'label'],
    ['native', 'empty'],
    ['dskit-stream', 'label'],
  ] as const) {
    const made = withInside(makeContext({ stage: 'accept' }), { keyring: () => KEYS });
    const fence = await startFence(made, 1);
    const dialler = await dial(fence.port);
    await sendAll(dialler, [framed(carrier, marked('own', sealed(HARMFUL, form)))]);
    t.equal(await dialler.ended(), 'fin');
    const told = openStream(KEYS, dialler.received(), OWN);
    t.ok(told.ok && told.value.form === form, 'sealed as its own request was');
    if (told.ok) t.match(Buffer.from(told.value.plain).toString('latin1'), /^\r\x81\xa5Error.*shield_bad_version/s);
    t.same(Object.values(rejected(made.reading())), [1]);
    t.equal(fence.dials(), 0);
    await fence.close();
  }
});

t.test('a frame that opens to nothing is harm, in requests and in answers', async (t) => {
  const nothing = sealed(NO_LABEL, 'label');
  const keyring = createKeyring(KEY_BYTES);
  const made = withInside(makeContext({ stage: 'accept' }), { keyring: () => keyring });
  const fence = await startFence(made, 1);
  const dialler = await dial(fence.port);
  await sendAll(dialler, [marked('own', nothing)]);
  t.equal(await dialler.ended(), 'fin');
  t.match(openStream(KEYS, dialler.received(), OWN), { ok: true, value: { key: 0, form: 'label' } }, 'told, sealed');
  t.same(rejected(made.reading()), { 'inbound native stream shield_empty_plaintext': 1 });
  await fence.close();
  const got = await exchange(REQUEST, nothing, { inside: { keyring: () => KEYS }, direction: 'outbound' });
  t.equal(got.answer.length, 0);
  t.same(rejected(got.made.reading()), { 'outbound native stream shield_empty_plaintext': 1 });
});

t.test(
  'a stream that is rejected by its label is answered under the key of the ring, in the form of its dialler',
  async (t) => {
    const cases = [
      { name: 'a native foreigner', direction: 'inbound', sends: 'none', mark: 'foreign', aad: FOREIGN },
      { name: 'an unlabelled stranger', direction: 'inbound', sends: 'none', mark: 'none', aad: NO_LABEL },
      { name: 'the app, which predates labels', direction: 'outbound', sends: 'none', mark: 'none', aad: NO_LABEL },
      { name: 'the app, a native one', direction: 'outbound', sends: 'own', mark: 'own', aad: OWN },
    ] as const;
    for (const { name, direction, sends, mark, aad } of cases) {
      for (const [ring, ending] of [
        [createKeyring(KEY_BYTES), 'fin'],
        [undefined, 'reset'],
      ] as const) {
        const elsewhere = [{ address: '10.0.0.0', prefix: 8, family: 'ipv4' }] as const;
        const policy = { stage: 'enforce', sends, takes: sends } as const;
        const made = withInside(makeContext(policy, elsewhere), { keyring: () => ring });
        const fence = await startFence(made, 1, { direction });
        const dialler = await dial(fence.port);
        await sendAll(dialler, [marked(mark, sealed(REQUEST, 'empty', 1, STRANGERS))]);
        t.equal(await dialler.ended(), ending, `${name}, ${ring === undefined ? 'without' : 'with'} keys`);
        if (ring !== undefined) {
          const opened = openStream(ring, dialler.received(), aad);
          const form = aad.length === 0 ? 'empty' : 'label';
          t.match(opened, { ok: true, value: { key: 0, version: 1, form } }, name);
          t.match(opened.ok ? Buffer.from(opened.value.plain).toString('latin1') : '', /Error.*ringfence: /s, name);
        }
        await fence.close();
      }
    }
  },
);

t.test('at observe harm inside an encrypted stream is counted, and passes', async (t) => {
  const request = sealed(HARMFUL, 'label');
  const got = await exchange(marked('own', request), Buffer.from('bye'), {
    inside: { keyring: () => KEYS },
    stage: 'observe',
    chunked: true,
  });
  t.ok(got.request.equals(marked('own', request)));
  t.same(rejected(got.made.reading()), {});
  t.match(got.made.rejections, [{ reason: 'shield_bad_version', wouldRejectAt: 'accept' }]);
  t.equal(got.made.rejections.length, 1);
});

t.test('the largest user state passes at the default bounds: plain, packed, encrypted, and stripped', async (t) => {
  const state = Buffer.alloc(USER_STATE_MAX_BYTES, 'state');
  const plain = pushPull(['one', 'two'], state);
  // What is encrypted has the bound as a whole.
  const small = pushPull(['one', 'two'], state.subarray(1_000));
  const nobody = createQuarantine(NO_QUARANTINE_RULES);
  // Members pack streams even where nothing is won, and dskit's values are packed already.
  const swollen = Buffer.from(encodeCompress(pushPull(['one', 'two'], randomBytes(USER_STATE_MAX_BYTES)), 0));
  const cases: [string, Buffer, Buffer, Partial<Inside>][] = [
    ['plain', plain, plain, {}],
    ['packed', Buffer.from(encodeCompress(plain, 0)), Buffer.from(encodeCompress(plain, 0)), {}],
    ['packed although that made it larger', swollen, plain, {}],
    ['under quarantine', plain, plain, { quarantine: () => nobody }],
    ['encrypted', sealed(small, 'empty'), sealed(small, 'empty'), { keyring: () => KEYS }],
  ];
  for (const [name, request, answer, inside] of cases) {
    const got = await exchange(marked('own', request), answer, { inside });
    t.same(rejected(got.made.reading()), {}, name);
    t.equal(got.request.length, request.length, `${name}: request`);
    t.equal(got.answer.length, answer.length, `${name}: answer`);
    if (name !== 'encrypted') t.ok(got.request.equals(request) && got.answer.equals(answer), name);
    else t.ok(openStream(KEYS, got.request, OWN).ok && openStream(KEYS, got.answer, OWN).ok, name);
  }
});
