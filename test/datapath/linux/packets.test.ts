import fc from 'fast-check';
import t from 'tap';
import { type Fault, type FenceContext, NO_DOUBTS, type Rejection } from '../../../src/datapath/engine.ts';
import { NO_INSIDE } from '../../../src/datapath/inside.ts';
import { NONCE_BYTES, TEST_ADDRESSES } from '../../../src/datapath/linux/self-test.ts';
import { createAdmission, NO_ADMISSION_RULES } from '../../../src/policy/admission.ts';
import { createSnapshot } from '../../../src/policy/decide.ts';
import { STAGES, type Stage } from '../../../src/policy/stage.ts';
import { createTally, TALLY_BYTES } from '../../../src/policy/tally.ts';
import { readTallies } from '../../../src/policy/tally-reading.ts';
import { createPeerTable, peerTableBytes } from '../../../src/ring/peers.ts';
import { encodeLabelHeader } from '../../../src/wire/label.ts';
import { createPacketPathKit, endsOf, type SendOutcome } from './kernel-kit.ts';

const LABEL = Buffer.from('one');
const HEADER = Buffer.from(encodeLabelHeader(LABEL));
const PEERS = { peers: 16, windowMs: 60_000, foreignMs: 10_000 };

const has = (text: string) => text === '10.0.0.1' || text === 'fd00::1';

interface Sent {
  readonly family: 4 | 6;
  readonly from: string;
  readonly to: string;
  readonly bytes: Buffer;
}

function harness(stage: Stage, outcome: SendOutcome = {}) {
  const buffer = new ArrayBuffer(TALLY_BYTES);
  const rejections: Rejection[] = [];
  const faults: Fault[] = [];
  const tests: number[] = [];
  const context: FenceContext = {
    name: 'one',
    label: LABEL,
    snapshot: () =>
      createSnapshot({ stage, sends: 'none', takes: 'none', wire: 'none', unterminatedTls: 'reject', shield: true }),
    admission: () => createAdmission(NO_ADMISSION_RULES),
    starting: () => false,
    doubts: NO_DOUBTS,
    peers: createPeerTable(new ArrayBuffer(peerTableBytes(PEERS.peers)), PEERS),
    tally: createTally(buffer),
    now: () => 1e12,
    onRejection: (rejection) => rejections.push(rejection),
    inside: NO_INSIDE,
    onFault: (fault) => faults.push(fault),
  };
  const local = { has, inbound: (_source: string, destination: string) => has(destination) };
  const path = createPacketPathKit(context, local, { outcome, onTestDatagram: (family) => tests.push(family) > 0 });
  const sent = (): Sent[] =>
    path.sent.map(({ flow, bytes }) => ({
      family: flow.family,
      ...endsOf(flow),
      bytes,
    }));
  return { path, sent, rejections, faults, tests, reading: () => readTallies([buffer]) };
}

const datagram = (source: string, destination: string, payload: Buffer, port = 7946) => ({
  source: { address: source, port: 7946 },
  destination: { address: destination, port },
  payload,
});
const body = Buffer.from([8, 1, 2, 3]);
const labelled = Buffer.concat([HEADER, body]);

t.test('the destination tells the direction, the stage what becomes of the label', async (t) => {
  const { path, sent, reading } = harness('label');
  path.handle(datagram('10.0.0.1', '10.0.0.2', body));
  path.handle(datagram('10.0.0.2', '10.0.0.1', labelled));
  path.handle(datagram('fd00::1', 'fd00::2', body));
  path.handle(datagram('fd00::2', 'fd00::1', labelled));
  t.same(sent(), [
    { family: 4, from: '10.0.0.1 7946', to: '10.0.0.2 7946', bytes: labelled },
    { family: 4, from: '10.0.0.2 7946', to: '10.0.0.1 7946', bytes: body },
    { family: 6, from: 'fd00::1 7946', to: 'fd00::2 7946', bytes: labelled },
    { family: 6, from: 'fd00::2 7946', to: 'fd00::1 7946', bytes: body },
  ]);
  const bytes = (direction: string) =>
    reading().bytes.find((one) => one.direction === direction && one.transport === 'native' && one.kind === 'packet')
      ?.value;
  t.equal(bytes('outbound'), 2 * body.length);
  t.equal(bytes('inbound'), 2 * labelled.length);
});

