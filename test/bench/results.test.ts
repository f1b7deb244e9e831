/** From rounds to medians, ratios, floors and the words of RESULTS.md; and what the JSON's keys are. */
import t from 'tap';
import { FLOORS } from '../../bench/floors.ts';
import { ENGINES, type Engine, type Measure, type Round } from '../../bench/measure.ts';
import { MEASURES } from '../../bench/measures.ts';
import { reportText } from '../../bench/report.ts';
import { collect, faultsOf, median, resultsOf, type Series, spread } from '../../bench/results.ts';

const rounds = (figure: string, byEngine: Partial<Record<Engine, readonly number[]>>): Map<string, Series> => {
  const count = Math.max(...Object.values(byEngine).map((values) => values.length));
  const series = new Map<string, Series>();
  const all = Array.from({ length: count }, (_, i) =>
    Object.fromEntries(
      Object.entries(byEngine).map(([engine, values]) => [engine, { [figure]: values[i] ?? Number.NaN }]),
    ),
  );
  collect(all as Round[], series);
  return series;
};
const floorOf = (figure: string, name: RegExp, byEngine: Partial<Record<Engine, readonly number[]>>) =>
  resultsOf(rounds(figure, byEngine), ENGINES, [figure]).floors.find((floor) => name.test(floor.name));

t.test('medians and spread', async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 3, 2]), 2.5);
  t.ok(Number.isNaN(median([])));
  t.same(spread([10, 5, 20]), [0.5, 2]);
});

t.test('a ratio is the median of the ratios within a round, not the ratio of medians', async (t) => {
  // The machine halves in the second round, for both: the ratio is 2 all along but once.
  const series = rounds('udp_forward', { linux: [200, 100, 300], nginx: [100, 50, 300] });
  const { ratios, medians } = resultsOf(series, ENGINES, ['udp_forward']);
  t.equal(ratios['udp_forward']?.['vs_nginx'], 2);
  t.same(medians['udp_forward'], { linux: 200, nginx: 100 });
  const both = rounds('udp_forward', { linux: [200], portable: [90], nginx: [100], c: [200], go: [50], haproxy: [10] });
  t.match(resultsOf(both, ENGINES, ['udp_forward']).ratios, {
    udp_forward: { vs_nginx: 2, vs_c: 1, vs_go: 4, vs_haproxy: 20 },
    udp_forward_portable: { vs_nginx: 0.9, vs_c: 0.45 },
  });
});

t.test('added times that a round of noise made negative say nothing', async (t) => {
  const floor = floorOf('udp_rtt_p99_us', /p99/, { linux: [500, 500, 500], nginx: [-1, 100, 100] });
  t.equal(floor?.value, 5);
  t.notOk(floor?.ok);
});

t.test('the best of several peers is the best of all rounds, whatever noise lifted another in one', async (t) => {
  const bulk = {
    linux: [90, 90, 90],
    nginx: [300, 50, 50],
    haproxy: [60, 300, 60],
    c: [100, 100, 90],
    go: [10, 10, 10],
  };
  t.equal(floorOf('tcp_bulk_mbps', /best peer/, bulk)?.value, 0.9);
  t.equal(floorOf('tcp_bulk_mbps', /best peer/, { linux: [90], c: [100] })?.value, 0.9, 'of those that were measured');
});

t.test('growth is judged against the smallest size of the same engine, and shown as one curve', async (t) => {
  const series = new Map<string, Series>([
    ['growth_peers_1', { linux: [4, 5, 6] }],
    ['growth_peers_10000', { linux: [5, 10, 6] }],
  ]);
  const { floors } = resultsOf(series, ENGINES, [...series.keys()]);
  t.match(
    floors.find(({ name }) => /10,000 peers.*linux/.test(name)),
    { value: 1.25, floor: 1.3, bound: 'at most', ok: true },
  );
  const growth = MEASURES.filter(({ name }) => name === 'growth_peers');
  const machine = { cpu: 'a cpu', cores: 2, memoryMb: 1, kernel: 'k', congestion: 'reno', versions: {} };
  const context = { cores: { proxy: 1, load: 0 }, rounds: 3, sampleMs: 1 };
  const results = resultsOf(series, ENGINES, [...series.keys()]);
  const text = reportText({ machine, context, results, notes: new Map(), failed: [], measures: growth });
  t.match(text, /`growth_peers_1`: [^\n]* 5\.00 \(0\.80–1\.20\), 1\.00 × \|/);
  t.match(text, /`growth_peers_10000`: [^\n]* 6\.00 \(0\.83–1\.67\), 1\.25 × \|/);
});

