/**
 * Encrypted members of every kind, bare and behind fences that have the keys, in pairs: what a receiver can read is worked out here
 * from what members do (wire-protocol §2, §5) and from the stage table, and compared with what comes out of the data path.
 */
import t from 'tap';
import type { PolicySettings } from '../../src/policy/decide.ts';
import type { Direction } from '../../src/policy/facts.ts';
import { STAGES, type Stage } from '../../src/policy/stage.ts';
import {
  createKeyring,
  openPacket,
  openStream,
  type SealForm,
  sealPacket,
  sealStream,
} from '../../src/wire/encryption.ts';
import { addPacketLabel, encodeLabelHeader, peekPacketLabel } from '../../src/wire/label.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import {
  dial,
  makeContext,
  OWN,
  sendAll,
  startFence,
  startRecorder,
  type TestContext,
  throughGate,
  withInside,
} from './harness.ts';
import { pushPull } from './messages.ts';

const KEYS = createKeyring([Buffer.alloc(32, 1), Buffer.alloc(16, 2)]);
const HEADER = encodeLabelHeader(OWN);
const PEER = { address: '127.0.0.1', port: 7946 };
const ACK = encodeMessage({ type: 'nackResp', SeqNo: 7 });

/** What members do: before labels, with them, with SkipInboundLabelCheck, and Grafana's fork that verifies none. */
const KINDS = {
  old: { sends: 'none', takes: 'none' },
  native: { sends: 'own', takes: 'own' },
  skips: { sends: 'own', takes: 'none' },
  any: { sends: 'own', takes: 'any' },
} as const;
type Kind = keyof typeof KINDS;

interface Fence {
  readonly stage: Stage;
  readonly wire: 'none' | 'own';
  readonly reseal: boolean;
}
interface Side {
  readonly kind: Kind;
  readonly fence: Fence | undefined;
}
/** What stands on the wire. */
interface Seen {
  readonly header: boolean;
  readonly form: SealForm;
}

const formOf = (kind: Kind): SealForm => (KINDS[kind].sends === 'own' ? 'label' : 'empty');
const acts = ({ fence }: Side): Fence | undefined => (fence?.stage === 'observe' ? undefined : fence);
const aadOf = (form: SealForm) => (form === 'label' ? OWN : new Uint8Array(0));

function onWire(side: Side): Seen {
  const [header, form] = [KINDS[side.kind].sends === 'own', formOf(side.kind)];
  const fence = acts(side);
  if (fence === undefined) return { header, form };
  const labelled = fence.stage !== 'accept' || fence.wire === 'own';
  return { header: labelled, form: fence.reseal ? (labelled ? 'label' : 'empty') : form };
}

function appReads({ kind }: Side, { header, form }: Seen): boolean {
  const { takes } = KINDS[kind];
  return form === formOf(kind) && (takes === 'any' || header === (takes === 'own'));
}

function reads(side: Side, seen: Seen): boolean {
  const fence = acts(side);
  return fence === undefined ? appReads(side, seen) : fence.stage !== 'enforce' || seen.header;
}

/** Whether the dialler can read the answer to a request that was read. An answer has no header. */
function readsAnswer(dialler: Side, server: Side): boolean {
  if (acts(dialler) !== undefined) return true;
  const form = acts(server)?.reseal === true ? formOf(dialler.kind) : formOf(server.kind);
  return form === formOf(dialler.kind);
}

function contextOf({ kind, fence }: Side): TestContext {
  const policy: Partial<PolicySettings> = {
    ...KINDS[kind],
    wire: fence?.wire ?? 'none',
    stage: fence?.stage ?? 'observe',
  };
  return withInside(makeContext(policy), { keyring: () => KEYS, reseal: () => fence?.reseal === true });
}

function through(made: TestContext, packet: Uint8Array, direction: Direction): Uint8Array | undefined {
  return throughGate(made.context, packet, direction, PEER);
}

const sideText = ({ kind, fence }: Side) =>
  `${kind} ${fence === undefined ? 'bare' : `${fence.stage} wire ${fence.wire} reseal ${fence.reseal}`}`;

