import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { bindMd5 } from '../../../src/datapath/linux/md5.ts';
import { loadSyscalls } from '../../../src/datapath/linux/syscalls.ts';
import { nodeMd5 } from '../../../src/datapath/packet-look.ts';

const { md5 } = await loadSyscalls();
const expected = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

t.test('the digest of any bytes, wherever they stand in their memory, in memory of its own', async (t) => {
  if (md5 === undefined) throw new Error('this node has no MD5 to call');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1_000 }), fc.nat(32), (memory, at) => {
        const bytes = memory.subarray(at);
        const digest = md5(bytes);
        md5(Uint8Array.of(1));
        return hex(digest) === expected(bytes) && hex(nodeMd5(bytes)) === expected(bytes);
      }),
    ),
  );
  const long = Buffer.alloc(3_000_000, 'abc');
  t.equal(hex(md5(long)), expected(long));
});

t.test('none, or something else of that name: not used', async (t) => {
  const missing = () => {
    throw new Error('no such symbol');
  };
  t.equal(bindMd5(missing), undefined);
  t.equal(
    bindMd5(() => () => 0),
    undefined,
  );
});
