/** Who may change a stage, and which changes are refused. */
import t from 'tap';
import type { AdminRequest } from '../../src/admin/http.ts';
import { route } from '../../src/admin/routes.ts';
import { isLoopback } from '../../src/admin/stage-change.ts';
import { adminView, fenceView, request } from './helpers.ts';

const TOKEN = 'a-token-of-sixteen-characters';
const JSON_HEADERS = { contentType: 'application/json', host: '127.0.0.1:9746' };

function post(body: unknown, change: Partial<AdminRequest> = {}): AdminRequest {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return request('/api/v1/stage', { method: 'POST', headers: JSON_HEADERS, body: text, ...change });
}

t.test('one step up, and back', async (t) => {
  const view = adminView();
  const up = await route(view, post({ stage: 'label' }), '');
  t.match([up.status, JSON.parse(up.body)], [200, { fence: 'traces', from: 'accept', stage: 'label', changed: true }]);
  t.equal(view.fences[0]?.stage(), 'label');
  t.match(await route(view, post({ stage: 'observe' }), ''), { status: 200 }, 'down goes any number of steps');
  t.match(await route(view, post({ stage: 'observe' }), ''), { body: /"changed": false/ });
  t.strictSame(
    view.changes.map(({ from, to, by }) => [from, to, by]),
    [
      ['accept', 'label', '127.0.0.1'],
      ['label', 'observe', '127.0.0.1'],
    ],
    'each change is told, and only changes',
  );
});

t.test('a jump needs force', async (t) => {
  const view = adminView(fenceView());
  view.fences[0]?.setStage('observe');
  const refused = await route(view, post({ stage: 'enforce' }), '');
  t.match(refused, { status: 409, body: /from observe to enforce is 3 steps at once/ });
  t.equal(view.fences[0]?.stage(), 'observe', 'and nothing changed');
  t.match(await route(view, post({ stage: 'enforce', force: true }), ''), { status: 200 });
  t.equal(view.fences[0]?.stage(), 'enforce');
});

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
  const view = adminView();
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
  t.strictSame(view.changes, []);
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
    const view = adminView();
    const answer = await route(view, post({ stage: 'label' }, change), token);
    t.equal(answer.status, status, name);
    t.equal(view.changes.length, status === 200 ? 1 : 0, `${name}: changed or not`);
    t.notMatch(answer.body, TOKEN, 'the token is never told');
  }
});

t.test('loopback', async (t) => {
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) t.ok(isLoopback(address), address);
  for (const address of ['', '10.0.0.1', '127.evil', '::', '::ffff:10.0.0.1', '::11'])
    t.notOk(isLoopback(address), address);
});
