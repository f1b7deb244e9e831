import fc from 'fast-check';
import t from 'tap';
import { CAPTURE_REASONS, CAPTURE_SENTENCES } from '../../../src/wire/capture/frame.ts';
import { createCaptureReader } from '../../../src/wire/capture/reader.ts';
import { chunked, PROPERTY } from '../../property.ts';
import { pcap, readAll } from './build.ts';

t.test('formats are told by the first bytes', async (t) => {
  t.match(readAll([]), { format: undefined, failure: { reason: 'empty', at: 0 } });
  t.match(readAll([Buffer.from([0xa1, 0xb2, 0xc3])]), { failure: { reason: 'not_a_capture' } });
  t.match(readAll([Buffer.from('\x89PNG\r\n')]), { format: undefined, failure: { reason: 'not_a_capture', at: 0 } });
  t.match(readAll([Buffer.from('00')]), { format: 'hex', failure: undefined, frames: [{}] }, 'shorter than a magic');
  for (const reason of CAPTURE_REASONS) t.match(CAPTURE_SENTENCES[reason], /\w \w/, reason);
});

t.test('a failure is for good', async (t) => {
  const reader = createCaptureReader(() => t.fail('no frame'));
  t.notOk(reader.push(Buffer.from([0xff, 0xff, 0xff, 0xff])));
  t.notOk(reader.push(pcap([{ bytes: Buffer.from('x') }])));
  reader.end();
  t.match(reader.failure(), { reason: 'not_a_capture' });
});

t.test('frames come as soon as they are there', async (t) => {
  const file = pcap([{ bytes: Buffer.from('one') }, { bytes: Buffer.from('two') }]);
  let frames = 0;
  const reader = createCaptureReader(() => frames++);
  t.ok(reader.push(file.subarray(0, 43)));
  t.equal(frames, 1);
  t.ok(reader.push(file.subarray(43)));
  t.equal(frames, 2);
});

t.test('property: garbage after a good start never throws, and chunking changes nothing', async (t) => {
  const start = fc.constantFrom('', 'd4c3b2a102000400', 'a1b2c3d400020004', '0a0d0d0a1c0000004d3c2b1a', '3030');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 300 }), fc.array(fc.nat(400)), (head, tail, cuts) => {
        const file = Buffer.concat([Buffer.from(head, 'hex'), tail]);
        return JSON.stringify(readAll([file])) === JSON.stringify(readAll(chunked(file, cuts)));
      }),
      PROPERTY,
    ),
  );
});
