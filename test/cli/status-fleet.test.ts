/** status, status --fleet and stage as users call them, against an admin API whose answers are known, and against ones that lie. */
import { createServer } from 'node:http';
import t, { type Test } from 'tap';
import { startAdmin } from '../../src/admin/server.ts';
import { readiness } from '../../src/ring/readiness.ts';
import { adminView, fenceView } from '../admin/helpers.ts';
import { dnsRow, fenceAt, LEG, NOW_MS, probe, row, SECOND_MS, situation } from '../ring/evidence-rows.ts';
import { freePort, ringfence } from './fence-process.ts';

const known = situation([
  row({ name: 'tempo-ingester-3', address: '10.0.3.7', probe: probe(LEG.silent), fence: fenceAt('observe'), ownMs: 0 }),
  row({ name: 'b\u001b[31m', address: '10.0.0.2', probe: { packet: undefined, stream: LEG.answered } }),
  row({ name: 'x', address: '10.0.0.3', foreignLabel: new TextEncoder().encode('green') }),
  dnsRow({
    address: '10.0.0.9',
    unlabelled: { count: 2, sinceMs: NOW_MS - 9 * SECOND_MS, lastMs: NOW_MS - 9 * SECOND_MS },
  }),
]);

async function openAdmin(t: Test) {
  const fence = fenceView({ now: () => NOW_MS }, { situation: known, step: (to) => readiness(to, known) });
  const admin = await startAdmin(adminView(fence), { address: { address: '127.0.0.1', port: 0 }, writeToken: '' });
  t.teardown(() => admin.stop());
  return ['--admin', `http://127.0.0.1:${admin.address.port}`];
}

t.test('status: the next step and every line that stands against it', async (t) => {
  const admin = await openAdmin(t);
  const { code, stdout } = await ringfence(['status', ...admin]);
  t.equal(code, 0);
  t.match(stdout, /^ {2}next {11}label is NOT SAFE$/m);
  t.match(stdout, /^ {17}cuts {5}tempo-ingester-3 10\.0\.3\.7: drops labelled pings \(its fence is at observe\)$/m);
  t.match(stdout, /^ {17}unknown {2}10\.0\.0\.9: in DNS, never seen$/m);
  t.match(stdout, /^ {17}note {5}foreign x 10\.0\.0\.3 label .*green.*: the step cuts it, as it should$/m);
  t.match(stdout, /^ {2}removable {6}no: the app does not send the label itself/m);
  t.match(stdout, /^ {2}note {11}NOT PROTECTED YET: at accept/m);
  t.match(JSON.parse((await ringfence(['status', '--json', ...admin])).stdout), {
    fences: [{ adoption: { next: { to: 'label', readiness: 'unsafe' } } }],
  });
});

t.test('status --fleet: a table of every member', async (t) => {
  const admin = await openAdmin(t);
  const { code, stdout } = await ringfence(['status', '--fleet', ...admin]);
  t.equal(code, 0);
  t.strictSame(
    stdout.split('\n').map((line) => line.replace(/ {2,}/g, ' | ').trim()),
    [
      'traces: accept; label is unsafe',
      '| cuts | tempo-ingester-3 10.0.3.7: drops labelled pings (its fence is at observe)',
      '| unknown | 10.0.0.9: in DNS, never seen',
      '| note | foreign x 10.0.0.3 label "green": the step cuts it, as it should',
      '| NAME | ADDRESS | STATE | SENT LABEL | SENT WITHOUT | PING UDP | PING TCP | FENCE',
      '| b\\x1b[31m | 10.0.0.2:7946 | alive | 1 s ago | never | - | answers | label',
      '| tempo-ingester-3 | 10.0.3.7:7946 | alive | never | never | SILENT since 5 s | SILENT since 5 s | observe',
      '| x | 10.0.0.3:7946 | alive | FOREIGN green | never | answers | answers | label',
      '| - | 10.0.0.9:7946 | in DNS only | never | 9 s ago | not asked | not asked | not asked',
      '',
    ],
  );
  t.match(JSON.parse((await ringfence(['status', '--fleet', '--json', ...admin])).stdout), {
    version: '1.2.3',
    fences: [{ name: 'traces', membersTotal: 4 }],
  });
  t.match(await ringfence(['status', '--fleet', '--fence', 'other', ...admin]), {
    code: 1,
    stderr: /no fence of that name/,
  });
});

