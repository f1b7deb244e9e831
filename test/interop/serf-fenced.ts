/** The fenced arm: what merged in the control arm stays apart, and the counters say why. */
import type { Test } from 'tap';
import { pingUdp, probeTcp } from '../lab/probes.ts';
import { type Agent, allAlive, assertQuiet, assertRing, type Family, SERF_PORT } from './serf-agents.ts';
import { buildStand, type FencedHost, growth, marksOf, type Stand, sleep } from './serf-stand.ts';
import { kernelCount, watchWire } from './serf-wire.ts';

const QUIET_MS = 60_000;
const PROXY_PORT = 17_946;
/** Beside b1's fence, which is at accept. */
const BARE = ['b2', 'b3'];
const BYPASS = ['bypass_in', 'bypass_out'] as const;

export async function fencedArm(t: Test, family: Family): Promise<void> {
  const stand = await buildStand(t, family);
  for (const { host } of stand.a) watchWire(host, 'a');
  const everyone = [...stand.a, ...stand.b, stand.stray];
  const unchanged = async (t: Test, when: string) => {
    await assertRing(t, stand.a, `A is itself ${when}`);
    await assertRing(t, stand.b, `B is itself ${when}`);
    await assertRing(t, [stand.stray], `the stray is alone ${when}`);
  };
  await t.test('60 s of quiet', async (t) => {
    const marks = marksOf(everyone);
    t.strictSame(await growth(stand, () => sleep(QUIET_MS)), {}, 'nothing was rejected');
    assertQuiet(t, everyone, marks, 'no suspicion', BARE);
    await unchanged(t, 'after the quiet');
    await throughTheFence(t, stand);
  });
  const marks = marksOf(everyone);
  await t.test('every join across fails', (t) => foreignJoins(t, stand));
  await t.test('single frames are judged too', (t) => singleFrames(t, stand));
  await unchanged(t, 'after the joins');
  assertQuiet(t, everyone, marks, 'the attempts disturbed nobody', BARE);
  await t.test('a member leaves and rejoins', (t) => leaveAndRejoin(t, stand));
  await t.test('a killed fence fails closed', (t) => killedFence(t, stand));
  await unchanged(t, 'at the end');
  assertQuiet(t, [...stand.b, stand.stray], marks, "A's troubles never reached others", BARE);
}

/** That the quiet was a fenced one: labels on the wire both ways and in both kinds, and the peers' own addresses at the app. */
async function throughTheFence(t: Test, { a, fences }: Stand): Promise<void> {
  for (const kind of ['packet', 'stream']) {
    for (const [direction, state] of [
      ['inbound', 'own'],
      ['outbound', 'none'],
    ] as const) {
      // The others joined a1; whom a push/pull of theirs goes to later is random.
      const by = direction === 'inbound' ? 'a1' : 'a2';
      const seen = await fences[by].metric('frames_total', { kind, direction, label_state: state, verdict: 'pass' });
      t.ok(seen > 0, `${direction} ${kind}s with label ${state} passed ${by}'s fence: ${seen}`);
    }
  }
  t.equal(await fences.a1.metric('frames_total', { direction: 'inbound', label_state: 'none' }), 0, 'none came bare');
  for (const agent of a) {
    for (const way of ['in', 'out']) {
      t.ok(kernelCount(agent.host, 'watch', `labelled_${way}`) > 0, `the kernel saw label a, ${way} of ${agent.name}`);
      t.equal(kernelCount(agent.host, 'watch', `other_${way}`), 0, `and no other datagram, ${way} of ${agent.name}`);
    }
  }
  const streams = a[0].process().lines().join('\n');
  for (const { name, address } of a.slice(1)) {
    t.match(
      streams,
      `Stream connection from=${address.includes(':') ? `[${address}]` : address}:`,
      `a1's app saw ${name}`,
    );
  }
}

async function foreignJoins(t: Test, stand: Stand): Promise<void> {
  const { a, b, stray } = stand;
  const attempts: readonly [Agent, Agent, FencedHost, string][] = [
    [b[0], a[0], 'b1', 'outbound native stream peer_not_admitted'],
    [b[1], a[0], 'a1', 'inbound native stream label_missing'],
    [b[2], a[1], 'a2', 'inbound native stream label_missing'],
    [stray, a[2], 'a3', 'inbound native stream label_foreign'],
    [stray, b[0], 'b1', 'inbound native stream label_foreign'],
    [a[0], b[1], 'a1', 'outbound native stream peer_not_admitted'],
    [a[1], b[0], 'a2', 'outbound native stream peer_not_admitted'],
    [a[2], stray, 'a3', 'outbound native stream peer_foreign'],
  ];
  for (const [from, to, rejecting, why] of attempts) {
    const grown = await growth(stand, async () => {
      const { ok, output } = await from.join(to);
      t.notOk(ok, `${from.name} cannot join ${to.name}`);
      t.match(output, /remote error: ringfence: /, 'serf says why');
    });
    t.strictSame(grown, { [rejecting]: { [why]: 1 } }, `${rejecting}'s fence says why: ${why}`);
  }
}

