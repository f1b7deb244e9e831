// The fence's labelled pings, asked of real members: who takes frames with the label answers, who does not is silent, and nobody who takes
// them has anything to complain about.
import t, { type Test } from 'tap';
import { type EngineName, overEngines } from '../lab/engines.ts';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host } from '../lab/lab.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildMember, LABEL_VERSIONS } from './build.ts';
import { FOREIGN_LABEL, joinRing, LABEL, moveTo, startMember } from './members.ts';
import { GOSSIP_PORT, type Peer } from './peers.ts';
import { createAsker, type Pinged, type PingOrder } from './pings.ts';
import { SERF_PORT, startAgent } from './serf-agents.ts';

const skip = requireTools([...LAB_TOOLS, 'go', 'serf']);

/** What the asker of a listen fence sees, and one whose answers come through its own packet worker. */
const TAKES: Pinged = ['answered own', 'answered undefined'];
const TAKES_UNLABELLED: Pinged = ['answered none', 'answered undefined'];
const TAKES_UNSEEN: Pinged = ['answered undefined', 'answered undefined'];
const DROPS: Pinged = ['silent', 'silent'];

t.setTimeout(240_000);
t.jobs = 2;

t.before(async () => {
  if (skip === false) for (const version of [...LABEL_VERSIONS, 'v0.2.2'] as const) await buildMember(version);
});

/** Warnings and errors that a member logged since `from`. */
const complaints = (peer: Peer, from: number) =>
  peer.process.lines(from).filter((line) => /\[(WARN|ERR|ERROR)\]|level=(warn|error)/i.test(line));

t.test('bare members', { skip }, async (t) => {
  const lab = createLab({ name: 'probebare' });
  t.teardown(() => lab.close());
  const host = (name: string) => lab.addHost(name);
  const asker = host('asker');
  const natives = await Promise.all(
    LABEL_VERSIONS.map((version) =>
      startMember(lab, host(version.replaceAll('.', '-')), { version, label: LABEL, family: 'ipv6' }),
    ),
  );
  const strangers = [
    await startMember(lab, host('foreign'), { version: 'v0.6.0', label: FOREIGN_LABEL, family: 'ipv6' }),
    await startMember(lab, host('unlabelled'), { version: 'v0.6.0', family: 'ipv6' }),
    await startMember(lab, host('old'), { version: 'v0.2.2', family: 'ipv6' }),
  ];
  const serf = await startAgent(lab, host('serf'), 'ipv4');
  const admit = { cidrs: [asker.ipv4] };
  const fence = await host('serf-fenced').fence({
    fences: [{ name: 'serf', cluster: LABEL, stage: 'label', transparent: { port: SERF_PORT }, admit }],
  });
  const fencedSerf = await startAgent(lab, lab.host('serf-fenced'), 'ipv4');
  await fence.waitUntil('ready');
  const serfMark = fencedSerf.process().mark();
  const ask = await createAsker(lab);
  const marks = natives.map(({ process }) => process.mark());
  const target = ({ name, host: { ipv6 } }: Peer) => ({ name, address: ipv6, port: GOSSIP_PORT });
  const targets = [...natives, ...strangers].map(target);
  const [first] = natives as [Peer];
  const answers = await ask(asker, {
    label: LABEL,
    listen: '::',
    targets: [
      ...targets,
      { name: serf.name, address: serf.host.ipv4, port: SERF_PORT },
      { name: fencedSerf.name, address: fencedSerf.host.ipv4, port: SERF_PORT },
      { name: 'somebody else', address: first.host.ipv6, port: GOSSIP_PORT + 1 },
    ],
  });
  natives.forEach((peer, i) => {
    t.strictSame(answers[i], TAKES, `${peer.name} answers`);
    t.strictSame(complaints(peer, marks[i] as number), [], `${peer.name} complains of nothing`);
  });
  t.not(complaints(strangers[0] as Peer, 0).length, 0, 'one of another label does complain');
  t.strictSame(
    answers.slice(3, 7),
    [DROPS, DROPS, DROPS, DROPS],
    'another label, none, a member that predates labels, serf',
  );
  t.strictSame(answers[7], TAKES, 'serf behind a fence');
  t.strictSame(fencedSerf.alarms(serfMark), [], 'which complains of nothing');
  t.same(answers[8], DROPS, 'nobody there');
  const at = { address: first.host.ipv6, port: GOSSIP_PORT };
  const askFirst = (target: PingOrder['targets'][number]) =>
    ask(asker, { label: LABEL, listen: asker.ipv6, targets: [target] });
  t.strictSame(await askFirst({ name: 'somebody else', ...at }), [DROPS], 'a member does not answer for another');
  // Keys make gossip known to be readable without anybody's name; there are none here.
  t.strictSame(
    await askFirst(at),
    [['unable', 'unable']],
    'nobody is asked without a name while the ring may be encrypted',
  );
});

