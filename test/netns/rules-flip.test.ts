/**
 * A change of stage, dialect and admission reaches the packet worker whole and within 100 ms, whatever it is busy with: two sets of rules in turn,
 * 200 times, while packets of both directions flood it. Each set passes one peer's packets alone, and labels them as the other does not,
 * so whatever arrives tells by which set it was judged, and whether by one whole.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createLab } from '../lab/lab.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { bundleDriver } from './bundle.ts';

type Test = Pick<typeof t, 'equal' | 'notOk' | 'ok' | 'strictSame' | 'teardown' | 'testdir'>;

const skip = requireTools(LAB_TOOLS);
const PEER = readFileSync(join(import.meta.dirname, 'rules-peer.cjs'), 'utf8');
const FLIPS = 200;
const HOLD_MS = 25;
const FLOOD_MS = FLIPS * HOLD_MS * 1.4 + 1_000;
const RIGHTS = '-all,+net_raw';
/** The design's bound on how long a change takes to be in force in every worker. */
const IN_FORCE_MS = 100;

interface Arrival {
  readonly peer: 'one' | 'two';
  readonly labelled: boolean;
  readonly sentMs: number;
  readonly gotMs: number;
}

interface Flip {
  readonly odd: boolean;
  readonly begunMs: number;
  readonly inForceMs: number;
}

for (const mode of ['transparent', 'listen'] as const) {
  t.test(`rules that change under a flood, ${mode}`, { skip, timeout: 60_000 }, (t) => flood(t, mode));
}

async function flood(t: Test, mode: 'transparent' | 'listen'): Promise<void> {
  const lab = createLab({ name: `flip-${mode.slice(0, 1)}` });
  t.teardown(() => lab.close());
  const hosts = { ours: lab.addHost('ours'), one: lab.addHost('one'), two: lab.addHost('two') };
  const driver = await bundleDriver('test/netns/rules-driver.ts', t.testdir());
  if (mode === 'transparent') hosts.ours.exec('env', ['-u', 'NODE_OPTIONS', process.execPath, driver, 'intercept']);
  const user = [
    '--reuid',
    '7946',
    '--regid',
    '7946',
    '--clear-groups',
    `--inh-caps=${RIGHTS}`,
    `--ambient-caps=${RIGHTS}`,
  ];
  const what = mode === 'transparent' ? 'flip' : 'listen';
  const flipping = [driver, what, hosts.one.ipv4, hosts.two.ipv4, `${FLIPS}`, `${HOLD_MS}`, hosts.ours.ipv4];
  const worker = hosts.ours.spawn('setpriv', [...user, 'env', '-u', 'NODE_OPTIONS', process.execPath, ...flipping]);
  await worker.waitFor(/^ready$/, 15_000);

  const dir = lab.directory('arrivals');
  const start = (name: keyof typeof hosts, targets: readonly string[]) => {
    const env = {
      ...{ TARGETS: targets.join(','), FLOOD_MS: `${FLOOD_MS}`, OUT: join(dir, name) },
      ...(mode === 'transparent'
        ? {}
        : { ID: `${lastNumber(hosts[name].ipv4)}`, PORT: name === 'ours' ? '7947' : '7946' }),
    };
    return hosts[name].spawn(process.execPath, ['-e', PEER], { env });
  };
  const floods = [
    // What the app of a listen fence sends by itself does not pass it.
    start('ours', mode === 'transparent' ? [hosts.one.ipv4, hosts.two.ipv4] : []),
    start('one', [hosts.ours.ipv4]),
    start('two', [hosts.ours.ipv4]),
  ];
  await Promise.all(floods.map((flood) => flood.waitFor(/^done /, FLOOD_MS + 20_000)));
  await worker.waitFor(/^frames /, 20_000);
  t.notOk(worker.lines().find((line) => /^fault|^died/.test(line)));

  const flips = worker.lines().flatMap((line): Flip[] => {
    const [word, odd, begun, inForce] = line.split(' ');
    return word === 'flip' ? [{ odd: odd === '1', begunMs: Number(begun), inForceMs: Number(inForce) }] : [];
  });
  t.equal(flips.length, FLIPS);
  const tookMs = flips.map(({ begunMs, inForceMs }) => inForceMs - begunMs).sort((a, b) => a - b);
  const p99Ms = tookMs[Math.floor(FLIPS * 0.99)] ?? Number.POSITIVE_INFINITY;
  t.ok(
    p99Ms < IN_FORCE_MS,
    `99 of 100 changes are in force within ${p99Ms.toFixed(1)} ms; half within ${tookMs[FLIPS / 2]?.toFixed(1)}, the slowest ${tookMs.at(-1)?.toFixed(1)}`,
  );

  const peerAt = new Map([
    [lastNumber(hosts.one.ipv4), 'one'],
    [lastNumber(hosts.two.ipv4), 'two'],
  ] as const);
  const inbound = arrivals(join(dir, 'ours'), (from) => peerAt.get(from));
  const outbound = [...arrivals(join(dir, 'one'), () => 'one'), ...arrivals(join(dir, 'two'), () => 'two')];
  const directions: (readonly ['inbound' | 'outbound', readonly Arrival[], Arrival['peer']])[] = [
    ['inbound', inbound, 'one'],
  ];
  if (mode === 'transparent') directions.push(['outbound', outbound, 'two']);
  for (const [direction, all, labelledPeer] of directions) {
    const torn = all.filter(({ peer, labelled }) => labelled !== (peer === labelledPeer));
    t.strictSame(torn.slice(0, 3), [], `${direction}: ${all.length} packets, none judged by half of a change`);
    const { judged, stale } = staleOf(all, flips);
    t.strictSame(stale.slice(0, 3), [], `${direction}: ${judged} between two changes, none by the rules before`);
    for (const peer of ['one', 'two']) {
      const count = all.filter((arrival) => arrival.peer === peer).length;
      t.ok(count > FLIPS, `${direction}: ${count} packets of ${peer}`);
    }
    t.ok(judged > FLIPS, 'enough of them');
  }
}

/** Arrivals that were sent when a change was in force and came before the next one was begun, and those of them that the rules before passed. */
function staleOf(all: readonly Arrival[], flips: readonly Flip[]): { judged: number; stale: Arrival[] } {
  let judged = 0;
  const stale: Arrival[] = [];
  for (const arrival of all) {
    const at = flips.findLastIndex(({ inForceMs }) => inForceMs < arrival.sentMs);
    const [flip, next] = [flips[at], flips[at + 1]];
    if (flip === undefined || (next !== undefined && next.begunMs <= arrival.gotMs)) continue;
    judged++;
    if (flip.odd !== (arrival.peer === 'two')) stale.push(arrival);
  }
  return { judged, stale };
}

function arrivals(file: string, peerOf: (from: number) => 'one' | 'two' | undefined): Arrival[] {
  const bytes = readFileSync(file);
  const numbers = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const out: Arrival[] = [];
  for (let i = 0; i + 3 < numbers.length; i += 4) {
    const [from = 0, labelled, sentMs = 0, gotMs = 0] = numbers.subarray(i, i + 4);
    const peer = peerOf(from);
    if (peer !== undefined) out.push({ peer, labelled: labelled === 1, sentMs, gotMs });
  }
  return out;
}

function lastNumber(address: string): number {
  return Number(address.split('.')[3]);
}