t.test('stage: a refusal names whom it would cut, force says whom it cuts', async (t) => {
  const admin = await openAdmin(t);
  const refused = await ringfence(['stage', 'label', ...admin]);
  t.match(refused, { code: 1, stdout: '', stderr: /^ringfence: http:\S+\/api\/v1\/stage: label is not safe/ });
  t.match(
    refused.stderr,
    /^ {2}would cut: tempo-ingester-3 10\.0\.3\.7: drops labelled pings \(its fence is at observe\)$/m,
  );
  t.match(refused.stderr, /^ {2}unknown: 10\.0\.0\.9: in DNS, never seen$/m);
  t.strictSame(await ringfence(['stage', 'label', '--force', ...admin]), {
    code: 0,
    stderr: '',
    stdout: [
      'traces: accept -> label',
      '  cuts: tempo-ingester-3 10.0.3.7: drops labelled pings (its fence is at observe)',
      '  unknown: 10.0.0.9: in DNS, never seen',
      '',
    ].join('\n'),
  });
  t.match(await ringfence(['stage', 'label', ...admin]), { code: 0, stdout: 'traces: already at label\n' });
});

t.test('answers of other versions and of other programs', async (t) => {
  const port = await freePort();
  const good = (await (await fetch(`${(await openAdmin(t))[1]}/api/v1/status`)).json()) as { fences: object[] };
  const [fence] = good.fences;
  const old = { fences: [{ ...fence, adoption: undefined }] };
  const odd = {
    fences: [
      { ...fence, adoption: { origin: 'api', next: 7, dns: [null, 7], fallbacks: ['x', null], removable: 'no' } },
    ],
  };
  let answer: unknown = old;
  let adoption: unknown = { error: 'no such path' };
  const server = createServer((request, response) => {
    const asked = request.url?.startsWith('/api/v1/adoption') === true;
    response.statusCode = asked && adoption === undefined ? 404 : 200;
    response.end(JSON.stringify(asked ? (adoption ?? {}) : answer));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const call = (...args: string[]) => ringfence([...args, '--admin', `http://127.0.0.1:${port}`]);
  t.match(await call('status'), { code: 0, stdout: /adoption {7}not told: the fence is of another version/ });
  adoption = undefined;
  t.match(await call('status'), { code: 0, stdout: /not told/ });
  t.match(await call('status', '--fleet'), { code: 1, stderr: /answered 404/ });
  answer = odd;
  t.match(await call('status'), { code: 0, stdout: /^ {2}next {11}undefined is unknown$/m });
  for (const wrong of [null, [], { fences: 7 }, { fences: [null] }, { fences: [{ name: 1, stage: 'label' }] }]) {
    adoption = wrong;
    t.match(await call('status', '--fleet'), {
      code: 1,
      stderr: 'ringfence: the answer is not the adoption of a fence\n',
    });
  }
  adoption = { fences: [] };
  t.match(await call('status', '--fleet'), { code: 1, stderr: /no fence named/ });
  adoption = {
    fences: [
      {
        name: 'a\u001b',
        stage: 'label',
        next: 'enforce',
        membersTotal: 9,
        steps: [
          7,
          {
            to: 'enforce',
            readiness: 'safe',
            against: [null, { text: 'x\n' }, { cuts: 1 }],
            againstTotal: 4,
            notes: [7, 'n', {}],
          },
        ],
        members: [
          null,
          'x',
          { name: 'm'.repeat(600), address: 'fd00::1', port: 7946, probe: {}, fence: { outcome: 'odd' } },
        ],
      },
    ],
  };
  const { code, stdout } = await call('status', '--fleet');
  t.equal(code, 0);
  t.match(stdout, /^a\?: label; enforce is safe$/m);
  t.match(stdout, /^ {2}unknown {2}x $/m);
  t.match(stdout, /^ {2}and 3 more$/m);
  t.match(stdout, /^ {2}m{57}\.\.\. {2}\[fd00::1\]:7946 /m);
  t.match(stdout, /^and 6 more members$/m);
});
