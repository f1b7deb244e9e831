import { createCipheriv } from 'node:crypto';
import { inspect } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import {
  createKeyring,
  looksEncrypted,
  openPacket,
  openStream,
  SEALED_STREAM_HEADER_BYTES,
  sealPacket,
  sealStream,
  streamFrameBytes,
} from '../../src/wire/encryption.ts';
import { KEYRING_KEYS_MAX, SEALED_STREAM_MAX_BYTES } from '../../src/wire/limits.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { PROPERTY } from '../property.ts';

const text = (value: string) => Uint8Array.from(Buffer.from(value, 'latin1'));
const NONE = text('');
const LABEL = text('traces.prod');
const KEYS = [text('sixteen byte key'), text('a key of twenty-four byt'), text('this key has thirty-two bytes !!')];
const ring = createKeyring(KEYS);
const PLAIN = text('\x08hello');

/** What a peer with the first key can write that no member does: any padded plaintext under version 0. */
function craft(padded: Uint8Array, aad: Uint8Array, version = 0): Uint8Array {
  const nonce = Buffer.alloc(12, 7);
  const cipher = createCipheriv('aes-128-gcm', KEYS[0] as Uint8Array, nonce);
  cipher.setAAD(aad);
  const body = Buffer.concat([cipher.update(padded), cipher.final()]);
  return Buffer.concat([Uint8Array.of(version), nonce, body, cipher.getAuthTag()]);
}

t.test('a known frame: AES-GCM as NIST has it, with memberlist framing', async (t) => {
  // Test case 4 of the GCM specification: 128-bit key, 20 bytes of associated data, 60 bytes of text.
  const hex = (value: string) => Uint8Array.from(Buffer.from(value, 'hex'));
  const sealed = Buffer.concat([
    Uint8Array.of(1),
    hex('cafebabefacedbaddecaf888'),
    hex(
      '42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091',
    ),
    hex('5bc94fbc3221a5db94fae95ae7121a47'),
  ]);
  const known = createKeyring([hex('feffe9928665731c6d6a8f9467308308')]);
  t.match(openPacket(known, sealed, hex('feedfacedeadbeeffeedfacedeadbeefabaddad2')), {
    ok: true,
    value: {
      plain: Buffer.from(
        'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
        'hex',
      ),
      version: 1,
      key: 0,
      form: 'label',
    },
  });
});

t.test('both forms open, in either direction of mixing', async (t) => {
  for (const version of [0, 1] as const) {
    for (const key of [0, 1, 2]) {
      for (const [aad, label, form] of [
        [LABEL, LABEL, 'label'],
        [NONE, LABEL, 'empty'],
        [NONE, NONE, 'empty'],
      ] as const) {
        const expected = { ok: true, value: { plain: Buffer.from(PLAIN), version, key, form } };
        t.strictSame(openPacket(ring, sealPacket(ring, PLAIN, aad, version, key), label), expected, 'packet');
        t.strictSame(openStream(ring, sealStream(ring, PLAIN, aad, version, key), label), expected, 'stream');
      }
      const labelled = sealPacket(ring, PLAIN, LABEL, version, key);
      t.match(openPacket(ring, labelled, text('another')), { ok: false, reason: 'no_key' });
      t.match(openPacket(ring, labelled, NONE), { ok: false, reason: 'no_key' });
    }
  }
});

t.test('lengths are as security.go encryptedLength has them, and nonces are fresh', async (t) => {
  for (const [size, padded] of [
    [1, 16],
    [15, 16],
    [16, 32],
    [17, 32],
  ] as const) {
    const plain = new Uint8Array(size).fill(8);
    t.equal(sealPacket(ring, plain, NONE, 0, 0).length, 29 + padded);
    t.equal(sealPacket(ring, plain, NONE, 1, 0).length, 29 + size);
    const stream = sealStream(ring, plain, NONE, 0, 0);
    t.equal(streamFrameBytes(stream), stream.length);
    t.equal(stream.length, 5 + 29 + padded);
  }
  const nonces = Array.from({ length: 50 }, () =>
    Buffer.from(sealPacket(ring, PLAIN, NONE, 1, 0)).toString('hex', 1, 13),
  );
  t.equal(new Set(nonces).size, nonces.length);
});

