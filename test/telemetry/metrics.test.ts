/** The metrics page against the names of the design, and its numbers against what was counted. */
import t from 'tap';
import { createSnapshot, decide } from '../../src/policy/decide.ts';
import type { Facts } from '../../src/policy/facts.ts';
import { REJECT_REASONS } from '../../src/policy/reason.ts';
import { DROP_REASONS, type Where } from '../../src/policy/tally.ts';
import type { PeerRecord } from '../../src/ring/peers.ts';
import { METRICS } from '../../src/telemetry/metric-table.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { mergedRing, START_MS } from '../ring/merged-ring.ts';
import { parsePage, quietFence } from './helpers.ts';

/** The design's list, labels in its order; what this version cannot fill is left out below, with the reason. */
const DESIGN: Readonly<Record<string, readonly string[]>> = {
  frames_total: ['fence', 'direction', 'transport', 'kind', 'label_state', 'verdict'],
  frame_bytes_total: ['fence', 'direction', 'transport', 'kind'],
  rejected_total: ['fence', 'direction', 'transport', 'kind', 'reason'],
  would_reject_total: ['fence', 'direction', 'transport', 'kind', 'reason', 'stage'],
  would_strand_total: ['fence', 'stage'],
  fallbacks_total: ['fence'],
  foreign_peers: ['fence'],
  foreign_label_info: ['fence', 'label'],
  peers: ['fence', 'label_state'],
  members: ['fence', 'state'],
  merge_alarms: ['fence'],
  merge_warnings: ['fence'],
  quarantined_total: ['fence', 'action'],
  sealed_frames_total: ['fence', 'direction', 'kind', 'outcome'],
  resealed_frames_total: ['fence', 'direction', 'kind'],
  gossip_keys: ['fence'],
  tls_certificate_not_after_seconds: ['fence'],
  tls_problem: ['fence'],
  sealed_peers: ['fence', 'state'],
  inspection_skipped_total: ['fence', 'reason'],
  stage: ['fence', 'stage'],
  stage_changes_total: ['fence', 'to', 'origin'],
  ready_to_advance: ['fence', 'to'],
  sessions: ['fence'],
  streams_open: ['fence', 'direction'],
  oversize_packets_total: ['fence'],
  overload_dropped_total: ['fence', 'reason'],
  bypass_dropped_total: ['fence', 'direction'],
  flood_guard_active: ['fence'],
  table_evictions_total: ['fence', 'table'],
  app_up: ['fence'],
  admission_dns_last_success_timestamp_seconds: ['fence', 'name'],
  admission_dns_addresses: ['fence', 'name'],
  ambiguous_peers: ['fence'],
  waiting_frames: ['fence'],
  forward_seconds: ['fence', 'direction', 'kind'],
};

