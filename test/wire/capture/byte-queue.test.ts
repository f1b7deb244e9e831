import fc from 'fast-check';
import t from 'tap';
import { createByteQueue } from '../../../src/wire/capture/byte-queue.ts';
import { chunked, PROPERTY } from '../../property.ts';

t.test('bytes come out as they went in', async (t) => {
  const queue = createByteQueue();
  t.equal(queue.peek(1), undefined);
  t.strictSame(queue.peek(0), new Uint8Array(0));
  queue.push(new Uint8Array(0));
  t.equal(queue.size(), 0);
  queue.push(Buffer.from('abc'));
  queue.push(Buffer.from('de'));
  t.equal(queue.peek(6), undefined);
  t.equal(queue.skip(1), 1);
  t.equal(Buffer.from(queue.peek(3) ?? []).toString(), 'bcd', 'joined over chunks, after a skip');
  t.equal(queue.size(), 4);
  t.equal(queue.skip(9), 4, 'no more than there are');
  t.strictSame([queue.size(), queue.offset()], [0, 5]);
  t.strictSame(queue.peek(0), new Uint8Array(0));
});

t.test('property: any chunking and any steps give the bytes in order', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.array(fc.nat(200), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        (bytes, cuts, steps) => {
          const queue = createByteQueue();
          const out: number[] = [];
          let step = 0;
          const drain = () => {
            for (let size = steps[step % steps.length] ?? 1; ; size = steps[++step % steps.length] ?? 1) {
              const got = queue.peek(size);
              if (got === undefined) return;
              out.push(...got);
              if (queue.skip(size) !== size) throw new Error('skipped less');
            }
          };
          for (const chunk of chunked(bytes, cuts)) {
            queue.push(chunk);
            drain();
          }
          out.push(...(queue.peek(queue.size()) ?? []));
          return Buffer.compare(Buffer.from(out), Buffer.from(bytes)) === 0;
        },
      ),
      PROPERTY,
    ),
  );
});
