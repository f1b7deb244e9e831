/** Who may change a stage, and which changes are refused. */
import t from 'tap';
import type { AdminRequest } from '../../src/admin/http.ts';
import { route } from '../../src/admin/routes.ts';
import { isLoopback } from '../../src/admin/stage-change.ts';
import type { Stage } from '../../src/policy/stage.ts';
import type { Against, Step } from '../../src/ring/readiness-types.ts';
import { adminView, fenceView, request } from './helpers.ts';

const TOKEN = 'a-token-of-sixteen-characters';
const JSON_HEADERS = { contentType: 'application/json', host: '127.0.0.1:9746' };

function post(body: unknown, change: Partial<AdminRequest> = {}): AdminRequest {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return request('/api/v1/stage', { method: 'POST', headers: JSON_HEADERS, body: text, ...change });
}

t.test('one step up, and back', async (t) => {
  const fence = fenceView();
  const view = adminView(fence);
  const up = await route(view, post({ stage: 'label' }), '');
  t.equal(up.status, 200);
  t.strictSame(JSON.parse(up.body), {
    fence: 'traces',
    from: 'accept',
    stage: 'label',
    changed: true,
    cuts: [],
    unknown: [],
    againstTotal: 0,
  });
  t.equal(fence.stage(), 'label');
  t.match(await route(view, post({ stage: 'accept' }), ''), { status: 200 });
  t.match(await route(view, post({ stage: 'accept' }), ''), { body: /"changed": false/ });
  t.strictSame(
    fence.changes.map(({ from, to, by, origin }) => [from, to, by, origin]),
    [
      ['accept', 'label', '127.0.0.1', 'api'],
      ['label', 'accept', '127.0.0.1', 'api'],
    ],
    'each change is told, and only changes',
  );
});

t.test('a jump needs force, up and down', async (t) => {
  for (const [from, to] of [
    ['observe', 'enforce'],
    ['enforce', 'accept'],
  ] as const) {
    const fence = fenceView({}, { stage: from });
    const view = adminView(fence);
    const refused = await route(view, post({ stage: to }), '');
    t.equal(refused.status, 409);
    t.match(refused.body, new RegExp(`from ${from} to ${to} is \\d steps at once`));
    t.equal(fence.stage(), from, 'and nothing changed');
    t.match(await route(view, post({ stage: to, force: true }), ''), { status: 200 });
    t.equal(fence.stage(), to);
  }
});

t.test(
  'a step that is not safe is refused with whom it would cut and who is unknown; forced, it says so too',
  async (t) => {
    const against: Against[] = [
      { code: 'drops_labelled', cuts: true, name: 'a\u001b[2J', address: '10.0.0.7', port: 7946, text: 'drops it' },
      { code: 'members_unknown', cuts: false, name: undefined, address: undefined, port: undefined, text: 'no table' },
    ];
    const step = (to: Stage): Step => ({ to, readiness: 'unsafe', against, againstTotal: 250, notes: [] });
    const fence = fenceView({}, { step });
    const view = adminView(fence);
    const cuts = [
      { code: 'drops_labelled', cuts: true, name: 'a\\x1b[2J', address: '10.0.0.7', port: 7946, text: 'drops it' },
    ];
    const unknown = [{ code: 'members_unknown', cuts: false, name: null, address: null, port: null, text: 'no table' }];
    const refused = await route(view, post({ stage: 'label' }), '');
    t.equal(refused.status, 409);
    t.strictSame(JSON.parse(refused.body), {
      error: 'label is not safe: a\\x1b[2J 10.0.0.7: drops it; no table; and 248 more',
      final: false,
      against: cuts,
      unknown,
      againstTotal: 250,
    });
    t.equal(fence.stage(), 'accept');
    const forced = await route(view, post({ stage: 'label', force: true }), '');
    t.equal(forced.status, 200);
    t.match(JSON.parse(forced.body), { changed: true, cuts, unknown, againstTotal: 250 });
    t.match(fence.changes, [{ to: 'label', force: true }]);
  },
);

t.test('what cannot be is refused, force or not', async (t) => {
  const listen = adminView(fenceView({ ceiling: { stage: 'accept', why: 'egress is unseen' } }));
  for (const stage of ['label', 'enforce']) {
    t.match(await route(listen, post({ stage, force: true }), ''), {
      status: 409,
      body: /cannot be: egress is unseen/,
    });
  }
  const translating = adminView(fenceView({ dialects: { sends: 'none', takes: 'none', wire: 'own' } }));
  t.match(await route(translating, post({ stage: 'observe', force: true }), ''), {
    status: 409,
    body: /observe translates nothing/,
  });
  t.equal(translating.fences[0]?.stage(), 'accept');
});