t.test('a floor is reached, within half of it, or missed; both ways', async (t) => {
  const pps = (linux: number) =>
    floorOf('udp_forward', /^udp_forward vs nginx, a session/, { linux: [linux], nginx_oneway: [100] });
  t.match(pps(400), { value: 4, floor: 4, bound: 'at least', ok: true, halfOk: true });
  t.match(pps(399), { ok: false, halfOk: true });
  t.match(pps(199), { ok: false, halfOk: false });
  const idle = (linux: number) => floorOf('rss_idle_mb', /rss_idle/, { linux: [linux] });
  t.match(idle(60), { bound: 'at most', ok: true, halfOk: true });
  t.match(idle(61), { ok: false, halfOk: true });
  t.match(idle(121), { ok: false, halfOk: false });
});

t.test('what was asked for and not measured is missed; what was not asked for is left out', async (t) => {
  const nothing = resultsOf(new Map(), ENGINES, ['start_ms', 'udp_forward']).floors;
  t.ok(nothing.length > 1 && nothing.every(({ ok, halfOk }) => !ok && !halfOk));
  t.ok(nothing.some(({ name }) => name === 'start_ms'));
  t.match(floorOf('udp_forward', /^udp_forward vs c/, { linux: [100] }), { ok: false, halfOk: false });
  const only = resultsOf(new Map(), ['linux', 'c'], ['udp_forward']).floors;
  t.same(
    only.map(({ name }) => name),
    ['udp_forward vs c'],
  );
  t.same(resultsOf(new Map(), ENGINES, ['udp_reject']).floors, []);
});

t.test('a round without an engine, or with a figure that is no number, is none', async (t) => {
  t.same(faultsOf({ linux: { x: 1 }, c: { x: 2 } }, ['linux', 'c']), []);
  t.same(faultsOf({ linux: { x: 1 }, c: {} }, ['linux', 'c', 'go']), ['c: no figure', 'go: no figure']);
  t.same(faultsOf({ linux: { x: Number.POSITIVE_INFINITY, y: Number.NaN } }, ['linux']), [
    'linux: x is Infinity',
    'linux: y is NaN',
  ]);
});

t.test('the floors', async (t) => {
  const stand = FLOORS.map(({ figure, engine, versus, against = 'alone', atLeast, atMost }) =>
    [figure, engine, versus?.join() ?? against, atLeast === undefined ? `<= ${atMost}` : `>= ${atLeast}`].join(' '),
  );
  const udp = (figure: string) => [
    `${figure} linux nginx_oneway >= 4`,
    `${figure} linux nginx >= 1`,
    `${figure} linux c >= 0.9`,
    `${figure} portable nginx_oneway >= 1.8`,
  ];
  t.same(stand, [
    ...udp('udp_forward'),
    ...udp('udp_forward_64'),
    'udp_forward_transparent linux nginx_oneway >= 2.5',
    'udp_rtt_p99_us linux nginx <= 1.1',
    'udp_reject_cpu linux alone <= 0.05',
    'tcp_connections linux nginx >= 1',
    'tcp_connections portable nginx >= 0.45',
    'tcp_bulk_mbps linux nginx >= 1.3',
    'tcp_bulk_mbps linux nginx,nginx_oneway,haproxy,c,go >= 0.9',
    'rss_idle_mb linux alone <= 60',
    'rss_loaded_mb linux alone <= 70',
    'start_ms linux alone <= 200',
    'growth_peers_10000 linux growth_peers_1 <= 1.3',
    'growth_fences_100 linux growth_fences_1 <= 1.3',
    'growth_peers_10000 portable growth_peers_1 <= 1.3',
    'growth_fences_100 portable growth_fences_1 <= 1.3',
  ]);
});

t.test(
  'every floor has a measure that gives its figures for its engines, in the short form too but for growth',
  async (t) => {
    for (const { name, figure, engine, versus = [], against = figure } of FLOORS) {
      const measure = MEASURES.find(({ figures }) => figure in figures && against in figures);
      t.ok(measure, name);
      t.equal(measure?.fullOnly ?? false, measure?.group === 'growth', name);
      t.ok(measure?.engines.includes(engine), name);
      t.ok(versus.length === 0 || versus.some((one) => measure?.engines.includes(one)), name);
    }
  },
);