t.test('it says how many it took, whatever became of them', async (t) => {
  const { path } = harness('accept');
  t.equal(path.handle(datagram('10.0.0.1', '10.0.0.2', body), datagram('10.0.0.2', '10.0.0.1', body)), 2);
  t.equal(path.handle(), 0);
});

t.test('what is sent to the proxy port itself', async (t) => {
  const { path, sent, rejections, reading } = harness('observe');
  path.handle(datagram('10.0.0.2', '10.0.0.1', body, 17_946));
  t.same(sent(), []);
  t.match(rejections, [{ reason: 'not_intercepted', peer: { address: '10.0.0.2', port: 7946 }, direction: 'inbound' }]);
  t.equal(sum(reading().rejected), 1);
});

t.test("the self-test's datagram goes no further; a gossip frame to the same address is a frame", async (t) => {
  const { path, sent, tests } = harness('observe');
  path.handle(datagram('10.0.0.1', TEST_ADDRESSES[4], Buffer.alloc(NONCE_BYTES)));
  path.handle(datagram('fd00::1', TEST_ADDRESSES[6], Buffer.alloc(NONCE_BYTES)));
  t.same(tests, [4, 6]);
  t.same(sent(), []);
  path.handle(datagram('10.0.0.1', TEST_ADDRESSES[4], body));
  path.handle(datagram('10.0.0.1', '10.0.0.2', Buffer.alloc(NONCE_BYTES)));
  t.equal(sent().length, 2);
});

t.test('a datagram that cannot be sent is counted, and said a few times', async (t) => {
  const failing = harness('label', { reason: 'peer_unreachable', errno: 'EHOSTUNREACH', oversize: true });
  for (let i = 0; i < 20; i++) failing.path.handle(datagram('10.0.0.1', '10.0.0.2', body));
  for (let i = 0; i < 3; i++) failing.path.handle(datagram('10.0.0.2', '10.0.0.1', body));
  const dropped = Object.fromEntries(failing.reading().dropped.map(({ reason, value }) => [reason, value]));
  t.match(dropped, { peer_unreachable: 20, app_unreachable: 3, send_failed: 0 });
  t.equal(failing.reading().oversize, 23);
  t.equal(failing.faults.length, 5);
  t.match(failing.faults[0], { code: 'packet_send_failed', message: /9 bytes to 10\.0\.0\.2 .*EHOSTUNREACH/ });
});

t.test('no bytes break it, and observe forwards all of them as they are', async (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }).map((rest) => Uint8Array.from([244, ...rest])),
    fc.uint8Array({ maxLength: 300 }).map((rest) => Uint8Array.from([...HEADER, ...rest])),
  );
  const ends = fc.constantFrom(['10.0.0.2', '10.0.0.1'], ['10.0.0.1', '10.0.0.2'], ['fd00::2', 'fd00::1']);
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(bytes, ends, fc.constantFrom(...STAGES), (payload, [source = '', destination = ''], stage) => {
        const { path, sent, rejections, reading } = harness(stage);
        path.handle(datagram(source, destination, Buffer.from(payload)));
        const untouched = stage !== 'observe' || sent()[0]?.bytes.equals(payload) === true;
        const carriedOut = rejections.filter(({ wouldRejectAt }) => wouldRejectAt === undefined);
        return untouched && sent().length + carriedOut.length === 1 && sum(reading().frames) === 1;
      }),
      { numRuns: 500 },
    ),
  );
});

function sum(series: readonly { readonly value: number }[]): number {
  return series.reduce((total, { value }) => total + value, 0);
}
