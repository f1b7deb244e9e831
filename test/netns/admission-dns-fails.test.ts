/** Admission by DNS while DNS fails: nobody who was listed is cut. */
import t from 'tap';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { NAME, plain, sleep, stand, until, WAIT_MS, ZONE } from './admission-dns-kit.ts';

const skip = requireTools(LAB_TOOLS);

t.test('while DNS is dead the last good answer stays, said once', { skip }, async (t) => {
  const { dns, ours, fence, member, list, rejected } = await stand(t, 'dnsdead', { dnsRefresh: '1s' }, '1s');
  const [friend, late] = [await member('friend'), await member('late')];
  list(friend);
  const us = ours.host.ipv4;
  t.match(await ours.gets(/^udp/, () => friend.udp(us, 100)), plain(friend.host, 'ipv4'));
  dns.answer(false);
  const mark = fence.process().mark();
  await fence.process().waitFor(/DNS name ring\.test\.: .*no answer in time; its last good answer stays/, 15_000, 0);
  await sleep(3_000);
  t.match(await ours.gets(/^udp/, () => friend.udp(us, 100)), plain(friend.host, 'ipv4'), 'long after the grace');
  t.match(await friend.tcp(us, 1_000), { error: undefined, bytes: 1_001 });
  t.equal(await rejected(), 0);
  const startMs = Date.now();
  t.match((await late.tcp(us, 100)).text ?? '', /is not accepted|not admitted/, 'nobody new comes in');
  t.ok(Date.now() - startMs < WAIT_MS + 1_500, `nor waits for long, ${Date.now() - startMs} ms`);
  t.match(await fence.status(), {
    fences: [{ notes: /DNS name ring\.test\. cannot be looked up \(A of ring\.test: no answer in time\)/ }],
  });
  t.equal(fence.lines().filter((line) => line.includes('"code":"dns_failing"')).length, 1, 'one line');
  list(friend, late);
  dns.answer(true);
  await fence.process().waitFor(/DNS answers for ring\.test\. again/, 15_000, mark);
  t.match(await ours.gets(/^udp/, () => late.udp(us, 100)), plain(late.host, 'ipv4'));
});

t.test('DNS that flaps cuts nobody', { skip }, async (t) => {
  const { dns, ours, fence, member, list, rejected } = await stand(t, 'dnsflap', { dnsRefresh: '1s' }, '30s');
  const friends = [await member('one'), await member('two')];
  list(...friends);
  await until('listed', async () => (await fence.metric('admission_dns_addresses', { name: NAME })) === 4);
  const moods = [
    () => dns.set(ZONE, []),
    () => dns.set(ZONE, undefined),
    () => list(...friends.slice(0, 1)),
    () => dns.answer(false),
    () => list(...friends.slice(1)),
    () => list(...friends),
  ];
  let sent = 0;
  const answers = new Set<number>();
  const mark = ours.app.mark();
  const endMs = Date.now() + 7_000;
  for (let i = 0; Date.now() < endMs; i++) {
    if (i % 3 === 0) {
      dns.answer(true);
      moods[(i / 3) % moods.length]?.();
    }
    for (const friend of friends) {
      await friend.udp(ours.host.ipv4, 100);
      answers.add((await friend.tcp(ours.host.ipv6, 100)).bytes);
      sent++;
    }
    answers.add((await ours.tcp(friends[i % 2]?.host.ipv4 ?? '', 100)).bytes);
  }
  await sleep(500);
  const got = ours.app.lines(mark);
  t.equal(got.filter((line) => line.startsWith('udp')).length, sent, `all of ${sent} datagrams`);
  t.equal(got.filter((line) => line.startsWith('tcp ')).length, sent, `all of ${sent} connections`);
  t.strictSame([...answers], [101], 'every connection was answered whole');
  t.equal(await rejected(), 0);
});
