/** The sub-commands that end by themselves, as users call them: output, errors, exit codes. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { freePort, ringfence } from './fence-process.ts';

const root = new URL('../..', import.meta.url).pathname;
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

t.test('version, help, usage', async (t) => {
  t.match(await ringfence(['version']), { code: 0, stdout: `ringfence ${version}\n`, stderr: '' });
  t.match(await ringfence(['--version']), { code: 0, stdout: `ringfence ${version}\n` });
  t.match(await ringfence(['--help']), { code: 0, stdout: /check-config <file>/ });
  const wrong: readonly [readonly string[], RegExp][] = [
    [[], /Usage: ringfence/],
    [['bogus'], /unknown command 'bogus'/],
    [['run'], /required option '-c, --config <file>' not specified/],
    [['run', '-c'], /argument missing/],
    [['run', '-c', 'f', 'g'], /too many arguments/],
    [['check-config'], /missing required argument 'file'/],
    [['status', '--bogus'], /unknown option '--bogus'/],
    [['stage', 'strict'], /^ringfence: no stage named strict; there are: observe, accept, label, enforce\n$/],
    [['status', '--admin', 'nonsense'], /^ringfence: --admin must be an http URL/],
    [['status', '--admin', 'file:///etc/passwd'], /^ringfence: --admin must be an http URL/],
    [['intercept', '-c', 'f', '--print', '--remove'], /^ringfence: --print and --remove exclude each other\n$/],
  ];
  const results = [];
  for (const [args, error] of wrong) results.push([args, error, await ringfence(args)] as const);
  for (const [args, error, result] of results) t.match(result, { code: 64, stderr: error }, args.join(' '));
});

t.test('configuration errors are 78, a line each', async (t) => {
  const dir = t.testdir({ 'bad.yaml': 'fences:\n  - name: a\n    cluster: b\n    color: red\n    transparent: {}\n' });
  const bad = join(dir, 'bad.yaml');
  for (const args of [
    ['check-config', bad],
    ['run', '-c', bad],
    ['intercept', '-c', bad],
  ]) {
    t.strictSame(
      await ringfence(args),
      { code: 78, stdout: '', stderr: `${bad}:4: fences[0].color: unknown key\n` },
      args.join(' '),
    );
  }
  t.match(await ringfence(['run', '-c', '/nowhere.yaml']), {
    code: 78,
    stderr: '/nowhere.yaml: cannot be read: no such file\n',
  });
  const listen = join(root, 'config/quickstart.yaml');
  t.match(await ringfence(['intercept', '-c', listen, '--print']), { code: 78, stderr: /none of them is transparent/ });
});

t.test('check-config says what it found', async (t) => {
  const file = join(t.testdir({}), 'f.yaml');
  writeFileSync(
    file,
    `fences: [{ name: a, cluster: "\${CLUSTER}", stage: accept, transparent: {}, limits: { inspectBytesPerSecond: 0 } }]\n`,
  );
  const { code, stdout, stderr } = await ringfence(['check-config', file], { CLUSTER: 'blue' });
  t.equal(code, 0);
  t.equal(
    stdout,
    `${file}: ok, 1 fence\n  a: cluster "blue", stage accept, transparent, port 7946, uid 7946, 0 admission rules\n`,
  );
  t.match(stderr.split('\n'), [/no frame is looked into.*\(warning\)$/, /NO ADMISSION RULES.*\(warning\)$/, '']);
});

t.test('schema prints config/schema.json', async (t) => {
  const { code, stdout } = await ringfence(['schema']);
  t.equal(code, 0);
  t.equal(stdout, readFileSync(join(root, 'config/schema.json'), 'utf8'));
});

t.test('intercept --print shows the rules of the sidecar example, without rights', async (t) => {
  const env = { RELEASE: 'tempo', NAMESPACE: 'traces', RINGFENCE_RING: 'gossip-ring.traces.svc.cluster.local.' };
  const args = ['intercept', '-c', join(root, 'config/sidecar.yaml'), '--print'];
  const closed = await ringfence(args, env);
  t.equal(closed.code, 0, closed.stderr);
  t.match(closed.stdout, /table inet ringfence/);
  const open = await ringfence([...args, '--fail-open'], env);
  t.not(open.stdout, closed.stdout, '--fail-open makes other rules');
});

t.test('an admin API that is not there, or is none', async (t) => {
  const port = await freePort();
  const gone = await ringfence(['status', '--admin', `http://127.0.0.1:${port}`]);
  t.match(gone, {
    code: 1,
    stderr: `ringfence: http://127.0.0.1:${port}/api/v1/status: connection refused: is the fence running?\n`,
  });
  const answers: Record<string, (size: number) => string> = {
    html: () => '<html>',
    shape: () => '{"fences":[{"name":"a"}]}',
    null: () => 'null',
    huge: (size) => 'x'.repeat(size),
    escape: () => '{"error":"\\u001b[31mred\\nline"}',
  };
  let kind = 'html';
  const server = createServer((_request, response) => {
    response.statusCode = kind === 'escape' ? 418 : 200;
    response.end(answers[kind]?.(5 * 1024 * 1024));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const expected: readonly [string, RegExp][] = [
    ['html', /: the answer is not JSON: is this the admin API of a fence\?\n$/],
    ['shape', /^ringfence: the answer is not the status of a fence\n$/],
    ['null', /^ringfence: the answer is not the status of a fence\n$/],
    ['huge', /: the answer is longer than 4194304 bytes\n$/],
    ['escape', /: \?\[31mred line\n$/],
  ];
  for (const [name, error] of expected) {
    kind = name;
    t.match(
      await ringfence(['status', '--admin', `http://127.0.0.1:${port}`]),
      { code: 1, stdout: '', stderr: error },
      name,
    );
  }
});
