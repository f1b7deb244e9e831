import t from 'tap';
import { composeAdmission, type FenceAdmission } from '../../src/cli/admission.ts';
import type { Fault } from '../../src/datapath/engine.ts';
import { type AdmissionRules, createAdmission, parseCidr } from '../../src/policy/admission.ts';
import type { IdentityRules } from '../../src/policy/identity.ts';
import { type AddressRules, NO_ADDRESS_RULES } from '../../src/ring/address-rules.ts';
import { createFakeClock, type FakeClock, settle } from '../control/fake-clock.ts';

const CIDRS = [parseCidr('192.168.0.0/16')].filter((cidr) => cidr !== undefined);
const CONFIG = { cidrs: CIDRS, dns: ['ring.test'], names: [], graceMs: 60_000 };
const REFRESH_MS = 30_000;
const stranger = (address: string) => ({ address, reached: true });

interface Stand {
  readonly clock: FakeClock;
  readonly admission: FenceAdmission;
  readonly dns: Map<string, readonly string[] | Error | 'hang'>;
  readonly gossip: { says: AddressRules };
  readonly changes: AdmissionRules[];
  readonly identities: IdentityRules[];
  readonly absolved: string[];
  readonly faults: Fault[];
  /** Look-ups. */
  readonly asked: string[];
}

function stand(config: Parameters<FenceAdmission['change']>[0] = CONFIG): Stand {
  const clock = createFakeClock();
  const dns: Stand['dns'] = new Map();
  const gossip = { says: NO_ADDRESS_RULES };
  const [identities, absolved, faults, asked]: [IdentityRules[], string[], Fault[], string[]] = [[], [], [], []];
  const admission = composeAdmission({
    config,
    clock,
    refreshMs: REFRESH_MS,
    ring: { addressRules: () => gossip.says, setIdentity: (rules) => identities.push(rules) },
    async lookup(name) {
      asked.push(name);
      const answer = dns.get(name) ?? [];
      if (answer === 'hang') return new Promise(() => {});
      if (answer instanceof Error) throw answer;
      return { addresses: answer };
    },
    absolve: (address) => absolved.push(address),
    onFault: (fault) => faults.push(fault),
  });
  return { clock, admission, dns, gossip, changes: [], identities, absolved, faults, asked };
}

function start({ admission, changes }: Stand): void {
  admission.start((rules) => changes.push(rules));
}

t.test('DNS and CIDRs admit, either; before an answer the CIDRs do, and not everyone', async (t) => {
  const it = stand();
  t.strictSame(it.admission.rules(), {
    cidrs: CIDRS,
    byDns: true,
    dns: [],
    byName: false,
    misnamed: [],
    shared: [],
  });
  it.dns.set('ring.test', ['10.0.0.1']);
  start(it);
  await it.clock.pass(0);
  const rules = it.admission.rules();
  t.strictSame(it.changes, [rules]);
  const { admits } = createAdmission(rules);
  t.strictSame(['10.0.0.1', '192.168.0.1', '10.0.0.2'].map(admits), [true, true, false]);
  t.equal(it.admission.answered(), true);
  t.strictSame(it.admission.listed(), ['10.0.0.1']);
  await it.clock.pass(10 * REFRESH_MS);
  t.equal(it.changes.length, 1, 'nothing is told that did not change');
  t.equal(it.admission.rules(), rules);
});

t.test('a stranger has DNS asked at once; whoever is listed has not, and a hanging name holds nobody up', async (t) => {
  const it = stand({ ...CONFIG, dns: ['ring.test', 'slow.test'] });
  it.dns.set('ring.test', ['10.0.0.1']);
  start(it);
  await it.clock.pass(5_000);
  await it.admission.ask(stranger('10.0.0.1'));
  t.equal(it.asked.length, 2, 'listed');
  it.dns.set('ring.test', ['10.0.0.1', '10.0.0.2']);
  it.dns.set('slow.test', 'hang');
  const order: string[] = [];
  void it.admission.ask(stranger('10.0.0.2')).then(() => {
    const { admits } = createAdmission(it.admission.rules());
    order.push(`10.0.0.2 ${admits('10.0.0.2')}`);
  });
  void it.admission.ask(stranger('10.0.0.3')).then(() => order.push('10.0.0.3'));
  await settle();
  t.strictSame(order, ['10.0.0.2 true'], 'once it is listed, by rules that say so');
  await it.clock.pass(10_000);
  t.strictSame(order, ['10.0.0.2 true', '10.0.0.3'], 'at the end of the round');
  it.admission.stop();
  await it.admission.ask(stranger('10.0.0.9'));
  t.equal(it.asked.length, 4, 'not after a stop');
});

