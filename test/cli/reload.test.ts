/** The configuration file of a running fence: signals, symlinks, editors, mistakes, and stages that wait. */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { overEngines } from '../lab/engines.ts';
import {
  adoption,
  ask,
  get,
  linesOf,
  metric,
  OWN,
  PING,
  type Place,
  place,
  pushPull,
  run,
  said,
} from './adoption-kit.ts';
import { echoApp, eventually, freePort } from './fence-process.ts';

const IN_FORCE = /^the configuration was read again and is in force$/;
const successful = (where: Place) => metric(where, 'config_last_reload_successful');

overEngines(
  t,
  'SIGHUP takes the file at once; what is wrong with it leaves everything as it was',
  async (t, engine) => {
    const where = await place(t, engine);
    where.write({ stage: 'accept' });
    const app = await echoApp(where.appPort);
    t.teardown(() => app.close());
    const fence = await run(t, where);
    await said(fence, /^admin API on/);
    t.strictSame(await ask(where, PING), PING);

    where.write({ stage: 'accept', admit: { cidrs: ['10.0.0.0/8'] } });
    fence.child.kill('SIGHUP');
    const [told, taken] = [await said(fence, /^SIGHUP: the configuration is read again$/), await said(fence, IN_FORCE)];
    const tookMs = Date.parse(taken.time) - Date.parse(told.time);
    t.ok(tookMs >= 0 && tookMs < 1_500, `by the signal and not by the watch, after ${tookMs} ms`);
    t.equal(await ask(where, PING), undefined, 'the address is not admitted any more');
    const before = app.seen.length;
    await ask(where, Buffer.concat([OWN, PING]));
    t.equal(app.seen.length, before + 1, 'an own frame passes');

    const wrong: readonly [string, RegExp][] = [
      ['{', /rejected, the old one stays: .*fence\.yaml:1: /],
      [where.text({ stage: 'strict' }), /stage: must be one of observe, accept, label, enforce, auto/],
      [where.text({ stage: 'label' }), /label cannot be: a listen fence/],
      [where.text({ stage: 'accept', cluster: 'green' }), /only a restart can change fences\.traces\.cluster/],
      ['', /the file holds no configuration/],
    ];
    for (const [text, why] of wrong) {
      writeFileSync(where.file, text);
      fence.child.kill('SIGHUP');
      await said(fence, why);
      t.equal(await successful(where), 0);
      t.match(await get(where, '/api/v1/status'), {
        fences: [{ stage: 'accept', notes: /the new configuration is rejected/ }],
      });
    }
    t.equal(await ask(where, PING), undefined, 'the old rules are in force');
    rmSync(where.file);
    fence.child.kill('SIGHUP');
    await said(fence, /cannot be read: no such file/);
    where.write({ stage: 'accept', shield: false });
    fence.child.kill('SIGHUP');
    await eventually('it is right again', async () => (await successful(where)) === 1);
    t.strictSame(await ask(where, PING), PING);
    t.ok(fence.child.exitCode === null);
  },
);

overEngines(t, 'a ConfigMap: the directory behind a symlink is swapped', async (t, engine) => {
  const where = await place(t, engine);
  const at = (name: string, text: string) => {
    mkdirSync(join(where.dir, name));
    writeFileSync(join(where.dir, name, 'fence.yaml'), text);
  };
  at('..1', where.text({ stage: 'accept' }));
  symlinkSync('..1', join(where.dir, '..data'));
  symlinkSync('..data/fence.yaml', where.file);
  const fence = await run(t, where);
  at('..2', where.text({ stage: 'observe' }, { log: { level: 'warn' } }));
  symlinkSync('..2', join(where.dir, '..data_tmp'));
  renameSync(join(where.dir, '..data_tmp'), join(where.dir, '..data'));
  rmSync(join(where.dir, '..1'), { recursive: true });
  await said(fence, /^stage changed from accept down to observe by the configuration/);
  t.match(await adoption(where), { stage: 'observe', origin: 'config' });
  t.equal(await metric(where, 'stage_changes_total{fence="traces",to="observe",origin="config"}'), 1);
  t.equal(await successful(where), 1);
  t.notOk(
    linesOf(fence).some(({ msg }) => IN_FORCE.test(msg)),
    'the level of the log changed with it',
  );
});

overEngines(
  t,
  'a stage that is not known to be safe waits, with all that comes with it, and is taken once it is',
  async (t, engine) => {
    const where = await place(t, engine);
    where.write({ stage: 'observe' });
    const app = await echoApp(where.appPort);
    t.teardown(() => app.close());
    const fence = await run(t, where);
    // As editors do it: a new file in the old one's place.
    writeFileSync(`${where.file}~`, where.text({ stage: 'accept', shield: false }));
    renameSync(`${where.file}~`, where.file);
    await said(
      fence,
      /^the new configuration is not in force yet: traces: accept is not known to be safe: no full member table/,
    );
    t.equal(await metric(where, 'ready_to_advance{fence="traces",to="accept"}'), 0);
    t.equal(await successful(where), 0);
    t.match(await get(where, '/api/v1/status'), {
      fences: [{ stage: 'observe', notes: /the new configuration waits/ }],
    });
    t.ok((await pushPull(where)).length > 0, 'a member table passes');
    await said(fence, /^stage changed from observe up to accept by the configuration; readiness: safe/);
    await eventually('and says so', async () => (await successful(where)) === 1);
    t.match(await adoption(where), { stage: 'accept', origin: 'config' });

    where.write({ stage: 'auto' });
    await said(fence, IN_FORCE, 2);
    t.match(await adoption(where), { stage: 'accept', auto: true }, 'auto goes on from where it is');
  },
);

overEngines(t, 'of a file for two fences nothing is in force while the stage of one waits', async (t, engine) => {
  const where = await place(t, engine);
  const [ports, appPorts] = [
    [where.port, await freePort()],
    [where.appPort, await freePort()],
  ];
  const both = (first: object, second: object) => ({
    fences: [first, second].map((change, i) => ({
      ...{ name: `f${i}`, cluster: 'blue', listen: `127.0.0.1:${ports[i]}`, admit: { cidrs: ['127.0.0.0/8'] } },
      app: { address: `127.0.0.1:${appPorts[i]}` },
      ...change,
    })),
  });
  where.write({}, both({ stage: 'accept' }, { stage: 'observe' }));
  const fence = await run(t, where);
  where.write({}, both({ stage: 'observe' }, { stage: 'accept' }));
  await said(fence, /^the new configuration is not in force yet: f1: accept is not known to be safe/);
  const brief = () => get(where, '/api/v1/adoption?brief=true');
  t.match(await brief(), { fences: [{ stage: 'accept' }, { stage: 'observe' }] }, 'neither has moved');
  where.write({}, both({ stage: 'observe' }, { stage: 'observe' }));
  await said(fence, IN_FORCE);
  t.match(await brief(), { fences: [{ stage: 'observe' }, { stage: 'observe' }] });
});
