import fc from 'fast-check';
import t from 'tap';
import { chunked, PROPERTY } from '../../property.ts';
import { pcap, readAll } from './build.ts';

const BYTES = Buffer.from('frame');

for (const big of [false, true]) {
  for (const nano of [false, true]) {
    t.test(`${big ? 'big' : 'little'}-endian, ${nano ? 'nanoseconds' : 'microseconds'}`, async (t) => {
      const atMs = 1_795_358_580_123.456;
      const file = pcap(
        [
          { bytes: BYTES, atMs },
          { bytes: BYTES, wireBytes: 900 },
        ],
        { big, nano, linkType: 276 },
      );
      const { frames, format, failure, cutBytes } = readAll([file]);
      t.strictSame([format, failure, cutBytes], ['pcap', undefined, 0]);
      t.match(frames, [
        { number: 1, linkType: 276, wireBytes: 5 },
        { number: 2, linkType: 276, wireBytes: 900 },
      ]);
      t.ok(Math.abs((frames[0]?.atMs ?? 0) - atMs) < 0.001, `${frames[0]?.atMs}`);
      t.strictSame(Buffer.from(frames[0]?.bytes ?? []), BYTES);
    });
  }
}

t.test('the link type stands below the length of the checksum', async (t) => {
  t.match(readAll([pcap([{ bytes: BYTES }], { linkType: 0x24000001 })]).frames, [{ linkType: 1 }]);
});

t.test('a length on the wire below what was captured is the latter', async (t) => {
  t.match(readAll([pcap([{ bytes: BYTES, wireBytes: 1 }])]).frames, [{ wireBytes: 5 }]);
});

t.test('what is broken is told with its place', async (t) => {
  const whole = pcap([{ bytes: BYTES }, { bytes: BYTES }]);
  const version = Buffer.from(whole);
  version.writeUInt16LE(3, 4);
  t.match(readAll([version]), { failure: { reason: 'version_unknown', at: 0 }, frames: [] });
  const long = Buffer.from(whole);
  long.writeUInt32LE(262_145, 24 + 21 + 8);
  t.match(readAll([long]), { failure: { reason: 'record_length', at: 45 }, frames: [{ number: 1 }] });
  t.match(readAll([whole.subarray(0, 50)]), { failure: undefined, cutBytes: 5, frames: [{ number: 1 }] });
  t.match(readAll([whole.subarray(0, 64)]), { failure: undefined, cutBytes: 19, frames: [{ number: 1 }] });
  t.match(readAll([whole.subarray(0, 20)]), { failure: undefined, cutBytes: 20, frames: [] });
});

t.test('property: any chunking gives the same frames', async (t) => {
  const record = fc.record({ bytes: fc.uint8Array({ maxLength: 60 }), wireBytes: fc.integer({ min: 60, max: 99 }) });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(record), fc.array(fc.nat(2_000)), fc.boolean(), (records, cuts, big) => {
        const file = pcap(records, { big });
        const read = readAll(chunked(file, cuts));
        return (
          JSON.stringify(read) === JSON.stringify(readAll([file])) &&
          read.frames.length === records.length &&
          read.frames.every((frame, i) => frame.wireBytes === records[i]?.wireBytes)
        );
      }),
      { ...PROPERTY, numRuns: Math.min(PROPERTY.numRuns, 300) },
    ),
  );
});