t.test('which fence', async (t) => {
  const view = adminView(fenceView(), fenceView({ name: 'logs' }));
  t.match(await route(view, post({ stage: 'label' }), ''), { status: 400, body: /say which fence: traces, logs/ });
  t.match(await route(view, post({ stage: 'label', fence: 'x' }), ''), {
    status: 404,
    body: /there are: traces, logs/,
  });
  t.match(await route(view, post({ stage: 'label', fence: 'logs' }), ''), { status: 200 });
  t.strictSame(
    view.fences.map((fence) => fence.stage()),
    ['accept', 'label'],
  );
});

t.test('bodies that are none', async (t) => {
  const fence = fenceView();
  const view = adminView(fence);
  const bodies: readonly [unknown, RegExp][] = [
    ['', /not JSON/],
    ['{', /not JSON/],
    ['null', /must be a JSON object/],
    ['[]', /must be a JSON object/],
    [{}, /stage must be one of observe, accept, label, enforce/],
    [{ stage: 'auto' }, /stage must be one of/],
    [{ stage: 'ENFORCE' }, /stage must be one of/],
    [{ stage: ['label'] }, /stage must be one of/],
    [{ stage: 'label', fence: 1 }, /fence must be text/],
    [{ stage: 'label', force: 'yes' }, /force must be true or false/],
    [{ stage: 'label', x: 1 }, /may hold fence, stage and force only/],
  ];
  for (const [body, error] of bodies) {
    t.match(await route(view, post(body), ''), { status: 400, body: error }, JSON.stringify(body));
  }
  t.strictSame(fence.changes, []);
});

t.test('who may', async (t) => {
  const elsewhere = { remoteAddress: '10.0.0.7' };
  const bearer = (token: string) => ({ headers: { ...JSON_HEADERS, authorization: `Bearer ${token}` } });
  const cases: readonly [string, Partial<AdminRequest>, string, number][] = [
    ['loopback', {}, '', 200],
    ['IPv6 loopback', { remoteAddress: '::1', headers: { ...JSON_HEADERS, host: '[::1]:9746' } }, '', 200],
    ['mapped loopback', { remoteAddress: '::ffff:127.0.0.1' }, '', 200],
    [
      'localhost by name',
      { headers: { ...JSON_HEADERS, host: 'localhost:9746', origin: 'http://localhost:9746' } },
      '',
      200,
    ],
    ['elsewhere', elsewhere, '', 403],
    ['elsewhere, though there is a token', elsewhere, TOKEN, 403],
    ['elsewhere with the token', { ...elsewhere, ...bearer(TOKEN) }, TOKEN, 200],
    ['elsewhere with a wrong token', { ...elsewhere, ...bearer(`${TOKEN}x`) }, TOKEN, 403],
    ['elsewhere with an empty token where none is set', { ...elsewhere, ...bearer('') }, '', 403],
    ['elsewhere with any token where none is set', { ...elsewhere, ...bearer('x') }, '', 403],
    ['a wrong token from loopback', bearer('x'), TOKEN, 403],
    ['another scheme', { ...elsewhere, headers: { ...JSON_HEADERS, authorization: `Basic ${TOKEN}` } }, TOKEN, 403],
    ['a rebound name', { headers: { ...JSON_HEADERS, host: 'evil.example:9746' } }, '', 403],
    ['no Host at all', { headers: { contentType: 'application/json' } }, '', 403],
    ['a foreign page', { headers: { ...JSON_HEADERS, origin: 'http://evil.example' } }, '', 403],
    ['a page of nowhere', { headers: { ...JSON_HEADERS, origin: 'null' } }, '', 403],
    [
      'a name that only begins like loopback',
      { headers: { ...JSON_HEADERS, host: '127.0.0.1.evil.example' } },
      '',
      403,
    ],
    ['a form', { headers: { ...JSON_HEADERS, contentType: 'text/plain' } }, '', 415],
    ['no content type', { headers: { host: '127.0.0.1' } }, '', 415],
    ['a charset', { headers: { ...JSON_HEADERS, contentType: 'Application/JSON; charset=utf-8' } }, '', 200],
  ];
  for (const [name, change, token, status] of cases) {
    const fence = fenceView();
    const answer = await route(adminView(fence), post({ stage: 'label' }, change), token);
    t.equal(answer.status, status, name);
    t.equal(fence.changes.length, status === 200 ? 1 : 0, `${name}: changed or not`);
    t.notMatch(answer.body, TOKEN, 'the token is never told');
  }
});

t.test('loopback', async (t) => {
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) t.ok(isLoopback(address), address);
  for (const address of ['', '10.0.0.1', '127.evil', '::', '::ffff:10.0.0.1', '::11'])
    t.notOk(isLoopback(address), address);
});
