/** The wall clock jumps an hour on and two back under a running fence (libfaketime; the monotonic clock is left alone). */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { overEngines } from '../lab/engines.ts';
import { requireTools } from '../lab/tools.ts';
import { adoption, ask, get, linesOf, metric, PING, place, pushPull, run, said } from './adoption-kit.ts';
import { echoApp, eventually } from './fence-process.ts';

const HOUR_MS = 3_600_000;

/** Where the `faketime` command finds its library. */
function faketimeLibrary(): string {
  const preload = execFileSync('faketime', ['-f', '+0', 'printenv', 'LD_PRELOAD'], { encoding: 'utf8' }).trim();
  // The variant for programs with threads lies beside it.
  return (
    preload
      .split(':')
      .at(-1)
      ?.replace(/libfaketime\.so\.1$/, 'libfaketimeMT.so.1') ?? ''
  );
}

overEngines(
  t,
  'a wall clock that jumps moves no stage, forgets no peer, and stops no log',
  async (t, engine) => {
    const where = await place(t, engine);
    const offset = join(where.dir, 'offset');
    writeFileSync(offset, '+0\n');
    // Settling takes half an hour: less than the jump, and more than this test.
    where.write({ stage: 'auto', memory: { window: '10m' }, limits: { settle: '30m', strangerWait: '0s' } });
    const app = await echoApp(where.appPort);
    t.teardown(() => app.close());
    const fence = await run(t, where, {
      LD_PRELOAD: faketimeLibrary(),
      FAKETIME_TIMESTAMP_FILE: offset,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    });
    await pushPull(where);
    await eventually('auto settles', async () =>
      /^accept: safe; taken once/.test((await adoption(where)).waitsFor ?? ''),
    );
    t.equal(await metric(where, 'ready_to_advance{fence="traces",to="accept"}'), 1);
    const known = async () => {
      const { fences } = (await get(where, '/api/v1/peers')) as {
        fences: [{ peers: { address: string; proven: boolean }[] }];
      };
      return fences[0].peers.some(({ address, proven }) => address === '127.0.0.1' && proven);
    };
    t.ok(await known(), 'the peer is proven');
    const { since } = (await adoption(where)) as unknown as { since: string };

    let reloads = 0;
    /** What the fence's log takes for the time, against ours. */
    const aheadMs = async () => {
      fence.child.kill('SIGHUP');
      const { time } = await said(fence, /^SIGHUP: the configuration is read again$/, ++reloads);
      return Date.parse(time) - Date.now();
    };
    t.ok(Math.abs(await aheadMs()) < 60_000);
    for (const [jump, ms] of [
      ['+1h', HOUR_MS],
      ['-1h', -HOUR_MS],
      ['+0', 0],
    ] as const) {
      writeFileSync(offset, `${jump}\n`);
      const ahead = await aheadMs();
      t.ok(Math.abs(ahead - ms) < 60_000, `${jump}: the log is ${Math.round(ahead / 1000)} s ahead, and goes on`);
      // Three looks of auto, one of everything else that comes once a second.
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      t.match(await adoption(where), { stage: 'observe', waitsFor: /^accept: safe; taken once/, since });
      t.ok(await known(), 'memory keeps the peer');
      t.strictSame(await ask(where, PING), PING, 'gossip passes');
    }
    t.notOk(linesOf(fence).some(({ level }) => level === 'error'));
  },
  { skip: requireTools(['faketime']) },
);
