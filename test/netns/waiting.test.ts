/** Datagrams of strangers in the packet worker: the question and the answer cross threads, and what waited is decided by the new rules. */
import t from 'tap';
import { createLab } from '../lab/lab.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { bundleDriver } from './bundle.ts';
import { digest, startMember } from './transparent-kit.ts';

const skip = requireTools(LAB_TOOLS);
const ANSWER_MS = 300;
const RIGHTS = '-all,+net_raw';
const SIZES = [30, 31, 32, 33, 34];

t.test('packets of strangers wait in the worker', { skip, timeout: 60_000 }, async (t) => {
  const lab = createLab({ name: 'waiting' });
  t.teardown(() => lab.close());
  const hosts = ['ours', 'member', 'stranger', 'unanswered'].map((name) => lab.addHost(name));
  const [ours, member, stranger, unanswered] = await Promise.all(hosts.map((host) => startMember(host)));
  if (!ours || !member || !stranger || !unanswered) throw new Error('four hosts');
  const driver = await bundleDriver('test/netns/waiting-driver.ts', t.testdir());
  ours.host.exec('env', ['-u', 'NODE_OPTIONS', process.execPath, driver, 'intercept']);
  const user = [
    '--reuid',
    '7946',
    '--regid',
    '7946',
    '--clear-groups',
    `--inh-caps=${RIGHTS}`,
    `--ambient-caps=${RIGHTS}`,
  ];
  const program = ['env', '-u', 'NODE_OPTIONS', process.execPath, driver, 'wait', member.host.ipv4, `${ANSWER_MS}`];
  const worker = ours.host.spawn('setpriv', [...user, ...program]);
  await worker.waitFor(/^ready$/, 15_000);

  const began = performance.now();
  const last = new RegExp(`^udp ${member.host.ipv4} 7946 35 `);
  await ours.gets(last, async () => {
    for (const size of SIZES) await member.udp(ours.host.ipv4, size);
  });
  const tookMs = performance.now() - began;
  t.ok(tookMs >= ANSWER_MS, `${Math.round(tookMs)} ms`);
  const came = ours.app.lines().filter((line) => line.startsWith(`udp ${member.host.ipv4} `));
  t.strictSame(
    came.map((line) => line.split(' ').slice(3, 5).join(' ')),
    SIZES.map((size) => `${size + 1} ${digest('08', size)}`),
    'all of them, whole and in order',
  );
  t.strictSame(
    worker.lines().filter((line) => line.startsWith('asked')),
    [`asked ${member.host.ipv4}`],
    'one question',
  );
  t.match(worker.lines().join('\n'), /^waiting [1-5]$/m, 'the main thread sees how many wait');

  t.strictSame(await ours.during(() => stranger.udp(ours.host.ipv4, 40)), [], 'nobody named it');
  await worker.waitFor(new RegExp(`^rejected ${stranger.host.ipv4} peer_not_admitted$`), 5_000);
  const asked = performance.now();
  await unanswered.udp(ours.host.ipv4, 40);
  await worker.waitFor(new RegExp(`^rejected ${unanswered.host.ipv4} peer_not_admitted$`), 5_000);
  const silentMs = performance.now() - asked;
  t.ok(silentMs >= 700, `decided by what is known after ${Math.round(silentMs)} ms`);

  // What our own app sends to somebody unknown waits too.
  const mark = worker.mark();
  await stranger.during(() => ours.udp(unanswered.host.ipv4, 50));
  await worker.waitFor(new RegExp(`^rejected ${unanswered.host.ipv4} peer_not_admitted$`), 5_000, mark);
  await worker.kill('SIGTERM');
  const counts = worker.lines().filter((line) => line.startsWith('frames'));
  t.strictSame(counts.toSorted(), ['frames inbound pass 5', 'frames inbound reject 2', 'frames outbound reject 1']);
  t.notOk(worker.lines().find((line) => /^fault|^died/.test(line)));
});
