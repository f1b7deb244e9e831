import t from 'tap';
import { addressText, tupleKey } from '../../src/ring/tuple.ts';
import { decodeText } from '../../src/wire/text.ts';

t.test('addresses as gossip has them', async (t) => {
  t.equal(addressText(Uint8Array.of(10, 0, 0, 1)), '10.0.0.1');
  t.equal(addressText(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1)), '10.0.0.1', 'IPv4-mapped');
  t.equal(addressText(Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)), 'fd00::1');
  t.equal(addressText(new Uint8Array(0)), '0x');
  t.equal(addressText(Uint8Array.of(1, 2, 3)), '0x010203');
  t.equal(addressText(new Uint8Array(5_000)), `0x${'00'.repeat(16)}`, 'bounded');
});

t.test('no two tuples have one key', async (t) => {
  const tuples = [
    { name: 'a', address: '10.0.0.1', port: 1 },
    { name: '1 a', address: '10.0.0.1', port: 1 },
    { name: 'a', address: '10.0.0.1', port: 11 },
    { name: decodeText(Uint8Array.of(0x61, 0xff)), address: '10.0.0.1', port: 1 },
    { name: decodeText(Uint8Array.of(0x61, 0xfe)), address: '10.0.0.1', port: 1 },
    { name: '', address: '10.0.0.1', port: 1 },
  ];
  t.equal(new Set(tuples.map(tupleKey)).size, tuples.length);
});
