import t, { type Test } from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab } from '../lab/lab.ts';
import { rejections, transparentConfig } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { ALERTMANAGER_PORT, type Alertmanager, eventually, startAlertmanager } from './alertmanagers.ts';
import type { Family } from './serf-agents.ts';

/** Too long for a gossip packet, so that it travels by a TCP user message. */
const LONG = 'long '.repeat(400).trim();
/** How long a silence is given to leak: several push/pulls (3 s) and reconnects (2 s). */
const LEAK_MS = 15_000;
const skip = requireTools([...LAB_TOOLS, 'prometheus-alertmanager']);

t.setTimeout(180_000);
t.jobs = 3;

const knows = (who: Alertmanager, comment: string) =>
  eventually(`${who.host.name} knows the silence ${comment.slice(0, 20)}`, 20_000, async () =>
    (await who.silences()).includes(comment),
  );

const sees = (who: Alertmanager, count: number) =>
  eventually(`${who.host.name} sees ${count} members`, 30_000, async () => (await who.peers()) === count);

/** The second starts with the first as its peer; both see each other when it resolves. */
async function startPair(lab: ReturnType<typeof createLab>, family: Family): Promise<[Alertmanager, Alertmanager]> {
  const one = await startAlertmanager(lab, lab.host('one'), family, []);
  const two = await startAlertmanager(lab, lab.host('two'), family, [one.endpoint]);
  await Promise.all([sees(one, 2), sees(two, 2)]);
  return [one, two];
}

t.test('control: a bare foreigner gets a silence in and out', { skip }, async (t) => {
  const lab = createLab({ name: 'amctl' });
  t.teardown(() => lab.close());
  for (const name of ['one', 'two', 'foreign']) lab.addHost(name);
  const [one, two] = await startPair(lab, 'ipv4');
  await one.silence('Ours', 'ours');
  const foreign = await startAlertmanager(lab, lab.host('foreign'), 'ipv4', [one.endpoint]);
  await foreign.silence('Theirs', 'theirs');
  await t.resolves(Promise.all([knows(one, 'theirs'), knows(two, 'theirs')]), 'the silence gets in');
  await t.resolves(knows(foreign, 'ours'), 'and out');
  await t.resolves(sees(two, 3), 'the rings merged');
});

async function fencedArm(t: Test, family: Family): Promise<void> {
  const lab = createLab({ name: `am${family}` });
  t.teardown(() => lab.close());
  const hosts = ['one', 'two', 'bare', 'other'].map((name) => lab.addHost(name));
  const cidrs = hosts.slice(0, 2).map((host) => host[family]);
  const config = (cluster: string, admitted: readonly string[]) =>
    transparentConfig({ cluster, stage: 'enforce', cidrs: admitted, port: ALERTMANAGER_PORT });
  const [fenceOne, fenceTwo, fenceOther] = (await Promise.all([
    lab.host('one').fence(config('ours', cidrs)),
    lab.host('two').fence(config('ours', cidrs)),
    // The careless neighbour: it admits everyone, so that its labelled frames do reach us.
    lab.host('other').fence(config('other', [])),
  ])) as [Fence, Fence, Fence];
  const [one, two] = await startPair(lab, family);
  await Promise.all([fenceOne.waitUntil('ready'), fenceTwo.waitUntil('ready')]);

  await one.silence('Short', 'short');
  await t.resolves(knows(two, 'short'), 'a short silence gossips from one to the other');
  await two.silence('Long', LONG);
  await t.resolves(knows(one, LONG), 'a long one back');
  t.strictSame([await rejections(fenceOne), await rejections(fenceTwo)], [{}, {}], 'nothing of our own was rejected');
  for (const kind of ['packet', 'stream']) {
    const own = { direction: 'inbound', kind, label_state: 'own', verdict: 'pass' };
    t.ok((await fenceOne.metric('frames_total', own)) > 0, `it came labelled: ${kind}s`);
  }

  const bare = await startAlertmanager(lab, lab.host('bare'), family, [one.endpoint, two.endpoint]);
  const other = await startAlertmanager(lab, lab.host('other'), family, [one.endpoint]);
  await Promise.all([bare.silence('Bare', 'bare'), other.silence('Other', 'other')]);
  await new Promise((resolve) => setTimeout(resolve, LEAK_MS));
  for (const ours of [one, two]) {
    t.strictSame((await ours.silences()).toSorted(), [LONG, 'short'].toSorted(), `${ours.host.name} kept its silences`);
    t.equal(await ours.peers(), 2, `${ours.host.name} sees its own pair only`);
  }
  t.strictSame([await bare.silences(), await other.silences()], [['bare'], ['other']], 'and gave none out');
  t.strictSame([await bare.peers(), await other.peers()], [1, 1], 'the foreigners stay alone');

  const why = { one: await rejections(fenceOne), two: await rejections(fenceTwo), other: await rejections(fenceOther) };
  t.comment(JSON.stringify(why));
  t.strictSame(Object.keys(why.one).sort(), [
    'inbound native stream label_foreign',
    'inbound native stream label_missing',
  ]);
  t.strictSame(Object.keys(why.two).sort(), ['inbound native stream label_missing']);
  t.strictSame(why.other, {}, 'the careless neighbour rejected nothing: we did');
}

for (const family of ['ipv4', 'ipv6'] as const) {
  t.test(`fenced, ${family}: a silence stays in its pair`, { skip }, (t) => fencedArm(t, family));
}
