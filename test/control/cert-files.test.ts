import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CertFileError, type CertFiles, openCertFiles } from '../../src/control/cert-files.ts';
import { createAuthority } from '../lab/certificates.ts';

const dir = mkdtempSync(join(tmpdir(), 'ringfence-certs-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));
const authority = createAuthority(dir, 'ca');
const first = authority.issue('first', ['first.test']);
const second = authority.issue('second', ['second.test']);
const DAY_MS = 24 * 3_600_000;

interface Opened {
  readonly files: CertFiles;
  /** What the files hold; an Error is what reading one says. */
  readonly held: Map<string, string | Error>;
  readonly said: string[];
  clock(nowMs: number): void;
}

async function open(t: Test, content: Readonly<Record<string, string | Error>> = {}, caFile = 'ca'): Promise<Opened> {
  const held = new Map<string, string | Error>(
    Object.entries({ cert: first.cert, key: first.key, ca: authority.cert, ...content }),
  );
  const said: string[] = [];
  let nowMs = Date.now();
  const files = await openCertFiles({
    certFile: 'cert',
    keyFile: 'key',
    caFile,
    async read(file) {
      const found = held.get(file);
      if (found instanceof Error) throw found;
      return Buffer.from(found ?? '');
    },
    now: () => nowMs,
    onChange: (notAfterMs) => said.push(`new until ${new Date(notAfterMs).toISOString().slice(0, 4)}`),
    onProblem: (why) => said.push(why ?? 'right again'),
  });
  t.teardown(() => files.stop());
  return {
    files,
    held,
    said,
    clock: (ms) => {
      nowMs = ms;
    },
  };
}

const year = new Date(Date.now() + 2 * DAY_MS).toISOString().slice(0, 4);

t.test('a rotation is taken up once two looks agree, and the last good files stay', async (t) => {
  const { files, held, said } = await open(t);
  const before = files.context();
  await files.check();
  t.equal(files.context(), before, 'nothing changed');
  held.set('cert', second.cert);
  await files.check();
  await files.check();
  t.strictSame(said, ['the last good certificate stays in use: key: it is not the key of the certificate in cert']);
  t.equal(files.problem(), said[0]);
  t.equal(files.context(), before);
  held.set('key', second.key);
  await files.check();
  t.equal(files.context(), before, 'one look may fall between two writes');
  await Promise.all([files.check(), files.check()]);
  t.not(files.context(), before);
  t.strictSame(said.slice(1), [`new until ${year}`, 'right again']);
  t.equal(files.problem(), undefined);
  held.set('ca', new Error('no such file'));
  await files.check();
  await files.check();
  await files.check();
  t.strictSame(said.slice(3), ['the last good certificate stays in use: ca: no such file'], 'said once');
  t.notMatch(said.join(), /PRIVATE|BEGIN/);
});

const broken: Readonly<Record<string, readonly [Readonly<Record<string, string | Error>>, string]>> = {
  'no file': [{ cert: new Error('no such file') }, 'cert: no such file'],
  'no certificate': [{ cert: 'hello' }, 'cert: it holds no PEM certificate'],
  'no key': [{ key: first.cert }, 'key: it holds no PEM private key, or one that asks for a passphrase'],
  "another's key": [{ key: second.key }, 'key: it is not the key of the certificate in cert'],
  'no CA': [{ ca: '' }, 'ca: it holds no PEM certificate'],
  'half a chain': [
    { cert: `${first.cert}-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n` },
    'cert: it cannot be used for TLS with key and ca',
  ],
};
for (const [what, [content, message]] of Object.entries(broken)) {
  t.test(`${what}: a start is refused, naming the file`, async (t) => {
    await t.rejects(open(t, content), new CertFileError(message));
  });
}

t.test('without a CA, and a certificate that ages', async (t) => {
  const { files, said, clock } = await open(t, { ca: 'not read' }, '');
  t.ok(files.context());
  t.ok(files.notAfterMs() > Date.now() + DAY_MS);
  clock(files.notAfterMs() - DAY_MS / 2);
  await files.check();
  clock(files.notAfterMs() + 1);
  await files.check();
  clock(0);
  await files.check();
  t.match(said, [
    /^cert: the certificate expires soon/,
    /^cert: the certificate has expired/,
    /^cert: the certificate is not valid yet/,
  ]);
});

t.test('looks by itself, and follows a symlink that is swapped', async (t) => {
  const link = join(dir, 'current');
  symlinkSync(first.certFile, `${link}.crt`);
  symlinkSync(first.keyFile, `${link}.key`);
  const changed = new Promise<number>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('not within 10 s')), 10_000);
    void openCertFiles({
      certFile: `${link}.crt`,
      keyFile: `${link}.key`,
      caFile: authority.certFile,
      read: (file) => readFile(file),
      now: Date.now,
      onChange(notAfterMs) {
        clearTimeout(late);
        resolve(notAfterMs);
      },
      onProblem: () => {},
    }).then((files) => {
      t.teardown(() => files.stop());
      files.start();
      files.start();
      for (const kind of ['crt', 'key'] as const) {
        symlinkSync(kind === 'crt' ? second.certFile : second.keyFile, `${link}.${kind}.new`);
        renameSync(`${link}.${kind}.new`, `${link}.${kind}`);
      }
    }, reject);
  });
  t.ok((await changed) > Date.now());
  t.equal(readFileSync(`${link}.crt`, 'utf8'), second.cert);
});