async function singleFrames(t: Test, stand: Stand): Promise<void> {
  const { a, b, stray } = stand;
  const at = ({ address }: Agent, port = SERF_PORT) => ({ address, port });
  t.equal(await pingUdp(b[2].host, at(b[1]), { node: 'b2' }), 'answer', 'the probe works: a bare member answers it');
  const grown = await growth(stand, async () => {
    const answers = await Promise.all([
      pingUdp(b[1].host, at(a[0]), { node: 'a1' }),
      pingUdp(b[1].host, at(a[1]), { node: 'a2', label: 'b' }),
      pingUdp(stray.host, at(a[2]), { node: 'a3' }),
      pingUdp(a[0].host, at(b[1]), { node: 'b2' }),
      pingUdp(b[1].host, at(a[1], PROXY_PORT), { node: 'a2' }),
    ]);
    t.strictSame(answers, Array(5).fill('silence'), 'no foreign datagram is answered');
    t.equal(await probeTcp(b[1].host, at(a[1], PROXY_PORT)), 'timeout', "the fence's own port is not reached");
  });
  t.strictSame(grown, {
    a1: { 'inbound native packet label_missing': 1, 'outbound native packet peer_not_admitted': 1 },
    a2: { 'inbound native packet label_foreign': 1 },
    a3: { 'inbound native packet label_foreign': 1 },
  });
  t.ok(
    kernelCount(a[1].host, 'ringfence', 'bypass_in') >= 2,
    "what was sent to the fence's own port, the kernel counted",
  );
  const own = await growth(stand, async () => {
    const ping = await pingUdp(b[1].host, at(a[0]), { node: 'a1', label: 'a' });
    t.equal(ping, 'silence', 'the answer to an own-labelled stranger is not let out: it is not admitted');
  });
  t.strictSame(own, { a1: { 'outbound native packet peer_not_admitted': 1 } });
}

async function leaveAndRejoin(t: Test, { a }: Stand): Promise<void> {
  const [a1, a2, a3] = a;
  await a3.leave();
  const without = { a1: 'alive', a2: 'alive', a3: 'left' };
  await t.resolves(Promise.all([a1, a2].map((one) => one.waitForMembers(without, 20_000))), 'the others saw it leave');
  await a3.start();
  const { ok, output } = await a3.join(a1);
  t.ok(ok, `it rejoins: ${output}`);
  await t.resolves(Promise.all(a.map((one) => one.waitForMembers(allAlive(a), 30_000))), 'the ring is complete again');
}

async function killedFence(t: Test, stand: Stand): Promise<void> {
  const { a, b, fences } = stand;
  const [a1, a2, a3] = a;
  const mark = a1.process().mark();
  const dropsBefore = BYPASS.map((name) => kernelCount(a2.host, 'ringfence', name));
  await fences.a2.kill9();
  const at = ({ address }: Agent) => ({ address, port: SERF_PORT });
  const probes = await Promise.all([
    probeTcp(b[1].host, at(a2)),
    pingUdp(b[1].host, at(a2), { node: 'a2' }),
    probeTcp(a2.host, at(b[1])),
    pingUdp(a2.host, at(b[1]), { node: 'b2' }),
  ]);
  t.strictSame(probes, ['timeout', 'silence', 'timeout', 'silence'], 'nothing passes, in or out');
  t.equal(await probeTcp(b[2].host, at(b[1])), 'connected', 'the probe works between bare members');
  const { ok } = await b[1].join(a2);
  t.notOk(ok, 'a foreigner cannot join the member without its fence');
  t.notOk((await a2.join(b[1])).ok, 'nor can that member join a foreigner');
  await t.resolves(
    Promise.all([
      a1.waitForMembers({ a1: 'alive', a2: 'failed', a3: 'alive' }, 40_000),
      a3.waitForMembers({ a1: 'alive', a2: 'failed', a3: 'alive' }, 40_000),
      a2.waitForMembers({ a1: 'failed', a2: 'alive', a3: 'failed' }, 40_000),
    ]),
    'its peers see the member fail, and it sees them fail',
  );
  t.ok(a1.alarms(mark).length > 0, 'a failure does show in the log that was searched for quiet');
  for (const [i, name] of BYPASS.entries()) {
    t.ok(kernelCount(a2.host, 'ringfence', name) > (dropsBefore[i] as number), `the kernel counted ${name}`);
  }
  await fences.a2.start('ready');
  await t.resolves(
    Promise.all(a.map((one) => one.waitForMembers(allAlive(a), 60_000))),
    'the ring recovers with the fence',
  );
}