const STAGES = ['observe', 'accept', 'label', 'enforce'] as const;

t.test('members that predate labels, behind fences', { skip }, async (t) => {
  const lab = createLab({ name: 'probefenced' });
  t.teardown(() => lab.close());
  const [one, two, bare] = ['one', 'two', 'bare'].map((name) => lab.addHost(name)) as [Host, Host, Host];
  const admit = { cidrs: [one, two, bare].flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]) };
  const config = {
    fences: [{ name: 'gossip', cluster: LABEL, stage: 'observe', transparent: { port: GOSSIP_PORT }, admit }],
  };
  const fences = new Map<Host, Fence>([
    [one, await one.fence(config)],
    [two, await two.fence(config)],
  ]);
  const fenceOf = (host: Host) => fences.get(host) as Fence;
  const ask = await createAsker(lab);
  for (const family of ['ipv4', 'ipv6'] as const) {
    const peers = [
      await startMember(lab, one, { version: 'v0.2.2', family }),
      await startMember(lab, two, { version: 'v0.2.2', family }),
    ] as [Peer, Peer];
    await Promise.all([...fences.values()].map((fence) => fence.waitUntil('ready')));
    await moveTo('observe', fences);
    await joinRing(peers);
    const marks = peers.map(({ process }) => process.mark());
    const targets = [{ name: peers[1].name, address: two[family], port: GOSSIP_PORT }];
    for (const [i, asked] of STAGES.entries()) {
      await moveTo(asked, new Map([[two, fenceOf(two)]]));
      const seen = asked === 'observe' ? DROPS : asked === 'accept' ? TAKES_UNLABELLED : TAKES;
      t.strictSame(await ask(bare, { label: LABEL, listen: bare[family], targets }), [seen], `${family}: ${asked}`);
      for (const asking of STAGES.slice(Math.max(0, i - 1), i + 2)) {
        await moveTo(asking, new Map([[one, fenceOf(one)]]));
        const answer = await ask(one, { label: LABEL, targets });
        const expected = asked === 'observe' ? DROPS : TAKES_UNSEEN;
        t.strictSame(answer, [expected], `${family}: a fence at ${asking} asks one at ${asked}`);
      }
    }
    peers.forEach((peer, i) => {
      // At `observe` it gets the ping as it is.
      const lines = complaints(peer, marks[i] as number).filter((line) => !/\(244\)/.test(line));
      t.strictSame(lines, [], `${family}: ${peer.name} complains of nothing else`);
    });
    // At `accept` the answer leaves without a label, as all that the member sends: two steps apart it is cut, and the ping tells.
    await moveTo('accept', new Map([[two, fenceOf(two)]]));
    const answer = await ask(one, { label: LABEL, targets });
    t.strictSame(answer, [['silent', 'answered undefined']], `${family}: a fence at enforce asks one at accept`);
    await Promise.all(peers.map(({ process }) => process.kill()));
  }
});

const behindListen = async (t: Test, first: EngineName) => {
  const second = first === 'linux' ? 'portable' : 'linux';
  const lab = createLab({ name: `plisten${first[0]}` });
  t.teardown(() => lab.close());
  const [asker, old, native] = ['asker', 'old', 'native'].map((name) => lab.addHost(name)) as [Host, Host, Host];
  const admit = { cidrs: [asker.ipv4] };
  const appPort = GOSSIP_PORT + 1;
  const config = ({ ipv4 }: Host, stage: string, speaks: 'none' | 'own') => ({
    fences: [
      {
        ...{ name: 'gossip', cluster: LABEL, stage, wire: 'none', listen: `${ipv4}:${GOSSIP_PORT}`, admit },
        app: { address: `${ipv4}:${appPort}`, sends: speaks, takes: speaks },
      },
    ],
  });
  await old.fence(config(old, 'accept', 'none'), { engine: first });
  await native.fence(config(native, 'enforce', 'own'), { engine: second });
  const peers = [
    await startMember(lab, old, { version: 'v0.2.2', port: appPort }),
    await startMember(lab, native, { version: 'v0.6.0', port: appPort, label: LABEL }),
  ];
  const ask = await createAsker(lab);
  const targets = peers.map(({ name, host }) => ({ name, address: host.ipv4, port: GOSSIP_PORT }));
  const answers = await ask(asker, { label: LABEL, listen: asker.ipv4, targets });
  t.strictSame(
    answers,
    [TAKES_UNLABELLED, TAKES],
    'the answer to a ping that names no source comes back through the fence',
  );
};
overEngines(t, 'members behind listen fences, this engine first', behindListen, { skip });
