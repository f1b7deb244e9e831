/** The routes, without a socket. */
import t from 'tap';
import { route } from '../../src/admin/routes.ts';
import type { Status } from '../../src/admin/status.ts';
import { mergedRing, START_MS } from '../ring/merged-ring.ts';
import { adminView, fenceView, request } from './helpers.ts';

const get = (path: string, view = adminView()) => route(view, request(path), '');

t.test('reading', async (t) => {
  t.match(await get('/'), { status: 200, contentType: /^text\/plain/, body: /GET {2}\/api\/v1\/status/ });
  t.match(await get('/healthz'), { status: 200, body: 'ok\n' });
  t.match(await get('/metrics'), { status: 200, body: 'ringfence_x 1\n' });
  t.match(await route(adminView(), request('/healthz', { method: 'HEAD' }), ''), { status: 200 });
});

t.test('readiness says what is missing', async (t) => {
  t.match(await get('/readyz'), { status: 200, body: 'ready\n' });
  const view = adminView(fenceView(), fenceView({ name: 'logs', notReady: () => ['the app is not there'] }));
  t.match(await get('/readyz', view), { status: 503, body: 'not ready\nlogs: the app is not there\n' });
});

t.test('status', async (t) => {
  const answer = await get('/api/v1/status');
  t.match(answer, { status: 200, contentType: /^application\/json/ });
  const status = JSON.parse(answer.body) as Status;
  t.match(status, {
    version: '1.2.3',
    fences: [
      {
        name: 'traces',
        cluster: 'blue',
        stage: 'accept',
        ceiling: null,
        mode: 'transparent',
        engine: 'linux',
        engineReason: 'a transparent fence has no other',
        app: { sends: 'none', takes: 'none', up: true },
        wire: 'none',
        admissionRules: true,
        ready: true,
        rejected: { label_foreign: 1 },
        wouldReject: { label: 1, enforce: 2 },
        sessions: 1,
        streams: { inbound: 2, outbound: 3 },
        foreignPeers: 1,
        foreignLabels: [{ label: 'green', count: 1, lastSeen: '1970-01-01T00:00:02.000Z' }],
      },
    ],
  });
  t.strictSame(status.fences[0]?.frames.foreign, { pass: 0, reject: 1 });
  t.strictSame(status.fences[0]?.frames.none, { pass: 1, reject: 0 });
});

const LOUD = /^NOT PROTECTED YET: at accept unlabelled frames of admitted addresses pass/;

t.test('the status says what a fence does not protect', async (t) => {
  const notes = async (change: Parameters<typeof fenceView>[0]) =>
    (JSON.parse((await get('/api/v1/status', adminView(fenceView(change)))).body) as Status).fences[0]?.notes;
  t.match(await notes({}), [LOUD, /^Answers carry no label, and a foreigner that skips verification answers anyone/]);
  t.match(await notes({ hasAdmissionRules: false }), [LOUD, /^No admission rules/, /^Answers/]);
  t.match(await notes({ mode: 'listen', guardsOutbound: false, ceiling: { stage: 'accept', why: 'because' } }), [
    LOUD,
    /^A listen fence guards inbound gossip only/,
    'because',
  ]);
  const why = 'a.crt: the certificate has expired';
  const tls = { notAfterMs: () => 1_000, problem: () => why };
  t.match(await notes({ tls }), [LOUD, /^Answers/, /^Inspection is off/, `TLS: ${why}.`]);
  const status = async (change: Parameters<typeof fenceView>[0]) =>
    (JSON.parse((await get('/api/v1/status', adminView(fenceView(change)))).body) as Status).fences[0]?.tls;
  t.strictSame(await status({ tls }), { notAfter: '1970-01-01T00:00:01.000Z', problem: why });
  t.equal(await status({}), null);
  t.strictSame(await notes({ stage: () => 'observe', ring: mergedRing(), now: () => START_MS + 60_000 }), [
    'NOT PROTECTED YET: at observe every frame passes, those with a foreign label too.',
  ]);
});

t.test('peers', async (t) => {
  const { body } = await get('/api/v1/peers');
  t.strictSame(JSON.parse(body), {
    fences: [
      {
        name: 'traces',
        total: 1,
        peers: [
          {
            address: '10.0.0.1',
            port: null,
            proven: true,
            foreign: false,
            ambiguous: false,
            lastOwn: '1970-01-01T00:00:01.000Z',
            lastUnlabelled: null,
            lastForeign: null,
            lastSent: null,
            unlabelled: null,
            sealed: null,
          },
        ],
      },
    ],
  });
});

t.test('rejections, with what their reasons mean', async (t) => {
  const view = adminView(fenceView(), fenceView({ name: 'logs', rejections: () => [] }));
  const { body } = await get('/api/v1/rejections', view);
  t.match(JSON.parse(body), {
    fences: [
      { name: 'traces', leftOut: 4, rejections: [{ peer: '10.0.0.9:50000', reason: 'label_foreign', count: 1 }] },
      { name: 'logs' },
    ],
    reasons: { label_foreign: "The frame carries another cluster's label." },
  });
  const one = JSON.parse((await get('/api/v1/rejections?fence=logs&limit=5', view)).body) as { fences: unknown[] };
  t.match(one.fences, [{ name: 'logs' }]);
  t.equal(one.fences.length, 1);
  t.match(await get('/api/v1/rejections?fence=none'), { status: 404, body: /no fence of that name/ });
  for (const limit of ['0', '501', '-1', 'x', '1e3', '']) {
    t.match(
      await get(`/api/v1/rejections?limit=${limit}`),
      { status: 400, body: /limit must be 1 to 500/ },
      `limit=${limit}`,
    );
  }
});

t.test('what is not there', async (t) => {
  for (const path of ['/nothing', '/api/v1/status/', '/__proto__', '/constructor', '//', '/api/v1/STATUS']) {
    t.match(await get(path), { status: 404, contentType: /json/, body: /no such path/ }, path);
  }
  const wrong = await route(adminView(), request('/api/v1/status', { method: 'POST' }), '');
  t.match(wrong, { status: 405, headers: { allow: 'GET' } });
  t.match(await get('/api/v1/stage'), { status: 405, headers: { allow: 'POST' } });
});
