import t from 'tap';
import {
  createProber,
  type Pinger,
  type PingResult,
  type ProbeTarget,
  SELDOM_ROUNDS,
} from '../../src/control/prober.ts';
import { createFakeClock } from './fake-clock.ts';

const INTERVAL_MS = 10_000;
const PING_MS = 10;

const ANSWERED: PingResult = { outcome: 'answered', label: 'own' };
const PLAIN: PingResult = { outcome: 'answered', label: undefined };
const SILENT: PingResult = { outcome: 'silent' };
const UNABLE: PingResult = { outcome: 'unable' };

const A: ProbeTarget = { name: 'a', address: '10.0.0.1', port: 7946 };
const B: ProbeTarget = { name: 'b', address: 'fd00::2', port: 7946 };

function stand(datagrams = true) {
  const clock = createFakeClock();
  const state = {
    targets: [A, B] as readonly ProbeTarget[],
    /** What the pings of `leg address` give, one after the other; the last one for good. */
    results: new Map<string, PingResult[]>(),
    asked: [] as string[],
    own: [] as string[],
    canAsk: true,
    rounds: 0,
    closed: 0,
  };
  const ping = (leg: string) => async (target: ProbeTarget) => {
    state.asked.push(`${leg} ${target.address} ${target.name}`);
    await new Promise<void>((resolve) => void clock.after(PING_MS, resolve));
    const results = state.results.get(`${leg} ${target.address}`) ?? [leg === 'packet' ? ANSWERED : PLAIN];
    return (results.length > 1 ? results.shift() : results[0]) as PingResult;
  };
  const pinger: Pinger = {
    round() {
      if (!state.canAsk) return undefined;
      state.rounds++;
      return {
        packet: datagrams ? ping('packet') : undefined,
        stream: ping('stream'),
        close: () => void state.closed++,
      };
    },
  };
  const prober = createProber({
    clock,
    intervalMs: () => INTERVAL_MS,
    targets: () => state.targets,
    pinger,
    onOwn: (address) => state.own.push(address),
  });
  return { clock, prober, state, startMs: clock.now() };
}

t.test('both legs of everyone, once an interval', async (t) => {
  const { clock, prober, state, startMs } = stand();
  t.equal(prober.report(A), undefined, 'not asked yet');
  prober.start();
  await clock.pass(INTERVAL_MS - 1);
  t.strictSame(state.asked, [
    ...['packet 10.0.0.1 a', 'stream 10.0.0.1 a'],
    ...['packet fd00::2 b', 'stream fd00::2 b'],
  ]);
  const leg = (atMs: number) => ({ askedMs: startMs + atMs, answeredMs: startMs + atMs + PING_MS, silentSinceMs: 0 });
  t.strictSame(prober.report(A), {
    packet: { ...leg(0), answer: 'own' },
    stream: { ...leg(0), answer: undefined },
  });
  t.strictSame(prober.report(B)?.stream, { ...leg(5_000), answer: undefined });
  t.equal(prober.report({ ...A, port: 7947 }), undefined, 'another port is another member');
  t.strictSame(state.own, [A.address, B.address], 'labelled answers are told');
  await clock.pass(INTERVAL_MS);
  t.strictSame([state.asked.length, state.rounds, state.closed], [8, 2, 2], 'sockets last for a round');
});

t.test('silence counts from the second loss in a row, and ends with an answer', async (t) => {
  const { clock, prober, state, startMs } = stand();
  state.targets = [A];
  state.results.set('packet 10.0.0.1', [SILENT, ANSWERED, SILENT, SILENT, SILENT, SILENT, ANSWERED]);
  prober.start();
  const packet = () => prober.report(A)?.packet;
  await clock.pass(1_000);
  t.match(packet(), { answeredMs: startMs + 2 * PING_MS, silentSinceMs: 0 }, 'one loss is no silence');
  await clock.pass(INTERVAL_MS);
  t.match(packet(), { answeredMs: startMs + 2 * PING_MS, silentSinceMs: startMs + INTERVAL_MS, answer: 'own' });
  t.equal(prober.report(A)?.stream.silentSinceMs, 0, 'the other leg has its own answer');
  await clock.pass(INTERVAL_MS);
  t.match(packet(), { askedMs: startMs + 2 * INTERVAL_MS, silentSinceMs: startMs + INTERVAL_MS }, 'since the first');
  await clock.pass(INTERVAL_MS);
  t.match(packet(), { answeredMs: startMs + 3 * INTERVAL_MS + PING_MS, silentSinceMs: 0 });
});

