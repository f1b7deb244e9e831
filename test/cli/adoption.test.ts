/** Where a fence starts, and what it keeps over restarts, as processes. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { overEngines } from '../lab/engines.ts';
import { adoption, ask, get, metric, OWN, PING, place, pushPull, run, said } from './adoption-kit.ts';
import { echoApp, eventually, freePort, ringfence } from './fence-process.ts';

const NATIVE = { sends: 'own', takes: 'own' };
const AT_ONCE = { limits: { strangerWait: '0s' } };

t.test('the state file: kept at every change, taken at the next start, not for another label', async (t) => {
  const where = await place(t, 'linux');
  const stateFile = join(where.dir, 'state', 'stages.json');
  mkdirSync(join(where.dir, 'state'));
  where.write(AT_ONCE, { stateFile });
  const first = await run(t, where);
  await said(first, /^stage observe from nowhere else, the lowest$/);
  t.match(await ringfence(['stage', 'accept', '--force', '--admin', where.admin]), { code: 0 });
  t.match(JSON.parse(readFileSync(stateFile, 'utf8')), { fences: { traces: { stage: 'accept', label: '626c7565' } } });
  first.child.kill('SIGKILL');
  await first.finished;

  const second = await run(t, where);
  await said(second, /^stage accept from the state file$/);
  t.match(await adoption(where), { stage: 'accept', origin: 'state_file' });
  second.child.kill('SIGKILL');
  await second.finished;

  where.write({ ...AT_ONCE, cluster: 'green' }, { stateFile });
  const other = await run(t, where);
  await said(other, /^stage observe from nowhere else/);
  other.child.kill('SIGKILL');
  await other.finished;

  where.write({ stage: 'observe' }, { stateFile });
  await said(await run(t, where), /^stage observe from the configuration$/);
});

t.test('a state file that is corrupt, or that cannot be written', async (t) => {
  const where = await place(t, 'linux');
  const stateFile = join(where.dir, 'stages.json');
  writeFileSync(stateFile, '{"version":1,"fences":{"traces":{"stage":"enf');
  where.write(AT_ONCE, { stateFile });
  const corrupt = await run(t, where);
  await said(corrupt, /^the state file: .*stages\.json: it is not JSON: no stage is taken from it$/);
  await said(corrupt, /^stage observe from nowhere else/);
  await eventually('it is replaced', async () => JSON.parse(readFileSync(stateFile, 'utf8')) as unknown);
  corrupt.child.kill('SIGKILL');
  await corrupt.finished;

  mkdirSync(join(where.dir, 'directory'));
  where.write(AT_ONCE, { stateFile: join(where.dir, 'directory') });
  const unwritable = await run(t, where);
  await said(unwritable, /the stage is not kept over a restart$/);
  t.match(
    await ringfence(['stage', 'accept', '--force', '--admin', where.admin]),
    { code: 0 },
    'it goes on all the same',
  );
  t.match(await get(where, '/api/v1/status'), {
    fences: [{ stage: 'accept', notes: /it is a directory: the stage is not kept/ }],
  });
});

t.test('a stage that does not exist', async (t) => {
  const where = await place(t, 'linux');
  where.write({ stage: 'strict' });
  t.match(await ringfence(['run', '-c', where.file]), { code: 78, stderr: /stage: must be one of observe, accept/ });
  where.write({ stage: 'observe' });
  await run(t, where);
  t.match(await ringfence(['stage', 'strict', '--admin', where.admin]), { code: 64, stderr: /no stage named strict/ });
  for (const stage of ['strict', 'auto', '__proto__', '']) {
    const answer = await fetch(`${where.admin}/api/v1/stage`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ stage }),
    });
    t.equal(answer.status, 400, JSON.stringify(stage));
  }
  t.match(await adoption(where), { stage: 'observe' });
});

overEngines(
  t,
  'auto starts where the fences of the first peers are, and its first frames wait for that',
  async (t, engine) => {
    const adminPort = await freePort();
    const native = { wire: 'own', admit: { cidrs: ['127.0.9.0/24'] } };
    for (const address of ['127.0.9.2', '127.0.9.3']) {
      const peer = await place(t, engine, address, adminPort);
      peer.write({ ...native, app: { ...NATIVE, address: `127.0.0.1:${peer.appPort}` }, stage: 'enforce' });
      await run(t, peer);
    }
    const where = await place(t, engine, '127.0.9.1', adminPort);
    // A loaded machine must not make this a start without an answer.
    const limits = { strangerWait: '20s' };
    where.write({ ...native, limits, app: { ...NATIVE, address: `127.0.0.1:${where.appPort}` }, stage: 'auto' });
    const app = await echoApp(where.appPort);
    t.teardown(() => app.close());
    const fence = await run(t, where);
    await said(fence, /^stage not known yet/);
    t.match(await adoption(where), { stage: 'observe', starting: true });
    t.match(await ringfence(['stage', 'accept', '--admin', where.admin]), {
      code: 1,
      stderr: /the stage is not known yet/,
    });

    const unlabelled = ask(where, PING, '127.0.9.3', 3_000);
    const labelled = await pushPull(where, '127.0.9.2');
    t.ok(labelled.length > 0, 'a labelled frame passed');
    t.match(await adoption(where), { stage: 'enforce', origin: 'peers', starting: false });
    await said(fence, /^stage enforce: the fences of the first peers are 1 at enforce$/);
    t.equal(
      await unlabelled,
      undefined,
      'an unlabelled one that was there before was judged by the stage that was found',
    );
    const missing =
      'rejected_total{fence="traces",direction="inbound",transport="native",kind="packet",reason="label_missing"}';
    t.equal(await metric(where, missing), 1);
    t.equal(app.seen.filter((hex) => hex === PING.toString('hex')).length, 0);
    t.equal(await metric(where, 'stage_changes_total{fence="traces",to="enforce",origin="peers"}'), 1);
  },
);

overEngines(t, 'nobody to ask: the frames go on at the lowest stage after the wait', async (t, engine) => {
  const where = await place(t, engine);
  where.write({ limits: { strangerWait: '1s' } });
  const app = await echoApp(where.appPort);
  t.teardown(() => app.close());
  const fence = await run(t, where);
  const atMs = Date.now();
  t.strictSame(await ask(where, Buffer.concat([OWN, PING]), '127.0.0.9', 5_000), Buffer.concat([OWN, PING]));
  const tookMs = Date.now() - atMs;
  t.ok(tookMs > 600, `it waited ${tookMs} ms`);
  await said(fence, /^stage observe: no peer was there to ask$/);
  t.match(await adoption(where), { stage: 'observe', origin: 'default', starting: false });
});

overEngines(t, 'nobody is kept out, and a neighbour that falls back: both are in the log', async (t, engine) => {
  const where = await place(t, engine);
  where.write({ stage: 'observe', admit: {} });
  const app = await echoApp(where.appPort);
  t.teardown(() => app.close());
  const fence = await run(t, where);
  t.match(await ringfence(['stage', 'accept', '--force', '--admin', where.admin]), { code: 0 });
  await said(fence, /^stage changed from observe up to accept by 127\.0\.0\.1, forced; readiness: /);
  await said(fence, /^NO ADMISSION RULES at stage accept: everyone is admitted$/);
  t.ok((await pushPull(where)).length > 0, 'a neighbour that labels');
  t.ok((await pushPull(where, '127.0.0.1', Buffer.alloc(0))).length > 0, 'and does not any more');
  await said(fence, /^FALL-BACK: (?:\S+ )?127\.0\.0\.1 sent the label and now sends frames without it$/);
});

overEngines(t, 'an app that seals its gossip, and no keys: label is not known to be safe', async (t, engine) => {
  const where = await place(t, engine);
  where.write({ stage: 'accept', wire: 'own', app: { ...NATIVE, address: `127.0.0.1:${where.appPort}` } });
  const app = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(Buffer.concat([Buffer.of(10, 0, 0, 0, 40), Buffer.alloc(40)]));
    socket.resume();
  });
  await new Promise<void>((resolve) => app.listen(where.appPort, '127.0.0.1', resolve));
  t.teardown(() => app.close());
  await run(t, where);
  const codes = async () => {
    const { fences } = (await get(where, '/api/v1/adoption')) as {
      fences: [{ steps: readonly { to: string; against: readonly { code: string }[] }[] }];
    };
    const step = fences[0].steps.find(({ to }) => to === 'label');
    return step?.against.map(({ code }) => code) ?? [];
  };
  t.strictSame(await codes(), ['members_unknown']);
  t.equal((await pushPull(where)).length, 45);
  await eventually('the app seals, and there are no keys', async () => (await codes()).includes('sealed_without_keys'));
});
