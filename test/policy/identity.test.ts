import t from 'tap';
import { parseCidr } from '../../src/policy/admission.ts';
import { createIdentity, NO_IDENTITY_RULES } from '../../src/policy/identity.ts';

const cidrs = [parseCidr('10.0.0.0/8')].flatMap((cidr) => cidr ?? []);

t.test('without rules nobody is outside', async (t) => {
  const identity = createIdentity(NO_IDENTITY_RULES);
  t.notOk(identity.hasRules);
  t.equal(identity.outside('anyone', '192.0.2.1'), undefined);
  t.equal(identity.outside('anyone', '0x00'), undefined, 'not even at no address');
});

t.test('each kind of rule for itself', async (t) => {
  const byAddress = createIdentity({ cidrs, names: [] });
  t.ok(byAddress.hasRules);
  t.equal(byAddress.outside('anyone', '10.1.2.3'), undefined);
  t.equal(byAddress.outside('anyone', '192.0.2.1'), 'address');
  t.equal(byAddress.outside('anyone', '0x0a000001ff'), 'address', 'what is no address is in no network');
  t.notOk(byAddress.outsideName('anyone'));
  const byName = createIdentity({ cidrs: [], names: ['traces-*', 'tempo-?'] });
  t.equal(byName.outside('tempo-1', '192.0.2.1'), undefined);
  t.equal(byName.outside('loki-1', '10.0.0.1'), 'name');
  t.notOk(byName.outsideAddress('192.0.2.1'));
});

t.test('both have to hold, where there are both', async (t) => {
  const both = createIdentity({ cidrs, names: ['traces-*'] });
  t.equal(both.outside('traces-1', '10.0.0.1'), undefined);
  t.equal(both.outside('traces-1', '192.0.2.1'), 'address');
  t.equal(both.outside('logs-1', '10.0.0.1'), 'name');
});

t.test('an address may be named by a network or by DNS', async (t) => {
  const either = createIdentity({ cidrs, names: [], dns: ['192.0.2.1'] });
  t.ok(either.hasRules);
  t.equal(either.outside('anyone', '192.0.2.1'), undefined);
  t.equal(either.outside('anyone', '10.0.0.1'), undefined);
  t.equal(either.outside('anyone', '192.0.2.2'), 'address');
  const empty = createIdentity({ cidrs: [], names: [], dns: [] });
  t.ok(empty.hasRules, 'an empty answer is not everyone');
  t.equal(empty.outside('anyone', '10.0.0.1'), 'address');
});