t.test('what we could not ask says nothing', async (t) => {
  const { clock, prober, state, startMs } = stand();
  state.targets = [A];
  state.results.set('packet 10.0.0.1', [UNABLE]);
  state.results.set('stream 10.0.0.1', [SILENT, UNABLE]);
  prober.start();
  await clock.pass(1_000);
  t.equal(prober.report(A), undefined, 'never asked');
  state.results.set('stream 10.0.0.1', [PLAIN, UNABLE]);
  await clock.pass(3 * INTERVAL_MS);
  t.strictSame(prober.report(A), {
    packet: { askedMs: 0, answeredMs: 0, answer: undefined, silentSinceMs: 0 },
    stream: {
      askedMs: startMs + INTERVAL_MS,
      answeredMs: startMs + INTERVAL_MS + PING_MS,
      answer: undefined,
      silentSinceMs: 0,
    },
  });
});

t.test('a transport without datagrams', async (t) => {
  const { clock, prober, state } = stand(false);
  prober.start();
  await clock.pass(INTERVAL_MS - 1);
  t.strictSame(state.asked, ['stream 10.0.0.1 a', 'stream fd00::2 b']);
  t.equal(prober.report(A)?.packet, undefined);
  t.equal(prober.report(A)?.stream.silentSinceMs, 0);
});

t.test('reports belong to the targets of the last round', async (t) => {
  const { clock, prober, state } = stand();
  prober.start();
  await clock.pass(INTERVAL_MS - 1);
  const recycled = { ...A, name: 'recycled' };
  state.targets = [recycled];
  state.results.set('packet 10.0.0.1', [UNABLE]).set('stream 10.0.0.1', [UNABLE]);
  t.equal(prober.report(recycled), undefined, 'nor until the next round begins');
  await clock.pass(1_000);
  t.equal(prober.report(recycled), undefined, "another member's answers at the same address are not this one's");
  t.equal(prober.report(B), undefined, 'no target any more');
});

t.test('several members at one address and port: whoever is there', async (t) => {
  const { clock, prober, state } = stand();
  const unnamed = { ...A, name: undefined };
  state.targets = [A, { ...A, name: 'z' }, B, A, { ...B, port: 1 }, unnamed];
  prober.start();
  await clock.pass(INTERVAL_MS - 1);
  const asked = state.asked.filter((line) => line.startsWith('packet'));
  t.strictSame(asked, ['packet 10.0.0.1 undefined', 'packet fd00::2 b', 'packet fd00::2 b']);
  t.ok(prober.report({ ...A, name: 'z' }), 'of each that was meant');
  t.equal(prober.report({ ...A, name: 'new' }), undefined, 'and of nobody else');
});

t.test('while nobody can be asked, nothing is known', async (t) => {
  const { clock, prober, state } = stand();
  prober.start();
  await clock.pass(INTERVAL_MS - 1);
  state.canAsk = false;
  await clock.pass(INTERVAL_MS);
  t.equal(prober.report(A), undefined);
  t.equal(state.asked.length, 4, 'no ping went out');
  state.canAsk = true;
  await clock.pass(1_000);
  t.not(prober.report(A), undefined, 'asked again as soon as that is possible');
});

t.test('without targets no sockets are opened', async (t) => {
  const { clock, prober, state } = stand();
  state.targets = [];
  prober.start();
  await clock.pass(60_000);
  t.equal(state.rounds, 0);
});

t.test('stopping in the middle of a round', async (t) => {
  const { clock, prober, state } = stand();
  prober.start();
  await clock.pass(PING_MS / 2);
  prober.stop();
  prober.stop();
  t.equal(state.closed, 1, 'its sockets are closed');
  await clock.pass(60_000);
  t.equal(state.asked.length, 2);
  t.equal(clock.planned(), 0);
});

t.test('who drops every ping is asked seldom, until its fence promises an answer', async (t) => {
  const { clock, prober, state } = stand();
  state.targets = [A];
  for (const leg of ['packet', 'stream']) state.results.set(`${leg} 10.0.0.1`, [SILENT]);
  const rounds = () => state.asked.length / 4;
  prober.start();
  await clock.pass(3 * INTERVAL_MS - 1);
  t.equal(rounds(), 3, 'three rounds, both legs twice in each');
  await clock.pass((SELDOM_ROUNDS - 2) * INTERVAL_MS);
  t.equal(rounds(), 3, 'then it is left in peace');
  t.ok((prober.report(A)?.stream.silentSinceMs ?? 0) > 0, 'and silent all the while');
  t.equal(state.closed, state.rounds, 'no socket is left open meanwhile');
  await clock.pass(INTERVAL_MS);
  t.equal(rounds(), 4, 'and asked again');
  state.targets = [{ ...A, promising: true }];
  await clock.pass(2 * INTERVAL_MS);
  t.equal(rounds(), 6, 'in every round once its fence is known to take the label');
  state.targets = [A];
  for (const leg of ['packet', 'stream']) state.results.set(`${leg} 10.0.0.1`, [PLAIN]);
  await clock.pass(SELDOM_ROUNDS * INTERVAL_MS);
  const asked = state.asked.length;
  t.equal(prober.report(A)?.stream.silentSinceMs, 0, 'it answers');
  await clock.pass(2 * INTERVAL_MS);
  t.equal(state.asked.length, asked + 4, 'and is asked in every round again');
});
