/** `ringfence inspect` as users call it: files, pipes, FIFOs, signals, exit codes. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, createWriteStream, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Report } from '../../src/cli/inspect-report.ts';
import { createKeyring, sealPacket } from '../../src/wire/encryption.ts';
import { DIST, eventually, ringfence, start } from './fence-process.ts';
import { alive, capture, datagram, labelled } from './inspect-kit.ts';

const [A, B] = ['10.0.0.1', '10.0.0.2'];
const MERGE = capture(
  datagram(A, B, labelled('blue', alive('x', A))),
  datagram(B, A, labelled('green', alive('x', A))),
);
const FINDING = /^! x at 10\.0\.0\.1:7946 is gossiped alive with label "blue" and label "green"/m;

t.test('tables for people', async (t) => {
  const file = join(t.testdir({}), 'a.pcap');
  writeFileSync(file, MERGE);
  const { code, stdout, stderr } = await ringfence(['inspect', file, '--frames']);
  t.strictSame([code, stderr], [0, '']);
  const lines = stdout.split('\n');
  t.equal(
    lines[0],
    '#1 14:00:00.000 udp native 10.0.0.1:7946 > 10.0.0.2:7946 [blue] alive x 10.0.0.1:7946 incarnation 1',
  );
  t.equal(
    lines[2],
    `${file}: pcap, 2 frames, 310 bytes, 2026-11-22 14:00:00.000 to 2026-11-22 14:00:00.001`.replace(
      '310',
      String(MERGE.length - 24 - 32),
    ),
  );
  for (const title of ['Labels (2)', 'Flows (2)', 'Members (2)', 'Findings (3)']) t.ok(lines.includes(title), title);
  t.notOk(lines.includes('Keys (0)'), 'no empty tables');
  t.match(stdout, new RegExp(FINDING.source.replace('^', '^ {2}'), 'm'));
  t.match(stdout, /^ {6}frame 1, 2026-11-22 14:00:00\.000: alive from 10\.0\.0\.1:7946 with label "blue"$/m);
});

t.test('one JSON document, from standard input', async (t) => {
  const { stdout, status } = spawnSync(
    process.execPath,
    [DIST, 'inspect', '-', '--json', '--frames', '--label', 'blue'],
    { input: MERGE, timeout: 20_000 },
  );
  t.equal(status, 0);
  const report = JSON.parse(stdout.toString()) as Report & { frames: readonly unknown[]; framesLeftOut: number };
  t.strictSame(Object.keys(report), [
    'version',
    'capture',
    'labels',
    'flows',
    'members',
    'keys',
    'instances',
    'findings',
    'problems',
    'frames',
    'framesLeftOut',
  ]);
  t.match(report, {
    version: 1,
    labels: [{ label: 'blue' }],
    members: [{ name: 'x', label: 'blue' }],
    framesLeftOut: 0,
  });
  t.strictSame([report.members.length, report.frames.length], [1, 1], 'only that label');
});

t.test('what cannot be read ends with 1, what was read is shown', async (t) => {
  const dir = t.testdir({ 'empty.pcap': '', 'image.png': '\x89PNG\r\n', 'note.txt': '00\nhello\n' });
  const broken = join(dir, 'broken.pcap');
  writeFileSync(broken, Buffer.concat([MERGE, Buffer.alloc(16, 255)]));
  const cases: readonly [string, RegExp][] = [
    [join(dir, 'nothing'), /^ringfence: .*nothing: no such file\n$/],
    [dir, /: it is a directory\n$/],
    [join(dir, 'empty.pcap'), /empty\.pcap: there is nothing in it\n$/],
    [join(dir, 'image.png'), /image\.png at byte 0: neither pcap, pcapng nor hex text\n$/],
    [join(dir, 'note.txt'), /note\.txt at byte 3: a line that is no hex text\n$/],
    [broken, new RegExp(`broken\\.pcap at byte ${MERGE.length}: a pcap record claims more bytes`)],
  ];
  for (const [file, why] of cases) {
    const { code, stdout, stderr } = await ringfence(['inspect', file]);
    t.equal(code, 1, file);
    t.match(stderr, why);
    t.equal(stdout.includes('Flows'), /note|broken/.test(file), 'what was read is shown');
  }
});

t.test('usage', async (t) => {
  const wrong: readonly [readonly string[], RegExp][] = [
    [['inspect'], /missing required argument 'file'/],
    [['inspect', 'a', 'b'], /too many arguments/],
    [['inspect', 'a', '--port', 'gossip'], /^ringfence: --port: no port: gossip\n$/],
    [['inspect', 'a', '--nope'], /unknown option/],
  ];
  for (const [args, why] of wrong) t.match(await ringfence(args), { code: 64, stderr: why }, args.join(' '));
});

t.test('keys', async (t) => {
  const key = Buffer.alloc(32, 7);
  const file = join(t.testdir({ good: `${key.toString('base64')}\n`, bad: 'secret words\n' }), 'a.pcap');
  const packet = labelled('blue', sealPacket(createKeyring([key]), alive('x', A), Buffer.from('blue'), 1, 0));
  writeFileSync(file, capture(datagram(A, B, packet)));
  const [good, bad] = ['good', 'bad'].map((name) => join(file, '..', name)) as [string, string];
  t.match(await ringfence(['inspect', file]), { code: 0, stdout: /1 frames are encrypted and no key opens them/ });
  t.match(await ringfence(['inspect', file, '--key-file', good]), {
    code: 0,
    stdout: /^ {2}x +10\.0\.0\.1 +7946 +alive/m,
  });
  const refused = await ringfence(['inspect', file, '--key-file', bad]);
  t.match(refused, { code: 1, stdout: '', stderr: /^ringfence: .*bad: / });
  t.notMatch(refused.stderr, /secret/, 'nothing of the file is shown');
});

t.test('a FIFO: findings come as they are proven, and the end of the writer ends it', async (t) => {
  const fifo = join(t.testdir({}), 'fifo');
  t.equal(spawnSync('mkfifo', [fifo]).status, 0);
  const reading = start(['inspect', fifo, '--follow']);
  const writer = createWriteStream(fifo);
  writer.write(MERGE);
  await eventually('the finding', async () => FINDING.test(reading.output()));
  t.notMatch(reading.output(), /Findings/, 'the summary comes last');
  writer.end();
  const { code, stdout } = await reading.finished;
  t.equal(code, 0);
  t.match(stdout, /Findings \(3\)/);
});

t.test('SIGINT ends with the summary: a pipe, a FIFO without a writer, a file that grows', async (t) => {
  const dir = t.testdir({});
  const [fifo, file] = [join(dir, 'fifo'), join(dir, 'a.pcap')];
  t.equal(spawnSync('mkfifo', [fifo]).status, 0);
  writeFileSync(file, MERGE.subarray(0, -4));
  const growing = start(['inspect', file, '--follow', '--json']);
  await new Promise((resolve) => setTimeout(resolve, 400));
  appendFileSync(file, MERGE.subarray(-4));
  await eventually('the finding', async () => growing.output().includes('"type":"finding"'));
  growing.child.kill('SIGINT');
  const { code, stdout } = await growing.finished;
  t.equal(code, 0);
  const types = stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { type: string }).type);
  t.strictSame(types, ['finding', 'finding', 'finding', 'report']);

  const piped = spawn(process.execPath, [DIST, 'inspect', '-', '--follow'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  piped.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  piped.stdin.write(MERGE);
  await eventually('the finding', async () => FINDING.test(output));
  piped.kill('SIGINT');
  t.strictSame((await once(piped, 'close'))[0], 0);
  t.match(output, /Findings \(3\)/);

  const waiting = start(['inspect', fifo, '--follow']);
  await eventually('it waits for a writer', async () => waitsForWriter(waiting.child.pid));
  waiting.child.kill('SIGTERM');
  t.match(await waiting.finished, { code: 1, stderr: /there is nothing in it/ }, 'nothing was read');
});

/** Whether one of its threads waits for a writer: by then it listens to signals. */
function waitsForWriter(pid: number | undefined): boolean {
  const tasks = readdirSync(`/proc/${pid}/task`);
  return tasks.some((task) => readFileSync(`/proc/${pid}/task/${task}/wchan`, 'utf8') === 'wait_for_partner');
}

t.test('a reader that goes away ends it', async (t) => {
  const file = join(t.testdir({}), 'a.pcap');
  writeFileSync(file, capture(Array.from({ length: 5_000 }, () => datagram(A, B, labelled('blue', alive('x', A))))));
  const { status, stdout } = spawnSync(
    'sh',
    ['-c', `'${process.execPath}' '${DIST}' inspect '${file}' -v | head -n 1`],
    { timeout: 20_000 },
  );
  t.equal(status, 0);
  t.match(stdout.toString(), /^#1 /);
});
