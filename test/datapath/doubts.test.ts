import fc from 'fast-check';
import t from 'tap';
import {
  createDoubts,
  type DoubtsOptions,
  REST_MS,
  WAITING_MAX,
  WAITING_PER_PEER_MAX,
} from '../../src/datapath/doubts.ts';
import { createTimedDoubts } from '../../src/datapath/timed-doubts.ts';
import { PROPERTY } from '../property.ts';
import { pause, until } from './harness.ts';

const WAIT_MS = 2_000;

function setting(over: Partial<DoubtsOptions> = {}) {
  const state = { now: 1e12, starting: false, canAsk: true };
  const asked: { address: string; reached: boolean; question: number }[] = [];
  const doubts = createDoubts({
    canAsk: () => state.canAsk,
    starting: () => state.starting,
    ask: ({ address, reached }, question) => asked.push({ address, reached, question }),
    now: () => state.now,
    waitMs: WAIT_MS,
    bytesMax: 1_000_000,
    ...over,
  });
  const decided: string[] = [];
  const wait = (address: string, name = address, reached = true, bytes = 10) =>
    doubts.wait({ address, reached }, bytes, () => decided.push(name));
  return { state, asked, doubts, decided, wait };
}

const address = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;

t.test('frames of one stranger wait for one question, and go on in their order', async (t) => {
  const { doubts, asked, decided, wait } = setting();
  for (const name of ['one', 'two', 'three']) t.equal(wait('10.0.0.1', name), true);
  t.strictSame(asked, [{ address: '10.0.0.1', reached: true, question: 1 }]);
  t.equal(doubts.waiting(), 3);
  t.strictSame(decided, []);
  doubts.answered('10.0.0.1');
  t.strictSame(decided, ['one', 'two', 'three']);
  t.equal(doubts.waiting(), 0);
  doubts.answered();
  t.equal(doubts.expire(1e13), undefined);
  t.equal(decided.length, 3, 'once each');
});

t.test('an answer about one says nothing of another, nor of what was asked after it', async (t) => {
  const { doubts, decided, wait, state } = setting();
  wait('10.0.0.1');
  wait('10.0.0.2');
  doubts.answered('10.0.0.2');
  t.strictSame(decided, ['10.0.0.2']);
  wait('10.0.0.3');
  doubts.answered(undefined, 2);
  t.strictSame(decided, ['10.0.0.2', '10.0.0.1'], 'the third question came later');
  state.now += REST_MS + 1;
  wait('10.0.0.2', 'again');
  doubts.answered('10.0.0.2', 3);
  t.equal(decided.length, 2, 'an old answer about the same address either');
  doubts.answered();
  t.strictSame(decided.slice(2), ['10.0.0.3', 'again']);
});

t.test('after an answer a stranger rests: decided at once, and then asked about again', async (t) => {
  const { doubts, asked, wait, state } = setting();
  wait('10.0.0.1');
  doubts.answered('10.0.0.1');
  t.equal(wait('10.0.0.1'), false);
  state.now += REST_MS - 1;
  t.equal(wait('10.0.0.1'), false);
  t.equal(asked.length, 1);
  state.now += 1;
  t.equal(wait('10.0.0.1'), true);
  t.equal(asked.length, 2);
});

t.test('without an answer a frame is decided when its time is over, and its peer rests', async (t) => {
  const { doubts, decided, wait, state } = setting();
  const began = state.now;
  wait('10.0.0.1', 'first');
  state.now += 500;
  wait('10.0.0.2', 'second');
  t.equal(doubts.expire(state.now), began + WAIT_MS);
  t.strictSame(decided, []);
  state.now = began + WAIT_MS;
  t.equal(doubts.expire(state.now), began + 500 + WAIT_MS);
  t.strictSame(decided, ['first']);
  t.equal(wait('10.0.0.1'), false, 'nobody answers: not asked again at once');
  state.now += REST_MS;
  t.equal(wait('10.0.0.1'), true);
  doubts.answered();
  t.strictSame(decided, ['first', 'second', '10.0.0.1']);
});

t.test('nothing waits where asking cannot help', async (t) => {
  const { doubts, asked, wait, state } = setting();
  state.canAsk = false;
  t.equal(wait('10.0.0.1'), false);
  doubts.ask({ address: '10.0.0.1', reached: true });
  t.strictSame(asked, []);
});

t.test('with no time to wait, strangers are asked about all the same', async (t) => {
  const { asked, wait } = setting({ waitMs: 0 });
  t.equal(wait('10.0.0.1'), false);
  t.equal(wait('10.0.0.1'), false);
  t.equal(asked.length, 1);
});

t.test('one who is asked about without waiting (observe) is asked about once', async (t) => {
  const { doubts, asked, state } = setting();
  for (let i = 0; i < 5; i++) doubts.ask({ address: '10.0.0.1', reached: false });
  t.equal(asked.length, 1);
  doubts.answered('10.0.0.1');
  state.now += REST_MS;
  doubts.ask({ address: '10.0.0.1', reached: false });
  t.equal(asked.length, 2);
});

t.test('while the stage is not known every frame waits, and only the stage ends that', async (t) => {
  const { doubts, decided, wait, state } = setting();
  state.starting = true;
  state.canAsk = false;
  for (let i = 0; i < 500; i++) t.equal(wait(address(i)), true);
  doubts.answered();
  t.equal(decided.length, 0, 'DNS has answered, the stage is still unknown');
  state.starting = false;
  doubts.answered(address(3));
  t.ok(decided.length > 300, `${decided.length} that nobody was asked about`);
  t.ok(decided.includes(address(3)));
  t.notOk(decided.includes(address(4)), 'its own answer comes');
  doubts.answered();
  t.equal(decided.length, 500);
});

