import { isIP } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { formatAddress, formatEndpoint, isV4Mapped, parseAddress } from '../../src/wire/address.ts';
import { PROPERTY } from '../property.ts';

const hex = (text: string) => {
  const bytes = parseAddress(text);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('hex');
};

t.test('IPv4 is read as IPv4-mapped, so that both ways of writing it are one key', async (t) => {
  t.equal(hex('10.1.2.3'), '00000000000000000000ffff0a010203');
  t.equal(hex('::ffff:10.1.2.3'), '00000000000000000000ffff0a010203');
  t.equal(hex('::ffff:a01:203'), '00000000000000000000ffff0a010203');
  t.equal(hex('0:0:0:0:0:ffff:10.1.2.3'), '00000000000000000000ffff0a010203');
  t.ok(isV4Mapped(parseAddress('10.1.2.3') ?? new Uint8Array()));
  t.notOk(isV4Mapped(parseAddress('fd00::1') ?? new Uint8Array()));
});

t.test('IPv6 is read in every form, with or without a zone', async (t) => {
  t.equal(hex('::'), '00000000000000000000000000000000');
  t.equal(hex('::1'), '00000000000000000000000000000001');
  t.equal(hex('FD00:0:0:1::AB'), 'fd0000000000000100000000000000ab');
  t.equal(hex('fe80::1%eth0'), 'fe800000000000000000000000000001');
  t.equal(hex('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008');
  t.equal(hex('1:2:3:4:5:6:7::'), '00010002000300040005000600070000');
  t.equal(hex('64:ff9b::1.2.3.4'), '0064ff9b000000000000000001020304');
});

t.test('what is no address gives undefined', async (t) => {
  const wrong = [
    ...['', 'x', '1.2.3', '1.2.3.4.5', '256.1.1.1', '1.2.3.-4', '1.2.3.', '01.2.3.4', '1.2.3.0x4', '1.2.3.4 ', '%eth0'],
    ...[':', ':::', '1::2::3', '1:2:3', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7:8::', ':1:2:3:4:5:6:7:8', 'g::', '12345::'],
    ...['::1.2.3', '::1.2.3.256', '1.2.3.4::', '::1.2.3.4:5', '1:2:3:4:5:6:7:1.2.3.4', '1:2:3:4:5:6:7:8:'],
  ];
  for (const text of wrong) t.equal(hex(text), undefined, JSON.stringify(text));
});

t.test('addresses are written as RFC 5952 says, IPv4-mapped ones dotted', async (t) => {
  const pairs = [
    ['::', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['FD00:0:0:1::AB', 'fd00:0:0:1::ab'],
    ['1:0:0:2:0:0:3:4', '1::2:0:0:3:4'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['1:2:3:4:5:6:0:0', '1:2:3:4:5:6::'],
    ['::ffff:192.168.0.1', '192.168.0.1'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
  ] as const;
  for (const [text, written] of pairs) t.equal(formatAddress(parseAddress(text) ?? new Uint8Array(16)), written, text);
});

t.test('an address is read and written inside a larger buffer', async (t) => {
  const buffer = new Uint8Array(40);
  buffer.set(parseAddress('10.9.8.7') ?? [], 24);
  t.equal(formatAddress(buffer, 24), '10.9.8.7');
  t.ok(isV4Mapped(buffer, 24));
  t.notOk(isV4Mapped(buffer, 0));
});

t.test('property: any 16 bytes survive being written and read', async (t) => {
  const group = fc.constantFrom([0, 0], [0, 1], [0xff, 0xff], [0x12, 0x34]);
  const address = fc.oneof(
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => Uint8Array.from(groups.flat())),
  );
  const property = fc.property(address, (bytes) => {
    const text = formatAddress(bytes);
    return isIP(text) !== 0 && Buffer.from(parseAddress(text) ?? []).equals(bytes);
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});

t.test('property: text is an address for us exactly when it is one for node:net', async (t) => {
  const nearly = fc.array(fc.constantFrom(':', '::', '.', '0', '1', '255', '256', 'ffff', 'g', '10.0.0.1', '01'), {
    maxLength: 12,
  });
  const text = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.string(),
    nearly.map((parts) => parts.join('')),
  );
  const property = fc.property(text, (candidate) => {
    fc.pre(!candidate.includes('%'));
    return (parseAddress(candidate) !== undefined) === (isIP(candidate) !== 0);
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});

t.test('an address with its port has brackets around IPv6 only', async (t) => {
  t.equal(formatEndpoint({ address: '10.0.0.1', port: 7946 }), '10.0.0.1:7946');
  t.equal(formatEndpoint({ address: 'fd00::1', port: 7946 }), '[fd00::1]:7946');
});
