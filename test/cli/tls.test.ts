/** Certificate files at the start of `ringfence run`: what cannot be used ends it, by name and without a word of the key. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createAuthority } from '../lab/certificates.ts';
import { start } from './fence-process.ts';

const dir = mkdtempSync(join(tmpdir(), 'ringfence-tls-cli-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));

t.test('certificate files that cannot be used: exit code 78, naming the file', async (t) => {
  const authority = createAuthority(dir, 'ca');
  const one = authority.issue('one', ['127.0.0.1']);
  const other = authority.issue('other', ['127.0.0.1']);
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [join(dir, 'gone.crt'), one.keyFile, /tls: .*gone\.crt: no such file$/m],
    [one.certFile, other.keyFile, /tls: .*other\.key: it is not the key of the certificate in .*one\.crt$/m],
  ];
  for (const [certFile, keyFile, message] of cases) {
    const fence = {
      name: 'a',
      cluster: 'b',
      listen: '127.0.0.1:1',
      app: { address: '127.0.0.1:2', transport: 'dskit-tls' },
      tls: { certFile, keyFile, caFile: authority.certFile },
    };
    const file = join(dir, 'ringfence.yaml');
    writeFileSync(file, JSON.stringify({ admin: { address: '127.0.0.1:0' }, fences: [fence] }));
    const { code, stdout, stderr } = await start(['run', '-c', file]).finished;
    t.equal(code, 78);
    t.match(stderr, message);
    t.notMatch(stdout + stderr, /PRIVATE KEY/);
  }
});