t.test('who left DNS stays admitted for the grace of the configuration', async (t) => {
  const it = stand();
  it.dns.set('ring.test', ['10.0.0.1', '10.0.0.2']);
  start(it);
  await it.clock.pass(0);
  it.dns.set('ring.test', ['10.0.0.1']);
  await it.clock.pass(REFRESH_MS);
  await it.clock.pass(CONFIG.graceMs - 1);
  const admits = () => ['10.0.0.1', '10.0.0.2'].map(createAdmission(it.admission.rules()).admits);
  t.strictSame(admits(), [true, true]);
  await it.clock.pass(2);
  t.strictSame(admits(), [true, false]);
});

t.test('who is admitted for the grace alone, or until DNS answers after a reload, is told apart', async (t) => {
  const it = stand();
  it.dns.set('ring.test', ['10.0.0.1', '10.0.0.2']);
  start(it);
  await it.clock.pass(0);
  it.dns.set('ring.test', ['10.0.0.1']);
  await it.clock.pass(REFRESH_MS);
  const { admits } = createAdmission(it.admission.rules());
  const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '192.168.0.1'];
  t.strictSame(addresses.map(admits), [true, true, false, true]);
  t.strictSame(
    addresses.map((address) => it.admission.leaves(address)),
    [false, true, true, false],
  );
  it.dns.set('new.test', 'hang');
  it.admission.change({ ...CONFIG, cidrs: [], dns: ['ring.test', 'new.test'] });
  t.ok(createAdmission(it.admission.rules()).admits('192.168.0.1'), 'the CIDR stays until the new name answers');
  t.ok(it.admission.leaves('192.168.0.1'));
  it.admission.change({ ...CONFIG, dns: [] });
  t.notOk(it.admission.leaves('192.0.2.1'), 'without DNS nobody leaves it');
  it.admission.stop();
});

t.test('without names in DNS nobody is asked', async (t) => {
  const it = stand({ ...CONFIG, dns: [] });
  start(it);
  await it.admission.ask(stranger('10.0.0.1'));
  t.strictSame([it.asked, it.admission.answered(), it.admission.rules().byDns], [[], true, false]);
});

t.test('what gossip says of addresses is looked at once a second', async (t) => {
  const it = stand({ ...CONFIG, names: ['traces-*'] });
  start(it);
  await it.clock.pass(0);
  const before = it.changes.length;
  it.gossip.says = { misnamed: ['192.168.0.7'], shared: ['192.168.0.8'] };
  await it.clock.pass(999);
  t.equal(it.changes.length, before);
  await it.clock.pass(1);
  t.match(it.changes.at(-1), { byName: true, misnamed: ['192.168.0.7'], shared: ['192.168.0.8'] });
  const { admits, shared } = createAdmission(it.admission.rules());
  t.strictSame([admits('192.168.0.7'), admits('192.168.0.8'), shared('192.168.0.8')], [false, true, true]);
  it.gossip.says = { misnamed: ['192.168.0.7'], shared: ['192.168.0.8'] };
  await it.clock.pass(5_000);
  t.equal(it.changes.length, before + 2, 'other lists, told once');
  it.admission.stop();
  it.gossip.says = NO_ADDRESS_RULES;
  await it.clock.pass(5_000);
  t.equal(it.changes.length, before + 2);
  t.equal(it.clock.planned(), 0);
});

t.test('members are held against DNS only once all names answered', async (t) => {
  const it = stand({ ...CONFIG, dns: ['ring.test', 'late.test'], names: ['a*'] });
  t.strictSame(it.identities, [{ cidrs: [], names: ['a*'] }]);
  it.dns.set('ring.test', ['10.0.0.1']);
  it.dns.set('late.test', new Error('SERVFAIL'));
  start(it);
  await it.clock.pass(REFRESH_MS * 2);
  t.equal(it.identities.length, 1, 'one of them has not');
  it.dns.set('late.test', ['10.0.0.2']);
  await it.clock.pass(REFRESH_MS * 3);
  t.strictSame(it.identities.slice(1), [{ cidrs: CIDRS, names: ['a*'], dns: ['10.0.0.1', '10.0.0.2'] }]);
});

t.test('foreign evidence ends when DNS lists an address anew, after it is admitted', async (t) => {
  const it = stand();
  it.dns.set('ring.test', ['10.0.0.1']);
  start(it);
  await it.clock.pass(REFRESH_MS);
  t.strictSame(it.absolved, [], 'a first answer may be stale');
  it.dns.set('ring.test', ['10.0.0.1', '10.0.0.2']);
  await it.clock.pass(REFRESH_MS);
  t.strictSame(it.absolved, ['10.0.0.2']);
});

