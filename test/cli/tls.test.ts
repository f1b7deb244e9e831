/** Certificate files at the start of `ringfence run`: what cannot be used ends it, by name and without a word of the key. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createAuthority } from '../lab/certificates.ts';
import { overEngines, withEngine } from '../lab/engines.ts';
import { eventually, freePort, start } from './fence-process.ts';

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

overEngines(
  t,
  'a certificate file that breaks is seen in the status and the metrics, and the fence stays',
  async (t, engine) => {
    const authority = createAuthority(dir, `second-${engine}`);
    const { certFile, keyFile } = authority.issue('breaks', ['127.0.0.1']);
    const [listen, app, admin] = [await freePort(), await freePort(), await freePort()];
    const fence = {
      name: 'a',
      cluster: 'b',
      listen: `127.0.0.1:${listen}`,
      app: { address: `127.0.0.1:${app}`, transport: 'dskit-tls' },
      tls: { certFile, keyFile, caFile: authority.certFile },
    };
    const file = join(dir, 'breaks.yaml');
    const config = withEngine({ admin: { address: `127.0.0.1:${admin}` }, fences: [fence] }, engine);
    writeFileSync(file, JSON.stringify(config));
    const { child, finished } = start(['run', '-c', file]);
    t.teardown(() => child.kill('SIGKILL'));
    const get = async (path: string) => (await fetch(`http://127.0.0.1:${admin}${path}`)).text();
    t.match(await eventually('metrics', () => get('/metrics')), /^ringfence_tls_problem\{fence="a"\} 0$/m);
    t.match(await get('/metrics'), /^ringfence_tls_certificate_not_after_seconds\{fence="a"\} 1\d{9}$/m);
    writeFileSync(certFile, 'broken');
    const broken = async () => /tls_problem\{fence="a"\} 1$/m.test(await get('/metrics'));
    t.ok(await eventually('the problem', broken));
    t.match(await get('/api/v1/status'), /TLS: the last good certificate stays in use: .*breaks\.crt: it holds no PEM/);
    child.kill('SIGKILL');
    await finished;
  },
);