t.test('what ends a member that opens it', async (t) => {
  t.match(openPacket(ring, craft(NONE, LABEL, 1), LABEL), { ok: false, reason: 'plaintext_empty' });
  t.match(openPacket(ring, craft(new Uint8Array(16).fill(16), LABEL), LABEL), { ok: false, reason: 'plaintext_empty' });
  t.match(openPacket(ring, craft(new Uint8Array(16).fill(17), NONE), LABEL), { ok: false, reason: 'padding' });
  t.match(openPacket(ring, craft(new Uint8Array(32).fill(255), LABEL), LABEL), { ok: false, reason: 'padding' });
  const stream = sealStream(ring, NONE, LABEL, 1, 0);
  t.match(openStream(ring, stream, LABEL), { ok: false, reason: 'plaintext_empty' });
});

t.test('padding that memberlist slices off is sliced off', async (t) => {
  const odd = (last: number) => Uint8Array.from([8, ...new Array(30).fill(1), last]);
  for (const last of [0, 1, 17, 31]) {
    const opened = openPacket(ring, craft(odd(last), NONE), NONE);
    t.equal(opened.ok && opened.value.plain.length, 32 - last, `last byte ${last}`);
  }
});

t.test('what is no sealed frame', async (t) => {
  t.strictSame(openPacket(ring, NONE, LABEL), { ok: false, reason: 'truncated', at: 29 });
  t.strictSame(openPacket(ring, new Uint8Array(44), LABEL), { ok: false, reason: 'truncated', at: 45 });
  t.strictSame(openPacket(ring, new Uint8Array(28).fill(1), LABEL), { ok: false, reason: 'truncated', at: 29 });
  t.strictSame(openPacket(ring, new Uint8Array(45).fill(2), LABEL), { ok: false, reason: 'encryption_version', at: 0 });
  t.strictSame(openPacket(createKeyring([]), new Uint8Array(45), LABEL), { ok: false, reason: 'no_key', at: 0 });
  t.strictSame(openStream(ring, NONE, LABEL), { ok: false, reason: 'truncated', at: 5 });
  t.strictSame(openStream(ring, Uint8Array.of(9), LABEL), { ok: false, reason: 'type_unexpected', at: 0 });
  t.equal(streamFrameBytes(Uint8Array.of(10, 0, 0, 0)), undefined);
  const frame = sealStream(ring, PLAIN, LABEL, 1, 0);
  t.strictSame(openStream(ring, frame.subarray(0, -1), LABEL), { ok: false, reason: 'truncated', at: frame.length });
  t.match(openStream(ring, Buffer.concat([frame, frame]), LABEL), { ok: true }, 'what follows is ignored');
  const head = (size: number) => Uint8Array.from([10, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255]);
  t.match(openStream(ring, head(SEALED_STREAM_MAX_BYTES), LABEL), { reason: 'truncated' });
  t.match(openStream(ring, head(SEALED_STREAM_MAX_BYTES + 1), LABEL), { reason: 'sealed_limit' });
  t.equal(streamFrameBytes(head(0xffff_ffff)), 0x1_0000_0004);
});

t.test('a keyring takes keys of three lengths, a bounded number, and shows none', async (t) => {
  for (const size of [0, 15, 17, 31, 33]) {
    t.throws(() => createKeyring([new Uint8Array(size)]), new RangeError(`a key has 16, 24 or 32 bytes, not ${size}`));
  }
  t.throws(() => createKeyring(new Array(KEYRING_KEYS_MAX + 1).fill(KEYS[0])), RangeError);
  t.equal(createKeyring(new Array(KEYRING_KEYS_MAX).fill(KEYS[0])).size, KEYRING_KEYS_MAX);
  t.throws(() => sealPacket(ring, PLAIN, NONE, 1, 3), new RangeError('no key 3 in a keyring of 3'));
  t.throws(() => sealStream(ring, PLAIN, NONE, 1, -1), RangeError);
  const shown = [
    inspect(ring, { depth: null, showHidden: true }),
    JSON.stringify(ring),
    String(ring),
    JSON.stringify(Object.getOwnPropertyDescriptors(ring)),
    inspect(structuredClone(ring), { depth: null }),
  ].join('\n');
  for (const key of KEYS) {
    for (const form of ['latin1', 'hex', 'base64'] as const) {
      t.notOk(shown.includes(Buffer.from(key).toString(form)), `no key as ${form}`);
    }
    t.notOk(shown.includes([...key.subarray(0, 4)].join(',')), 'nor as numbers');
  }
  t.notMatch(shown, /KeyObject|secret/);
  const copied = Uint8Array.from(KEYS[0] as Uint8Array);
  const own = createKeyring([copied]);
  const sealed = sealPacket(own, PLAIN, NONE, 1, 0);
  copied.fill(0);
  t.ok(openPacket(own, sealed, NONE).ok, "a keyring does not follow its maker's memory");
  t.ok(Error.stackTraceLimit > 0, 'and exceptions elsewhere keep their stack');
});