t.test('what the kernel dropped is absent where it cannot be read, and no zero', async (t) => {
  const page = await createMetrics([quietFence({ bypassDropped: () => undefined }).fence], '1.2.3').render();
  t.notMatch(page, /^ringfence_bypass_dropped_total\{/m);
  const readable = await createMetrics([quietFence().fence], '1.2.3').render();
  t.match(readable, 'ringfence_bypass_dropped_total{fence="traces",direction="inbound"} 4');
});

t.test('the watched configuration is there where there is one', async (t) => {
  const { fence } = quietFence();
  const last = { successful: false, successMs: 5_000, problem: 'x' };
  const page = parsePage(await createMetrics([fence], '1.2.3', () => last).render());
  t.equal(page.get('ringfence_config_last_reload_successful'), 0);
  t.equal(page.get('ringfence_config_last_reload_success_timestamp_seconds'), 5);
  t.notMatch(await createMetrics([fence], '1.2.3').render(), /reload/, 'the demo has none');
});

const labelNames = (series: string) => [...series.matchAll(/[{,](\w+)="/g)].map(([, name]) => name);

t.test('names and labels are those of the design', async (t) => {
  t.strictSame(
    METRICS.map(({ name }) => name).sort(),
    Object.keys(DESIGN)
      .map((name) => `ringfence_${name}`)
      .sort(),
  );
  const ring = mergedRing();
  const inspectionSkipped = () => ({ queue_full: 1, frame_too_large: 2, streams_limit: 3, stream_cut_short: 4 });
  const { fence } = quietFence({ steadyForeignLabels: () => ['green'], ring, inspectionSkipped });
  const page = await createMetrics([fence], '1.2.3').render();
  for (const series of parsePage(page).keys()) {
    const name = series.replace(/\{.*$/, '').replace(/^ringfence_/, '');
    if (name === 'build_info') continue;
    const histogram = name.replace(/_(bucket|sum|count)$/, '');
    const expected = name.endsWith('_bucket')
      ? [...(DESIGN[histogram] ?? []), 'le']
      : (DESIGN[name] ?? DESIGN[histogram]);
    t.strictSame(labelNames(series), expected, series);
  }
  t.match(page, '# TYPE ringfence_forward_seconds histogram');
  t.match(page, '# TYPE ringfence_frames_total counter');
  t.equal(parsePage(page).get(`ringfence_build_info{version="1.2.3",node="${process.versions.node}"}`), 1);
});

t.test('every reason is there at zero from the start, and none that cannot occur', async (t) => {
  const { fence } = quietFence();
  const series = [...parsePage(await createMetrics([fence], '0').render())];
  const { shape } = fence;
  const overTls = quietFence({ shape: { ...shape, transport: 'alertmanager', tls: true } }).fence;
  const both = [...series, ...parsePage(await createMetrics([overTls], '0').render())];
  for (const reason of REJECT_REASONS) {
    const there = both.filter(
      ([name]) => name.startsWith('ringfence_rejected_total') && name.includes(`reason="${reason}"`),
    );
    t.ok(there.length > 0 && there.every(([, value]) => value === 0), reason);
  }
  for (const reason of DROP_REASONS)
    t.ok(
      series.some(([name]) => name.includes(`reason="${reason}"`)),
      reason,
    );
  const names = series.map(([name]) => name);
  t.notOk(
    names.some((name) => /transport="(tls|unknown)",kind="packet"/.test(name)),
    'no packets of unread transports',
  );
  t.notOk(names.some((name) => /direction="outbound".*label_missing/.test(name)));
  t.notOk(names.some((name) => /would_reject.*stage="observe"/.test(name)));
  t.ok(names.length < 800, `${names.length} series are few enough to read`);
});

t.test('a listen fence shows less: no outbound streams, nothing past its ceiling', async (t) => {
  const shape = {
    mode: 'listen',
    guardsOutbound: false,
    transport: 'native',
    hasAdmissionRules: false,
    shield: true,
    hasKeys: false,
    tls: false,
    ceiling: 'accept',
  } as const;
  const { fence, tally } = quietFence({ shape });
  // What a stage would do that the fence cannot enter is counted like any other, and no series.
  const settings = { sends: 'none', takes: 'none', wire: 'none', unterminatedTls: 'reject', shield: true } as const;
  const peer = { admitted: true, proven: false, foreign: false };
  for (const direction of ['inbound', 'outbound'] as const) {
    const decision = decide({ direction, state: 'none' }, peer, createSnapshot({ stage: 'accept', ...settings }));
    t.ok(decision.wouldReject.length + decision.wouldStrand.length > 0);
    tally.frame({ direction, transport: 'native', kind: 'packet' }, 'none', decision);
  }
  const names = [...parsePage(await createMetrics([fence], '0').render()).keys()];
  t.notOk(names.some((name) => /direction="outbound".*kind="stream".*verdict/.test(name)));
  t.notOk(
    names.some((name) => /dskit|not_intercepted|peer_not_admitted|label_missing|stage="label",?.*would/.test(name)),
  );
  t.notOk(names.some((name) => /would_(reject|strand).*stage="(label|enforce)"/.test(name)));
  t.ok(
    names.some((name) => /frames_total.*direction="outbound".*kind="packet"/.test(name)),
    "the app's answers are outbound packets",
  );
});

t.test('what counted is shown, expected or not', async (t) => {
  const { fence, tally } = quietFence();
  const snapshot = createSnapshot({
    stage: 'accept',
    sends: 'none',
    takes: 'none',
    wire: 'none',
    unterminatedTls: 'reject',
    shield: true,
  });
  const where: Where = { direction: 'inbound', transport: 'native', kind: 'packet' };
  const frame = (facts: Facts, admitted: boolean) =>
    tally.frame(
      { ...where, ...facts },
      facts.state,
      decide(facts, { admitted, proven: false, foreign: false }, snapshot),
    );
  frame({ direction: 'inbound', state: 'foreign' }, true);
  frame({ direction: 'inbound', state: 'none' }, true);
  frame({ direction: 'outbound', state: 'none' }, true);
  tally.bytes(where, 120);
  tally.dropped('backlog_full');
  tally.oversize();
  tally.limited({ direction: 'outbound', transport: 'tls', kind: 'packet' }, 'own', 'streams_limit');
  tally.forwarded('inbound', 'packet', 0.0002);
  tally.forwarded('inbound', 'packet', 3);
  const series = parsePage(await createMetrics([fence], '0').render());
  const at = (name: string, labels: string) => series.get(`ringfence_${name}{fence="traces",${labels}}`);
  const native = 'direction="inbound",transport="native",kind="packet"';
  t.equal(at('frames_total', `${native},label_state="foreign",verdict="reject"`), 1);
  t.equal(at('frames_total', `${native},label_state="none",verdict="pass"`), 1);
  t.equal(at('rejected_total', `${native},reason="label_foreign"`), 1);
  t.equal(at('would_reject_total', `${native},reason="label_missing",stage="enforce"`), 1);
  t.equal(at('would_strand_total', 'stage="label"'), 1);
  t.equal(at('frame_bytes_total', native), 120);
  t.equal(at('overload_dropped_total', 'reason="backlog_full"'), 1);
  t.equal(series.get('ringfence_oversize_packets_total{fence="traces"}'), 1);
  t.equal(
    at('rejected_total', 'direction="outbound",transport="tls",kind="packet",reason="streams_limit"'),
    1,
    'unexpected, but counted',
  );
  const forward = (suffix: string, le = '') =>
    at(`forward_seconds_${suffix}`, `direction="inbound",kind="packet"${le}`);
  t.equal(forward('bucket', ',le="0.0001"'), 0);
  t.equal(forward('bucket', ',le="0.00025"'), 1);
  t.equal(forward('bucket', ',le="1"'), 1);
  t.equal(forward('bucket', ',le="+Inf"'), 2);
  t.equal(forward('count'), 2);
  t.equal(forward('sum'), 3.0002);
});

t.test('gauges', async (t) => {
  const record = (change: Partial<PeerRecord>): PeerRecord => ({
    address: '10.0.0.1',
    port: 0,
    proven: false,
    foreign: false,
    ambiguous: false,
    lastOwnMs: 0,
    lastNoneMs: 0,
    lastForeignMs: 0,
    lastSentMs: 0,
    unlabelled: undefined,
    ...change,
  });
  const { fence } = quietFence({
    appUp: () => undefined,
    foreignPeers: () => new Set(['10.0.0.3', '10.0.0.4']),
    peerRecords: () => [
      record({ lastOwnMs: 999_000, lastNoneMs: 998_000 }),
      record({ address: '10.0.0.2', lastNoneMs: 999_000 }),
      record({ address: '10.0.0.3', lastForeignMs: 999_000 }),
      record({ address: '10.0.0.5', lastOwnMs: 1_000 }),
      record({ address: '10.0.0.6', port: 7946, lastSentMs: 999_999 }),
    ],
  });
  const series = parsePage(await createMetrics([fence, { ...fence, name: 'other' }], '0').render());
  const at = (name: string, labels = '') => series.get(`ringfence_${name}{fence="traces"${labels}}`);
  t.equal(at('peers', ',label_state="own"'), 1, 'what is older than the window no longer counts');
  t.equal(at('peers', ',label_state="none"'), 1);
  t.equal(at('peers', ',label_state="foreign"'), 1);
  t.equal(at('foreign_peers'), 2, 'rejected ones and remembered ones together');
  t.equal(at('app_up'), 0, 'not known to be up');
  t.equal(at('stage', ',stage="accept"'), 1);
  t.equal(at('stage', ',stage="enforce"'), 0);
  t.equal(at('sessions'), 3);
  t.equal(at('streams_open', ',direction="inbound"'), 2);
  t.equal(at('streams_open', ',direction="outbound"'), 1);
  for (const [table, count] of [
    ['peers', 5],
    ['sessions', 7],
    ['rejections', 1],
    ['foreign_labels', 2],
    ['foreign_peers', 3],
  ] as const) {
    t.equal(at('table_evictions_total', `,table="${table}"`), count);
  }
  t.equal(series.get('ringfence_sessions{fence="other"}'), 3, 'every fence has its series');
});

t.test('what the ring says, and what was not looked at', async (t) => {
  const { fence, tally } = quietFence({
    ring: mergedRing(),
    now: () => START_MS + 60_000,
    inspectionSkipped: () => ({ queue_full: 7, frame_too_large: 0, streams_limit: 1, stream_cut_short: 2 }),
  });
  tally.quarantined(3, 2);
  const series = parsePage(await createMetrics([fence], '0').render());
  const at = (name: string, labels = '') => series.get(`ringfence_${name}{fence="traces"${labels}}`);
  t.equal(at('members', ',state="alive"'), 3);
  t.equal(at('members', ',state="dead"'), 1);
  t.equal(at('members', ',state="left"'), 0);
  t.equal(at('merge_alarms'), 1);
  t.equal(at('merge_warnings'), 1);
  t.equal(at('quarantined_total', ',action="stripped"'), 3);
  t.equal(at('quarantined_total', ',action="dropped"'), 2);
  t.equal(at('inspection_skipped_total', ',reason="queue_full"'), 7);
  t.equal(at('inspection_skipped_total', ',reason="frame_too_large"'), 0);
  for (const table of ['members', 'own_tuples', 'foreign_tuples', 'addresses', 'kv_keys', 'instances']) {
    t.equal(at('table_evictions_total', `,table="${table}"`), 0, table);
  }
  const blind = await createMetrics([quietFence().fence], '0').render();
  t.notMatch(
    blind,
    /^ringfence_(members|merge_alarms|merge_warnings|inspection_skipped_total)\{/m,
    'unknown is no zero',
  );
});
