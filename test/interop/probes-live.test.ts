// Whole fences that ask each other, by pings and through their admin API: what each then knows of the other's member at every stage.
import t from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host } from '../lab/lab.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildMember } from './build.ts';
import { joinRing, LABEL, moveTo, startMember } from './members.ts';
import { eventually, GOSSIP_PORT, type Peer } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
/** A round of 500 ms, six times as long where no step is ahead, and the time that two connections in a row are given. */
const ASKED_MS = 20_000;

t.setTimeout(120_000);

t.before(async () => {
  if (skip === false) await buildMember('v0.2.2');
});

interface Row {
  readonly name: string;
  readonly lastOwn: string | null;
  readonly probe: { readonly packet: Leg | null; readonly stream: Leg } | null;
  readonly fence: { readonly outcome: string; readonly stage?: string; readonly problem?: string } | null;
}

interface Leg {
  readonly asked: string | null;
  readonly answered: string | null;
  readonly silentSince: string | null;
}

const rowOf = async (fence: Fence, name: string): Promise<Row | undefined> => {
  const { fences } = (await fence.get('/api/v1/adoption')) as { fences: { members: Row[] }[] };
  return fences.flatMap(({ members }) => members).find((row) => row.name === name);
};

type LegState = 'answers' | 'silent' | 'unknown';

/** Whether the leg answered after `sinceMs`, or was asked twice in vain since; `unknown` where it was not asked, too. */
function stateOf(leg: Leg | null | undefined, sinceMs: number): LegState {
  if (leg?.asked === null || leg?.asked === undefined || Date.parse(leg.asked) < sinceMs) return 'unknown';
  if (leg.silentSince !== null) return 'silent';
  return leg.answered !== null && Date.parse(leg.answered) >= sinceMs ? 'answers' : 'unknown';
}

t.test('two fences', { skip }, async (t) => {
  const lab = createLab({ name: 'probelive' });
  t.teardown(() => lab.close());
  const hosts = ['one', 'two'].map((name) => lab.addHost(name)) as [Host, Host];
  const admit = { cidrs: hosts.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]) };
  const limits = { probeInterval: '500ms' };
  const config = {
    admin: { address: '[::]:9746' },
    fences: [{ name: 'gossip', cluster: LABEL, stage: 'observe', transparent: { port: GOSSIP_PORT }, admit, limits }],
  };
  const fences = (await Promise.all(hosts.map((host) => host.fence(config)))) as [Fence, Fence];
  const peers = (await Promise.all(
    hosts.map((host) => startMember(lab, host, { version: 'v0.2.2', family: 'ipv6' })),
  )) as [Peer, Peer];
  await Promise.all(fences.map((fence) => fence.waitUntil('ready')));
  await joinRing(peers);

  /** Waits until the first fence says this of the second's member, by what it learned from now on; gives the row. */
  const knows = async (probe: LegState, outcome: string, stage: string | null): Promise<Row> => {
    const sinceMs = Date.now();
    let last: Row | undefined;
    const fits = async () => {
      last = await rowOf(fences[0], 'two');
      const found = [stateOf(last?.probe?.packet, sinceMs), stateOf(last?.probe?.stream, sinceMs)];
      const said = [...found, last?.fence?.outcome, last?.fence?.stage ?? null];
      return `${said}` === `${[probe, probe, outcome, stage]}` ? undefined : `${said} of ${JSON.stringify(last)}`;
    };
    await t.resolves(eventually(`${probe}, ${outcome} ${stage}`, ASKED_MS, fits), `${probe}, ${outcome} ${stage}`);
    return last as Row;
  };
  const move = (i: 0 | 1, stage: string) => moveTo(stage, new Map([[hosts[i], fences[i]]]));

  const observed = await knows('unknown', 'fence', 'observe');
  t.equal(observed.probe, null, 'no step waits for an answer, and each ping would be an error in an old member’s log');
  await move(0, 'accept');
  t.equal((await knows('unknown', 'fence', 'observe')).probe, null, 'its fence says what would become of them');
  await move(1, 'accept');
  const both = await knows('answers', 'fence', 'accept');
  t.equal(both.lastOwn, null, "fences' own pings carry the label, and say nothing of what the apps behind them send");
  await move(1, 'label');
  t.not((await knows('answers', 'fence', 'label')).lastOwn, null, 'its frames carry it now');
  await move(0, 'label');
  await move(1, 'enforce');
  await knows('answers', 'fence', 'enforce');
  await move(0, 'enforce');
  await knows('answers', 'fence', 'enforce');
  const complaints = peers.flatMap(({ process }) => process.lines().filter((line) => /\[(WARN|ERR)\]/.test(line)));
  t.strictSame(complaints, [], 'no member has anything to complain about');
  await fences[1].kill9();
  await knows('silent', 'none', null);
});
