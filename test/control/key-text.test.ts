import t from 'tap';
import { KEY_FILE_MAX_BYTES, parseKeyFile } from '../../src/control/key-text.ts';
import { KEYRING_KEYS_MAX } from '../../src/wire/limits.ts';

const key = (bytes: number, fill: number) => new Uint8Array(bytes).fill(fill);
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
const [A, B, C] = [key(16, 1), key(24, 2), key(32, 3)];

t.test('the forms in which others keep keys', async (t) => {
  const raw = Uint8Array.from(Buffer.from('00ff00112233445566778899aabbccdd', 'hex'));
  const cases: [string, string | Uint8Array, Uint8Array[]][] = [
    ['one base64 line, as keygen prints it', `${base64(C)}\n`, [C]],
    ['without an end of line, as a Secret holds it', base64(A), [A]],
    ['several, with comments and blanks', `# ours\n\n${base64(A)} # old\r\n  ${base64(B)}\n${base64(C)}\n`, [A, B, C]],
    ['with a byte order mark', `\ufeff${base64(A)}\n`, [A]],
    ['a keyring of serf, Consul and Nomad', JSON.stringify([base64(B), base64(A)]), [B, A]],
    ['the same, with spaces', ` [\n "${base64(B)}" ]\n`, [B]],
    ['raw bytes', raw, [raw]],
    // Go's decoder does not look at them either.
    ['stray bits at the end', `${base64(A).slice(0, 21)}R==`, [A]],
  ];
  for (const [name, content, keys] of cases) {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    t.strictSame(parseKeyFile(bytes), { ok: true, keys }, name);
  }
});

t.test('what is no key file is refused with a reason that holds nothing of it', async (t) => {
  const good = base64(A);
  const many = Array.from({ length: KEYRING_KEYS_MAX + 1 }, () => good);
  const cases: [string, string | Uint8Array, RegExp][] = [
    ['nothing', '', /^it holds no key$/],
    ['comments alone', '# x\n\n', /^it holds no key$/],
    ['an empty array', '[]', /^it holds no key$/],
    ['a passphrase', 'correct horse battery staple', /^line 1 is not base64$/],
    ['16 characters that are base64 of 12', '0123456789abcdef', /^line 1 has 12 bytes; a key has 16, 24 or 32$/],
    ['24 characters with a slip', `${good.slice(0, 10)}$${good.slice(11)}`, /^line 1 is not base64$/],
    ['base64 without padding', `\n${good.replace(/=+$/, '')}`, /^line 2 is not base64$/],
    ['base64 of a wrong length', `${good}\n${base64(key(17, 1))}`, /^line 2 has 17 bytes/],
    ['broken JSON', `["${good}"`, /^it starts as a JSON array and is none$/],
    ['an array of something else', `["${good}", 5]`, /^key 2 of the array is not base64$/],
    ['too many lines', many.join('\n'), /^it holds more than 32 keys$/],
    ['too many in an array', JSON.stringify(many), /^it holds more than 32 keys$/],
    ['raw bytes of a wrong length', key(17, 0), /^it is no text, and a raw key has 16, 24 or 32 bytes, not 17$/],
    ['too large', '#'.repeat(KEY_FILE_MAX_BYTES + 1), /^it has more than 65536 bytes$/],
  ];
  for (const [name, content, why] of cases) {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const parsed = parseKeyFile(bytes);
    t.match(parsed, { ok: false, why }, name);
    if (!parsed.ok && bytes.length > 8) t.notMatch(parsed.why, good.slice(0, 8), `${name}: no key text`);
  }
});

t.test('the largest file that is taken', async (t) => {
  const text = `${base64(A)}\n`.padEnd(KEY_FILE_MAX_BYTES, '#');
  t.strictSame(parseKeyFile(Buffer.from(text)), { ok: true, keys: [A] });
});