t.test('any plaintext comes back, and no flipped byte opens', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        fc.uint8Array({ maxLength: 255 }),
        fc.constantFrom<0 | 1>(0, 1),
        fc.nat(2),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (plain, label, version, key, place, flip) => {
          const sealed = sealPacket(ring, plain, label, version, key);
          const frame = sealStream(ring, plain, label, version, key);
          const opened = [openPacket(ring, sealed, label), openStream(ring, frame, label)];
          if (!opened.every((one) => one.ok && Buffer.from(plain).equals(one.value.plain) && one.value.key === key)) {
            return false;
          }
          // memberlist's version byte is not part of what is authenticated: 0 flipped to 1 opens, padding and all.
          const tampered = [
            { bytes: sealed, versionAt: 0 },
            { bytes: frame, versionAt: SEALED_STREAM_HEADER_BYTES },
          ].map(({ bytes, versionAt }) => {
            const copy = Uint8Array.from(bytes);
            const at = place % copy.length;
            copy[at === versionAt ? at + 1 : at] = (copy[at === versionAt ? at + 1 : at] ?? 0) ^ flip;
            return copy;
          });
          return (
            !openPacket(ring, tampered[0] as Uint8Array, label).ok &&
            !openStream(ring, tampered[1] as Uint8Array, label).ok &&
            !openStream(ring, frame.subarray(0, place % frame.length), label).ok
          );
        },
      ),
      PROPERTY,
    ),
  );
});

t.test('opening is total on garbage', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 40 }), (bytes, label) => {
        looksEncrypted(bytes);
        const framed = Buffer.concat([Uint8Array.of(10, 0, 0, 0, bytes.length), bytes]);
        return (
          !openPacket(ring, bytes, label).ok &&
          !openStream(ring, bytes, label).ok &&
          !openStream(ring, framed, label).ok &&
          !openPacket(ring, Buffer.concat([Uint8Array.of(bytes.length & 1), bytes]), label).ok
        );
      }),
      PROPERTY,
    ),
  );
});

t.test('without a key, sealed packets are told from pings', async (t) => {
  const source = { SourceAddr: Uint8Array.of(10, 1, 0, 7), SourcePort: 7946, SourceNode: 'asks' };
  const ping = encodeMessage({ type: 'ping', SeqNo: 7, Node: 'a-member-of-some-length', ...source });
  const indirect = encodeMessage({
    ...{ type: 'indirectPing', SeqNo: 7, Target: Uint8Array.of(10, 1, 0, 8), Port: 7946, Node: 'judge', Nack: true },
    ...source,
  });
  t.notOk(looksEncrypted(ping));
  t.notOk(looksEncrypted(indirect));
  t.ok(looksEncrypted(ping.subarray(0, ping.length - 1)) || (ping.length - 1 - 29) % 16 !== 0, 'a broken ping counts');
  t.ok(looksEncrypted(indirect.subarray(0, -1)), 'a broken indirect ping counts as sealed');
  t.notOk(looksEncrypted(NONE));
  t.notOk(looksEncrypted(new Uint8Array(28).fill(1)), 'too short');
  t.notOk(looksEncrypted(new Uint8Array(29)), 'too short for version 0');
  t.notOk(looksEncrypted(new Uint8Array(46)), 'no whole block of padding');
  t.ok(looksEncrypted(new Uint8Array(45)));
  t.notOk(looksEncrypted(new Uint8Array(60).fill(4)), 'another message');
  // The nonce that comes closest to a ping: a map whose first keys nobody knows.
  const map = Uint8Array.from([1, 0x81, 0xa1, 0x41, 0x01, ...new Array(40).fill(9)]);
  t.ok(looksEncrypted(map), 'a map without any known field');
  let taken = 0;
  for (let i = 0; i < 20_000; i++) {
    const version = (i & 1) as 0 | 1;
    if (looksEncrypted(sealPacket(ring, ping, LABEL, version, i % 3))) taken++;
  }
  t.equal(taken, 20_000, 'every one of 20,000 sealed packets');
});