t.test('a failure and its end are told once each, by name, with what stays', async (t) => {
  const it = stand({ ...CONFIG, dns: ['ring.test', 'never.test'] });
  it.dns.set('ring.test', ['10.0.0.1']);
  it.dns.set('never.test', new Error('no such name (NXDOMAIN)'));
  start(it);
  await it.clock.pass(REFRESH_MS * 5);
  it.dns.set('ring.test', new Error('SERVFAIL'));
  await it.clock.pass(REFRESH_MS * 5);
  it.dns.set('ring.test', ['10.0.0.1']);
  await it.clock.pass(REFRESH_MS * 5);
  t.strictSame(it.faults, [
    {
      code: 'dns_failing',
      about: 'never.test',
      message: 'DNS name never.test: no such name (NXDOMAIN); nobody is admitted by it until it answers',
    },
    { code: 'dns_failing', about: 'ring.test', message: 'DNS name ring.test: SERVFAIL; its last good answer stays' },
    { code: 'dns_answers', about: 'ring.test', message: 'DNS answers for ring.test again' },
  ]);
  t.match(it.admission.names(), [
    { name: 'ring.test', problem: undefined },
    { name: 'never.test', lastSuccessMs: 0 },
  ]);
});

t.test(
  'another configuration is in the rules at once, and what admitted before until its names have answered',
  async (t) => {
    const it = stand();
    it.dns.set('ring.test', ['10.0.0.1']);
    it.dns.set('other.test', ['10.0.0.2']);
    start(it);
    await it.clock.pass(0);
    it.admission.change({ cidrs: [], dns: ['other.test'], names: ['x*'], graceMs: 1_000 });
    t.match(it.admission.rules(), { cidrs: CIDRS, byDns: true, byName: true, dns: ['10.0.0.1'] });
    t.equal(it.changes.at(-1), it.admission.rules());
    t.strictSame(it.identities.at(-1), { cidrs: [], names: ['x*'] });
    await it.clock.pass(1_001);
    t.match(it.admission.rules(), { cidrs: [], dns: ['10.0.0.2'] });
    it.admission.change({ cidrs: CIDRS, dns: [], names: [], graceMs: 0 });
    await it.clock.pass(1);
    t.match(it.admission.rules(), { cidrs: CIDRS, byDns: false, byName: false, dns: [] });
    t.strictSame(it.identities.at(-1), { cidrs: CIDRS, names: [] });
  },
);

t.test('names that do not answer after a reload cut nobody who was admitted before it', async (t) => {
  const it = stand({ ...CONFIG, dns: [] });
  start(it);
  await it.clock.pass(0);
  it.dns.set('ring.test', new Error('SERVFAIL'));
  const admitted = () => ['192.168.0.1', '10.0.0.1', 'fd00::1'].map(createAdmission(it.admission.rules()).admits);
  it.admission.change({ ...CONFIG, cidrs: [] });
  await it.clock.pass(REFRESH_MS * 10);
  t.strictSame(admitted(), [true, false, false]);
  it.admission.change({ ...CONFIG, cidrs: [], graceMs: 1 });
  t.strictSame(admitted(), [true, false, false], 'nor does the next one');
  const many = Array.from({ length: 12_000 }, (_, i) => parseCidr(`172.16.${i >> 8}.${i & 255}`)).flatMap(
    (cidr) => cidr ?? [],
  );
  for (let i = 0; i < 3; i++)
    it.admission.change({ ...CONFIG, cidrs: i === 0 ? [...CIDRS] : many.slice(0, 3), graceMs: i });
  t.equal(it.admission.rules().cidrs.length, 4, 'each once');
  it.admission.change({ ...CONFIG, cidrs: many });
  t.equal(it.admission.rules().cidrs.length, 10_000, 'bounded');
  it.admission.change({ ...CONFIG, cidrs: [] });
  it.dns.set('ring.test', ['10.0.0.1']);
  await it.clock.pass(REFRESH_MS * 10);
  t.strictSame(admitted(), [false, true, false]);
  t.equal(it.changes.at(-1), it.admission.rules());
  it.admission.change({ ...CONFIG, cidrs: [], dns: [] });
  t.strictSame(admitted(), [true, true, true], 'no rules');
  it.dns.set('never.test', new Error('SERVFAIL'));
  it.admission.change({ ...CONFIG, cidrs: [], dns: ['never.test'] });
  await it.clock.pass(REFRESH_MS * 10);
  t.strictSame(admitted(), [true, true, true], 'without rules everyone was');
  it.admission.change({ ...CONFIG, dns: [] });
  t.strictSame(admitted(), [true, false, false]);
});

t.test('gossip is looked at at once when a stranger is asked about, and when somebody is told of', async (t) => {
  const it = stand();
  it.dns.set('ring.test', ['10.0.0.1']);
  start(it);
  await it.clock.pass(0);
  it.gossip.says = { misnamed: [], shared: ['10.0.0.1'] };
  await it.admission.ask(stranger('10.0.0.1'));
  t.strictSame(it.admission.rules().shared, ['10.0.0.1']);
  t.equal(it.changes.at(-1), it.admission.rules());
  it.gossip.says = { misnamed: [], shared: ['10.0.0.2'] };
  it.admission.look();
  t.strictSame(it.changes.at(-1)?.shared, ['10.0.0.2']);
  const told = it.changes.length;
  it.admission.look();
  t.equal(it.changes.length, told);
});
