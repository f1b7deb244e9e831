/** `/api/v1/members` and what the status says of the ring, over a ring that merged. */
import t from 'tap';
import { route } from '../../src/admin/routes.ts';
import type { Status } from '../../src/admin/status.ts';
import type { FenceView } from '../../src/admin/view.ts';
import { createRing } from '../../src/ring/ring.ts';
import { alive, mergedRing, START_MS } from '../ring/merged-ring.ts';
import { adminView, fenceView, request } from './helpers.ts';

const merged = (change: Partial<FenceView> = {}) =>
  fenceView({ ring: mergedRing(), now: () => START_MS + 60_000, ...change });
const get = async (path: string, ...fences: FenceView[]) => {
  const { status, body } = await route(adminView(...fences), request(path), '');
  return { status, value: JSON.parse(body) };
};

t.test('members, foreigners, keys, instances, findings', async (t) => {
  const { value } = await get('/api/v1/members', merged());
  const [fence] = value.fences;
  t.equal(fence.name, 'traces');
  const { ring } = fence;
  t.strictSame(
    ring.members.rows.map(({ name, state }: { name: string; state: string }) => `${name} ${state}`),
    ['a-1 alive', 'a-2 alive', 'b\\x07\\x221 alive', 'a-3 dead'],
    'those that are gone come last',
  );
  t.strictSame(ring.members.rows[1], {
    name: 'a-2',
    address: '10.0.0.2',
    port: 7946,
    state: 'alive',
    stateSince: '1970-01-01T00:16:40.000Z',
    incarnation: 1,
    protocol: { min: 1, max: 5, current: 2 },
    delegate: { min: 0, max: 0, current: 0 },
    meta: '\\x01\\x01\\x04east',
    zone: 'east',
    role: 'member',
    firstSeen: '1970-01-01T00:16:40.000Z',
    lastSeen: '1970-01-01T00:16:40.000Z',
    lastHeard: '1970-01-01T00:16:40.000Z',
    labelState: 'none',
    sealForm: null,
    app: false,
    fenced: null,
    outside: null,
    foreignLabel: null,
  });
  t.match(ring.members.rows[2], { outside: 'address', foreignLabel: 'green', zone: null, role: null, fenced: null });
  t.match(ring.foreign, {
    total: 1,
    rows: [
      {
        name: 'b\\x07\\x221',
        address: '10.0.0.9',
        label: 'green',
        own: false,
        broughtBy: { peer: '10.0.0.9:50001', message: 'pushPull', rejected: true },
      },
    ],
  });
  t.match(ring.kvKeys, { total: 1, rows: [{ key: 'collectors/ring', codec: 'ringDesc', unreadable: 0 }] });
  t.match(ring.instances, {
    total: 1,
    rows: [{ id: 'ingester-1', address: '10.0.0.1:9095', zone: 'east', state: 'ACTIVE', heartbeat: 1_000 }],
  });
  t.match(ring.alarms, {
    total: 1,
    rows: [{ text: /^RINGS MERGE/, label: 'green', broughtBy: { peer: '10.0.0.2:7946', message: 'alive' } }],
  });
  t.match(ring.warnings, { total: 1, rows: [{ kind: 'member', outside: 'address', key: null }] });
  t.match(ring, { canTellMerges: true, warmingUp: false });
  t.notMatch(JSON.stringify(value), /\\u0007/, 'nothing that others chose reaches a terminal');
});

t.test('the answer is bounded', async (t) => {
  const ring = createRing({
    startedMs: START_MS,
    identity: { cidrs: [], names: [] },
    graceMs: 0,
    proven: () => false,
  });
  for (let i = 0; i < 3_000; i++) {
    ring.message(
      {
        atMs: START_MS,
        direction: 'inbound',
        transport: 'native',
        kind: 'packet',
        peer: { address: '10.0.0.1', port: 1 },
        labelState: 'own',
        label: Buffer.from('blue'),
        rejected: false,
        answer: false,
      },
      alive(`m-${i}`, i % 250),
    );
  }
  const rows = async (query: string) => {
    const { value } = await get(`/api/v1/members${query}`, merged({ ring }));
    return value.fences[0].ring.members;
  };
  t.match(await rows(''), { total: 3_000, rows: { length: 1_000 } });
  t.match(await rows('?limit=2'), { total: 3_000, rows: { length: 2 } });
  t.match(await rows('?limit=10000'), { rows: { length: 3_000 } });
  for (const limit of ['0', '10001', '-1', 'x', '1e3']) {
    t.match(await get(`/api/v1/members?limit=${limit}`, merged()), {
      status: 400,
      value: { error: 'limit must be 1 to 10000' },
    });
  }
  t.equal((await get('/api/v1/members?fence=none', merged())).status, 404);
});

t.test('a fence without inspection has no ring, and says so', async (t) => {
  t.strictSame((await get('/api/v1/members', fenceView())).value, { fences: [{ name: 'traces', ring: null }] });
  const status = (await get('/api/v1/status', fenceView())).value as Status;
  t.equal(status.fences[0]?.ring, null);
  t.match(status.fences[0]?.notes, [/^NOT PROTECTED YET: at accept/, /^Answers/, /^Inspection is off/]);
});

t.test('the status counts and spells out', async (t) => {
  const view = merged({
    quarantine: true,
    encryption: { keys: () => 2, reseal: true, problem: () => 'k: no such file' },
    inspectionSkipped: () => ({ queue_full: 3, frame_too_large: 0, streams_limit: 0, stream_cut_short: 0 }),
  });
  const [fence] = ((await get('/api/v1/status', view)).value as Status).fences;
  t.match(fence, {
    ring: {
      members: { alive: 3, suspect: 0, dead: 1, left: 0 },
      foreignSightings: 1,
      kvKeys: 1,
      instances: 1,
      mergeAlarms: { total: 1, shown: [{ since: '1970-01-01T00:16:42.000Z', text: /^RINGS MERGE/ }] },
      mergeWarnings: { total: 1, shown: [{ text: /outside of admit.cidrs/ }] },
    },
    inspectionSkipped: { queue_full: 3 },
    quarantine: { on: true, foreigners: 1, stripped: 0, dropped: 0 },
    encryption: { keys: 2, reseal: true, problem: 'k: no such file' },
  });
  t.notOk(fence?.notes.some((note) => /Merges cannot be told/.test(note)));
});

t.test('what cannot be told is said', async (t) => {
  const ring = createRing({ startedMs: START_MS, identity: { cidrs: [], names: [] }, graceMs: 0, proven: () => false });
  const notes = async (nowMs: number) =>
    ((await get('/api/v1/status', merged({ ring, now: () => nowMs }))).value as Status).fences[0]?.notes ?? [];
  t.match((await notes(START_MS)).slice(-2), [/^Merges cannot be told here/, /^Warming up/]);
  t.match((await notes(START_MS + 3_600_000)).slice(-1), [/^Merges cannot be told here/]);
});