t.test('packets: every pair', async (t) => {
  const fences = STAGES.flatMap((stage) =>
    (['none', 'own'] as const).flatMap((wire) => [true, false].map((reseal) => ({ stage, wire, reseal }))),
  );
  const sides = (Object.keys(KINDS) as Kind[]).flatMap((kind) =>
    [undefined, ...fences].map((fence) => ({ kind, fence })),
  );
  const made = sides.map((side) => ({ side, context: contextOf(side) }));
  const wrong: string[] = [];
  let read = 0;
  for (const from of made) {
    const sealed = sealPacket(KEYS, ACK, aadOf(formOf(from.side.kind)), 1, 1);
    const sent = KINDS[from.side.kind].sends === 'own' ? addPacketLabel(sealed, HEADER) : sealed;
    const wire = from.side.fence === undefined ? sent : through(from.context, sent, 'outbound');
    for (const to of made) {
      const got = wire && (to.side.fence === undefined ? wire : through(to.context, wire, 'inbound'));
      const peeked = got && peekPacketLabel(got);
      const body = peeked?.ok ? got?.subarray(peeked.value.bodyAt) : undefined;
      const opened = body && openPacket(KEYS, body, OWN);
      const header = peeked?.ok === true && peeked.value.bodyAt > 0;
      const understood = opened?.ok === true && appReads(to.side, { header, form: opened.value.form });
      if (understood !== reads(to.side, onWire(from.side)))
        wrong.push(`${sideText(from.side)} -> ${sideText(to.side)}`);
      if (understood) read++;
    }
  }
  t.same(wrong.slice(0, 10), []);
  t.ok(read > sides.length * sides.length * 0.4, `${read} of ${sides.length ** 2} pairs read each other`);
});

t.test('streams: requests and their answers', async (t) => {
  const fences: (Fence | undefined)[] = [
    undefined,
    { stage: 'accept', wire: 'none', reseal: false },
    { stage: 'accept', wire: 'own', reseal: true },
    { stage: 'label', wire: 'none', reseal: true },
  ];
  const sides = (['old', 'native', 'skips'] as const).flatMap((kind) => fences.map((fence) => ({ kind, fence })));
  const [request, answer] = [pushPull(['one', 'two']), pushPull(['three'])];
  let answered = 0;
  for (const server of sides) {
    const app = await startRecorder((recorded) => {
      recorded.socket.on('end', () => {
        const sealed = sealStream(KEYS, answer, aadOf(formOf(server.kind)), 1, 1);
        void sendAll(recorded, [sealed]);
      });
    });
    const inbound = server.fence === undefined ? undefined : await startFence(contextOf(server), app.port);
    for (const dialler of sides) {
      const before = app.connections.length;
      const port = inbound?.port ?? app.port;
      const outbound =
        dialler.fence === undefined ? undefined : await startFence(contextOf(dialler), port, { direction: 'outbound' });
      const client = await dial(outbound?.port ?? port);
      const header = KINDS[dialler.kind].sends === 'own' ? [HEADER] : [];
      await sendAll(client, [Buffer.concat([...header, sealStream(KEYS, request, aadOf(formOf(dialler.kind)), 1, 1)])]);
      await client.ended();
      const got = app.connections[before]?.received() ?? Buffer.alloc(0);
      const labelled = got[0] === 244;
      const opened = openStream(KEYS, got.subarray(labelled ? HEADER.length : 0), OWN);
      const understood = opened.ok && appReads(server, { header: labelled, form: opened.value.form });
      const name = `${sideText(dialler)} -> ${sideText(server)}`;
      if (understood !== reads(server, onWire(dialler))) t.fail(`request: ${name}`);
      const back = openStream(KEYS, client.received(), OWN);
      const answerRead = back.ok && back.value.form === formOf(dialler.kind);
      if (understood && answerRead !== readsAnswer(dialler, server)) t.fail(`answer: ${name}`);
      if (understood && answerRead) answered++;
      await outbound?.close();
    }
    await inbound?.close();
    await app.close();
  }
  t.ok(answered > 70, `${answered} of ${sides.length ** 2} were answered`);
});