t.test('keys of the JSON', async (t) => {
  const keys = MEASURES.flatMap(({ figures }) => Object.keys(figures));
  t.equal(new Set(keys).size, keys.length, 'no two measures give the same figure');
  for (const key of [
    ...['udp_forward', 'udp_forward_64', 'udp_forward_gossip', 'udp_forward_gossip_64', 'udp_forward_transparent'],
    ...['udp_reject', 'udp_rtt_p50_us', 'udp_rtt_p99_us', 'tcp_connections'],
    ...['tcp_bulk_mbps', 'rss_idle_mb', 'rss_loaded_mb', 'start_ms', 'cpu_seconds_per_million_packets'],
  ]) {
    t.ok(keys.includes(key), key);
  }
  t.same(ENGINES, ['linux', 'portable', 'nginx', 'nginx_oneway', 'haproxy', 'c', 'go', 'node']);
});

t.test('what each figure on datagrams carries is said with it', async (t) => {
  const words = Object.assign({}, ...MEASURES.map(({ figures }) => figures)) as Record<string, string>;
  for (const key of ['udp_forward', 'udp_forward_64', 'udp_forward_transparent']) {
    t.match(words[key], /a plain user message in each/, key);
    t.notMatch(words[key], /No floor/, key);
  }
  for (const key of ['udp_forward_gossip', 'udp_forward_gossip_64', 'cpu_seconds_per_million_packets'])
    t.match(words[key], /a ping and an alive message in each/, key);
  for (const key of ['udp_forward_gossip', 'udp_forward_gossip_64']) {
    t.match(words[key], /No floor stands against it$/, key);
    t.notOk(
      FLOORS.some(({ figure }) => figure === key),
      key,
    );
  }
});

t.test('the report', async (t) => {
  const measure: Measure = {
    name: 'udp_forward',
    group: 'udp',
    figures: { udp_forward: 'datagrams a second', udp_forward_wall: 'by the clock' },
    engines: ['linux', 'nginx_oneway'],
    open: () => Promise.reject(new Error('not run')),
  };
  const results = resultsOf(
    rounds('udp_forward', {
      linux: [390_000, 400_000, 500_000],
      nginx_oneway: [100_000, 100_000, 100_000],
      c: [440_000, 450_000, 460_000],
    }),
    ENGINES,
    ['udp_forward', 'start_ms'],
  );
  const text = reportText({
    machine: {
      cpu: 'A CPU',
      cores: 2,
      memoryMb: 4_000,
      kernel: '6.18',
      congestion: 'reno',
      versions: { node: '20.20', nginx: '1.26' },
    },
    context: { cores: { proxy: 1, load: 0 }, rounds: 3, sampleMs: 1_500 },
    results,
    notes: new Map([['udp_forward', ['nginx: `worker_processes 1;`']]]),
    failed: ['start: it\nnever came'],
    measures: [measure],
  });
  for (const part of [
    'A CPU, 2 cores, 4000 MB, Linux 6.18; node 20.20, nginx 1.26. A network namespace of its own;',
    '## Failed\n\n- start: it never came',
    '| udp_forward vs nginx, a session a datagram | 4.00 | at least 4 | yes |',
    '| udp_forward vs nginx, sessions kept | not measured | at least 1 | **no** |',
    '| start_ms | not measured | at most 200 | **no** |',
    '| linux | 400,000 | 0.97–1.25 |  |  |',
    '| nginx_oneway | 100,000 | 1.00–1.00 | 4.00 |  |',
    '`udp_forward_wall`: by the clock. Not measured.',
    '- nginx: `worker_processes 1;`',
    'stand against `nginx_oneway`',
    'which the floors stand against, carry a plain user message',
    'C is 4.5 times as fast as `nginx_oneway` and an unknown number of times as fast as `nginx`.',
    "TCP's congestion control is reno.",
  ]) {
    t.ok(text.includes(part), part);
  }
  t.notOk(/NaN|undefined/.test(text));
  const sound = reportText({ ...reportOf(results), failed: [] });
  t.notOk(sound.includes('## Failed'));

  function reportOf(of: typeof results) {
    return {
      machine: { cpu: 'A CPU', cores: 2, memoryMb: 4_000, kernel: '6.18', congestion: 'reno', versions: {} },
      context: { cores: { proxy: 1, load: 0 }, rounds: 3, sampleMs: 1_500 },
      results: of,
      notes: new Map(),
      measures: [measure],
    };
  }
});
