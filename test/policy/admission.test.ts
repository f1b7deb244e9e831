import fc from 'fast-check';
import t from 'tap';
import {
  type AdmissionRules,
  canonicalAddress,
  createAdmission,
  NO_ADMISSION_RULES,
  parseCidr,
} from '../../src/policy/admission.ts';
import { PROPERTY } from '../property.ts';

function cidrsOf(texts: readonly string[]) {
  return texts.map((text) => {
    const cidr = parseCidr(text);
    if (cidr === undefined) throw new Error(`${text} is no CIDR`);
    return cidr;
  });
}

const rules = (...texts: string[]) => admission({ cidrs: cidrsOf(texts) });
const admission = (some: Partial<AdmissionRules>) => createAdmission({ ...NO_ADMISSION_RULES, ...some });

t.test('DNS names an address as a CIDR does, and an empty answer is not everyone', async (t) => {
  const both = admission({ cidrs: cidrsOf(['192.0.2.0/24']), byDns: true, dns: ['10.0.0.1', 'fd00::1'] });
  for (const inside of ['192.0.2.9', '10.0.0.1', '::ffff:10.0.0.1', 'fd00::1', 'FD00:0::1']) {
    t.equal(both.admits(inside), true, inside);
  }
  for (const outside of ['10.0.0.2', 'fd00::2', '', 'x']) t.equal(both.admits(outside), false, outside);
  const empty = admission({ byDns: true });
  t.equal(empty.hasRules, true);
  t.equal(empty.admits('10.0.0.1'), false);
  const without = admission({ cidrs: cidrsOf(['192.0.2.0/24']), byDns: false, dns: ['10.0.0.1'] });
  t.equal(without.admits('10.0.0.1'), false, 'addresses count only where names are configured');
});

t.test('names bar an address whose members all have others, whatever names it besides', async (t) => {
  const named = admission({ byName: true, misnamed: ['10.0.0.1'] });
  t.equal(named.hasRules, true);
  t.equal(named.admits('10.0.0.1'), false);
  t.equal(named.admits('::ffff:10.0.0.1'), false);
  t.equal(named.admits('10.0.0.2'), true, 'names are not known before gossip says them');
  t.equal(named.admits('nobody'), false);
  const both = admission({
    cidrs: cidrsOf(['10.0.0.0/8']),
    byDns: true,
    dns: ['10.0.0.1'],
    byName: true,
    misnamed: ['10.0.0.1'],
  });
  t.equal(both.admits('10.0.0.1'), false);
  t.equal(both.admits('10.0.0.2'), true);
});

t.test('shared addresses are told in any notation', async (t) => {
  const some = admission({ shared: ['10.0.0.1', 'fd00::1'] });
  for (const address of ['10.0.0.1', '::ffff:10.0.0.1', 'FD00::1']) t.equal(some.shared(address), true, address);
  for (const address of ['10.0.0.2', '', 'x']) t.equal(some.shared(address), false, address);
  t.equal(admission({}).shared('10.0.0.1'), false);
  t.equal(canonicalAddress('fd00:0::1'), 'fd00::1');
});

t.test('a CIDR or a bare address is read, and nothing else', async (t) => {
  t.strictSame(parseCidr('10.0.0.0/8'), { address: '10.0.0.0', prefix: 8, family: 'ipv4' });
  t.strictSame(parseCidr('10.1.2.3'), { address: '10.1.2.3', prefix: 32, family: 'ipv4' });
  t.strictSame(parseCidr('0.0.0.0/0'), { address: '0.0.0.0', prefix: 0, family: 'ipv4' });
  t.strictSame(parseCidr('fd00::/8'), { address: 'fd00::', prefix: 8, family: 'ipv6' });
  t.strictSame(parseCidr('fd00::1'), { address: 'fd00::1', prefix: 128, family: 'ipv6' });
  const wrong = [
    '',
    '/',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10.0.0/8',
    '256.0.0.0/8',
    'x/8',
  ];
  for (const text of [...wrong, 'fd00::/129', 'fe80::1%eth0/64', '10.0.0.0/ 8', '10.0.0.0/1000', 'pods.local']) {
    t.equal(parseCidr(text), undefined, JSON.stringify(text));
  }
});

t.test('without rules everyone is admitted, and that can be seen', async (t) => {
  const open = createAdmission(NO_ADMISSION_RULES);
  t.equal(open.hasRules, false);
  t.ok(open.admits('203.0.113.9'));
  t.ok(open.admits('2001:db8::1'));
  t.equal(rules('10.0.0.0/8').hasRules, true);
});

t.test('rules admit what lies inside any of them', async (t) => {
  const admission = rules('10.0.0.0/8', '192.0.2.7', 'fd00:1::/32');
  for (const inside of ['10.0.0.0', '10.255.255.255', '192.0.2.7', 'fd00:1::1', 'FD00:0001:ffff::']) {
    t.equal(admission.admits(inside), true, inside);
  }
  for (const outside of ['9.255.255.255', '11.0.0.0', '192.0.2.6', '192.0.2.8', 'fd00:2::1', '::1']) {
    t.equal(admission.admits(outside), false, outside);
  }
});

t.test('IPv4-mapped IPv6 counts as IPv4, in an address however written and in a rule', async (t) => {
  for (const mapped of ['::ffff:10.1.2.3', '::FFFF:10.1.2.3', '::ffff:a01:203', '0:0:0:0:0:ffff:a01:203']) {
    t.equal(rules('10.0.0.0/8').admits(mapped), true, mapped);
    t.equal(rules('11.0.0.0/8').admits(mapped), false, mapped);
  }
  t.equal(rules('::ffff:10.0.0.0/104').admits('10.1.2.3'), true);
  t.equal(rules('::ffff:10.0.0.0/104').admits('11.1.2.3'), false);
});

t.test('a rule for all IPv6 says nothing about IPv4, nor the other way round', async (t) => {
  t.equal(rules('::/0').admits('10.1.2.3'), false);
  t.equal(rules('::/0').admits('2001:db8::1'), true);
  t.equal(rules('0.0.0.0/0').admits('2001:db8::1'), false);
});

t.test('a zone does not matter', async (t) => {
  t.equal(rules('fe80::/10').admits('fe80::1%eth0'), true);
  t.equal(rules('fd00::/8').admits('fe80::1%eth0'), false);
});

t.test('an address with bits beyond its prefix stands for its network', async (t) => {
  t.equal(rules('10.1.2.3/8').admits('10.9.9.9'), true);
  t.equal(rules('fd00:1::5/32').admits('fd00:1:2::'), true);
});

t.test('what is no address is not admitted by rules, and does not throw', async (t) => {
  const admission = rules('0.0.0.0/0', '::/0');
  for (const text of ['', 'x', '10.0.0', '10.0.0.1:7946', '%eth0', '999.1.1.1', ':::']) {
    t.equal(admission.admits(text), false, JSON.stringify(text));
  }
});

t.test('property: an IPv4 rule admits exactly the addresses that share its prefix', async (t) => {
  const number = fc.nat(0xffffffff);
  const dotted = (n: number) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255].join('.');
  const property = fc.property(number, fc.nat(32), number, fc.nat(32), (network, prefix, noise, keep) => {
    // Half the time an address that shares at least `keep` bits with the network, so that both answers occur.
    const mask = (bits: number) => (bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0);
    const address = ((network & mask(keep)) | (noise & ~mask(keep))) >>> 0;
    const shares = (network & mask(prefix)) === (address & mask(prefix));
    return rules(`${dotted(network)}/${prefix}`).admits(dotted(address)) === shares;
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});
