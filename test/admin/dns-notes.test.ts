import t from 'tap';
import { dnsNotes } from '../../src/admin/dns-notes.ts';
import { statusOf } from '../../src/admin/status.ts';
import type { DnsName } from '../../src/control/resolver.ts';
import { fenceView } from './helpers.ts';

const NAME: DnsName = { name: 'ring.test', lastSuccessMs: 1_000, problem: undefined, addresses: 2 };

function notes(change: Partial<DnsName>): string[] {
  const { adoption } = fenceView();
  return dnsNotes({ adoption: { ...adoption, dns: () => [{ ...NAME, ...change }] } });
}

t.test('a name that admits somebody is not worth a note', async (t) => {
  t.strictSame(notes({}), []);
  t.strictSame(notes({ addresses: 0 }), ['DNS name ring.test has no addresses: nobody is admitted by it.']);
});

t.test('a name that never answered, and one that fails', async (t) => {
  const never = { lastSuccessMs: 0, addresses: 0 };
  t.strictSame(notes(never), ['DNS name ring.test has not answered yet: nobody is admitted by it.']);
  t.strictSame(notes({ ...never, problem: 'SERV"FAIL\n' }), [
    'DNS name ring.test has not answered yet (SERV\\x22FAIL\\x0a): nobody is admitted by it.',
  ]);
  t.strictSame(notes({ problem: 'SERVFAIL' }), [
    'DNS name ring.test cannot be looked up (SERVFAIL): its last good answer stays, 2 addresses of 1970-01-01T00:00:01.000Z.',
  ]);
});

t.test('the status has them', async (t) => {
  const view = fenceView();
  const fence = { ...view, adoption: { ...view.adoption, dns: () => [{ ...NAME, addresses: 0 }] } };
  const status = statusOf({ version: '1', fences: [fence], metrics: async () => ({ contentType: '', body: '' }) });
  t.match(status.fences[0]?.notes, new Set(['DNS name ring.test has no addresses: nobody is admitted by it.']));
  t.ok(status.fences[0]?.notes.includes('DNS name ring.test has no addresses: nobody is admitted by it.'));
});
