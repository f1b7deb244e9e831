import fc from 'fast-check';
import t from 'tap';
import {
  readSockaddr,
  SOCKADDR_IN_BYTES,
  SOCKADDR_IN6_BYTES,
  SOCKADDR_MAX_BYTES,
  sockaddr,
  sockaddrPlace,
  writeSockaddr,
} from '../../../src/datapath/linux/sockaddr.ts';
import { formatAddress, parseAddress } from '../../../src/wire/address.ts';

t.test('the bytes that the kernel expects', async (t) => {
  const v4 = sockaddr(parseAddress('192.0.2.1') as Uint8Array, 7946);
  t.equal(v4.toString('hex'), '02001f0ac00002010000000000000000');
  t.equal(v4.length, SOCKADDR_IN_BYTES);
  const v6 = sockaddr(parseAddress('2001:db8::1') as Uint8Array, 7946);
  t.equal(v6.toString('hex'), '0a001f0a0000000020010db800000000000000000000000100000000');
  t.equal(v6.length, SOCKADDR_IN6_BYTES);
});

t.test('what is written is read', async (t) => {
  const place = sockaddrPlace();
  const buffer = Buffer.alloc(SOCKADDR_MAX_BYTES + 3, 0xaa);
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.oneof(fc.ipV4(), fc.ipV6()),
        fc.integer({ min: 0, max: 65_535 }),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        (text, port, scope) => {
          const address = parseAddress(text);
          if (address === undefined) return true;
          const length = writeSockaddr(buffer.subarray(3), address, port, scope);
          if (!readSockaddr(buffer, 3, place)) return false;
          const scopeKept = length === SOCKADDR_IN_BYTES ? place.scope === 0 : place.scope === scope;
          return place.port === port && scopeKept && formatAddress(place.address) === formatAddress(address);
        },
      ),
    ),
  );
});

t.test('another family is refused', async (t) => {
  t.equal(readSockaddr(Buffer.alloc(SOCKADDR_MAX_BYTES), 0, sockaddrPlace()), false);
});