t.test('a flood of made-up senders leaves questions and room for peers that were reached', async (t) => {
  const { doubts, asked, wait, state } = setting();
  let waited = 0;
  for (let i = 0; i < 20_000; i++) {
    state.now += 0.1;
    if (wait(address(i), 'flood', false)) waited++;
    for (let again = 0; again < 3; again++) if (wait(address(i % 40), 'flood', false)) waited++;
  }
  t.ok(asked.length <= 40 + 2 * 20 + 1, `${asked.length} questions in two seconds`);
  t.ok(waited <= WAITING_MAX / 2, `${waited} of the flood wait`);
  for (let i = 0; i < 100; i++) t.equal(wait(`fd00::${i}`), true, `member ${i}`);
  t.equal(asked.filter(({ reached }) => reached).length, 100);
  doubts.answered();
  t.equal(doubts.waiting(), 0);
});

t.test('bounds in frames of a peer, in bytes, and in all', async (t) => {
  const { wait } = setting();
  for (let i = 0; i < WAITING_PER_PEER_MAX; i++) t.equal(wait('10.0.0.1'), true);
  t.equal(wait('10.0.0.1'), false);
  t.equal(wait('10.0.0.2'), true, 'another has its own');
  const bytes = setting({ bytesMax: 1_000 });
  t.equal(bytes.wait('10.0.0.1', 'spoofable', false, 501), false, 'half of it');
  t.equal(bytes.wait('10.0.0.1', 'spoofable', false, 500), true);
  t.equal(bytes.wait('10.0.0.2', 'more of it', false, 1), false);
  t.equal(bytes.wait('10.0.0.3', 'reached', true, 500), true);
  t.equal(bytes.wait('10.0.0.3', 'full', true, 1), false);
  bytes.doubts.answered('10.0.0.1');
  t.equal(bytes.wait('10.0.0.3', 'room again', true, 500), true);
  const many = setting();
  many.state.starting = true;
  for (let i = 0; i < WAITING_MAX; i++) t.equal(many.wait(address(i)), true);
  t.equal(many.wait('fd00::1'), false);
});

t.test(
  'property: whatever happens, each waiting frame is decided exactly once, within its time, its peer in order',
  async (t) => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('wait' as const), peer: fc.nat(4), bytes: fc.nat(400), reached: fc.boolean() }),
      fc.record({ do: fc.constant('answer' as const), peer: fc.nat(5), upTo: fc.option(fc.nat(10)) }),
      fc.record({ do: fc.constant('pass' as const), ms: fc.nat(1_500) }),
      fc.record({ do: fc.constant('start' as const), on: fc.boolean() }),
    );
    const property = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { state, doubts } = setting({ bytesMax: 1_000 });
      const open = new Map<number, { peer: number; untilMs: number }>();
      const order: { peer: number; id: number }[] = [];
      let ids = 0;
      let sound = true;
      for (const one of steps) {
        if (one.do === 'wait') {
          const id = ids++;
          const untilMs = state.now + WAIT_MS;
          const again = () => {
            sound &&= open.delete(id);
            order.push({ peer: one.peer, id });
          };
          if (doubts.wait({ address: address(one.peer), reached: one.reached }, one.bytes, again)) {
            open.set(id, { peer: one.peer, untilMs });
          }
        } else if (one.do === 'answer') {
          doubts.answered(one.peer === 5 ? undefined : address(one.peer), one.upTo ?? undefined);
        } else if (one.do === 'start') state.starting = one.on;
        else {
          state.now += one.ms;
          const next = doubts.expire(state.now);
          const ends = [...open.values()].map(({ untilMs }) => untilMs);
          sound &&= ends.every((untilMs) => untilMs > state.now);
          sound &&= next === (ends.length === 0 ? undefined : Math.min(...ends));
        }
        sound &&= doubts.waiting() === open.size;
      }
      for (let peer = 0; peer < 5; peer++) {
        const ids = order.filter((one) => one.peer === peer).map(({ id }) => id);
        sound &&= ids.every((id, i) => i === 0 || id > (ids[i - 1] ?? 0));
      }
      doubts.expire(state.now + WAIT_MS);
      return sound && open.size === 0;
    });
    t.doesNotThrow(() => fc.assert(property, PROPERTY));
  },
);

t.test('on the main thread a timer ends the waits, and stopping ends the timer', async (t) => {
  const now = () => performance.now();
  const options = { canAsk: () => true, starting: () => false, ask: () => undefined, now, waitMs: 60, bytesMax: 1_000 };
  const doubts = createTimedDoubts(options);
  const began = now();
  const times: number[] = [];
  t.equal(
    doubts.wait({ address: '10.0.0.1', reached: true }, 1, () => times.push(now() - began)),
    true,
  );
  await pause(30);
  t.equal(
    doubts.wait({ address: '10.0.0.2', reached: true }, 1, () => times.push(now() - began)),
    true,
  );
  t.equal(doubts.waiting(), 2);
  await until('both are over', () => times.length === 2);
  t.ok((times[0] ?? 0) >= 60 && (times[1] ?? 0) >= 90, `${times}`);
  doubts.ask({ address: '10.0.0.9', reached: true });
  t.equal(
    doubts.wait({ address: '10.0.0.3', reached: true }, 1, () => times.push(0)),
    true,
  );
  doubts.answered('10.0.0.3');
  t.equal(times.length, 3);
  doubts.wait({ address: '10.0.0.4', reached: true }, 1, () => times.push(0));
  doubts.stop();
  t.equal(
    doubts.wait({ address: '10.0.0.5', reached: true }, 1, () => times.push(0)),
    false,
    'decided at once',
  );
  await pause(100);
  t.equal(times.length, 3);
});
