/** Admission by DNS alone, at accept, with untouched members: who waits, who passes, who does not. */
import t from 'tap';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { NAME, plain, sleep, stand, until, WAIT_MS } from './admission-dns-kit.ts';
import { FAMILIES, FOREIGN, type Member } from './transparent-kit.ts';

const skip = requireTools(LAB_TOOLS);

t.test('first frames of an unknown peer wait until DNS was asked about it', { skip }, async (t) => {
  // Nothing but strangers makes the fence ask within the test.
  const { ours, fence, member, list, rejected } = await stand(t, 'dnswait', { dnsRefresh: '1h' });
  const known: Member[] = [];
  const join = async (name: string) => {
    known.push(await member(name));
    list(...known);
    return known.at(-1) as Member;
  };
  for (const family of FAMILIES) {
    const us = ours.host[family];
    const sender = await join(`udp-in-${family}`);
    t.match(await ours.gets(/^udp/, () => sender.udp(us, 100)), plain(sender.host, family), `${family}: a datagram in`);
    const reader = await join(`udp-out-${family}`);
    const got = await reader.gets(/^udp/, () => ours.udp(reader.host[family], 100));
    t.match(got, plain(ours.host, family), `${family}: a datagram out`);
    const dialler = await join(`tcp-in-${family}`);
    t.match(await dialler.tcp(us, 5_000), { error: undefined, bytes: 5_001 }, `${family}: a connection in`);
    const dialled = await join(`tcp-out-${family}`);
    t.match(await ours.tcp(dialled.host[family], 5_000), { error: undefined, bytes: 5_001 }, `${family}: and out`);
  }
  t.equal(await rejected(), 0);
  t.equal(await fence.metric('waiting_frames'), 0, 'nobody waits any more');
  t.equal(await fence.metric('admission_dns_addresses', { name: NAME }), 2 * known.length);
});

t.test('a stranger that DNS does not list is rejected, in both directions, and counted', { skip }, async (t) => {
  const { ours, fence, member, list, rejected } = await stand(t, 'dnsstranger', { dnsRefresh: '1h' });
  const [friend, stranger] = [await member('friend'), await member('stranger')];
  list(friend);
  for (const family of FAMILIES) {
    const [us, them] = [ours.host[family], stranger.host[family]];
    const startMs = Date.now();
    const refused = await stranger.tcp(us, 100);
    t.match(refused.text ?? '', /is not accepted|not admitted/, `${family}: told so`);
    t.ok(Date.now() - startMs < WAIT_MS + 1_500, `${family}: the wait is bounded, ${Date.now() - startMs} ms`);
    t.match((await ours.tcp(them, 100)).text ?? '', /is not accepted|not admitted/, `${family}: nor dialled`);
    t.same(await ours.during(() => stranger.udp(us, 100)), []);
    t.same(await stranger.during(() => ours.udp(them, 100)), []);
    t.match(
      await ours.gets(/^udp/, () => friend.udp(us, 100)),
      plain(friend.host, family),
      `${family}: not the friend`,
    );
  }
  for (const direction of ['inbound', 'outbound']) {
    for (const kind of ['stream', 'packet']) {
      await until(`${direction} ${kind}`, async () => (await rejected({ direction, kind })) === 2);
    }
  }
  const success = await fence.metric('admission_dns_last_success_timestamp_seconds', { name: NAME });
  for (let i = 0; i < 50; i++) await stranger.udp(ours.host.ipv4, 10 + i);
  await until('fifty more', async () => (await rejected({ direction: 'inbound', kind: 'packet' })) === 52);
  const later = await fence.metric('admission_dns_last_success_timestamp_seconds', { name: NAME });
  t.ok(later - success < 10, 'asked about now and then, not for each frame');
});

t.test('who left DNS is heard within the grace, and not after it', { skip }, async (t) => {
  const graceMs = 5_000;
  const { ours, fence, member, list, rejected } = await stand(t, 'dnsleave', { dnsRefresh: '1s' }, `${graceMs}ms`);
  const [stays, leaves] = [await member('stays'), await member('leaves')];
  list(stays, leaves);
  const us = ours.host.ipv4;
  const listed = (count: number) =>
    until(`${count} addresses`, async () => (await fence.metric('admission_dns_addresses', { name: NAME })) === count);
  await listed(4);
  t.match(await ours.gets(/^udp/, () => leaves.udp(us, 100)), plain(leaves.host, 'ipv4'));
  list(stays);
  await listed(2);
  const leftMs = Date.now();
  t.match(await ours.gets(/^udp/, () => leaves.udp(us, 100)), plain(leaves.host, 'ipv4'), 'its leave arrives');
  t.match(await leaves.tcp(us, 1_000), { error: undefined, bytes: 1_001 }, 'on either transport');
  t.match(await ours.tcp(leaves.host.ipv4, 1_000), { error: undefined, bytes: 1_001 });
  t.equal(await rejected(), 0);
  await sleep(Math.max(0, leftMs + graceMs + 1_500 - Date.now()));
  t.same(await ours.during(() => leaves.udp(us, 100)), [], 'after the grace');
  t.match((await leaves.tcp(us, 100)).text ?? '', /is not accepted|not admitted/);
  t.match(await ours.gets(/^udp/, () => stays.udp(us, 100)), plain(stays.host, 'ipv4'));
  // It was asked about a moment ago, and whoever DNS did not name just now is not asked about again within a second.
  list(stays, leaves);
  await listed(4);
  t.match(await ours.gets(/^udp/, () => leaves.udp(us, 100)), plain(leaves.host, 'ipv4'), 'and when it is back');
});

t.test('without a wait the first frame is lost, and DNS is asked all the same', { skip }, async (t) => {
  const { ours, fence, member, list, rejected } = await stand(t, 'dnsnowait', {
    dnsRefresh: '1h',
    strangerWait: '0ms',
  });
  const late = await member('late');
  list(late);
  t.same(await ours.during(() => late.udp(ours.host.ipv4, 100)), []);
  t.equal(await rejected(), 1);
  await until('listed', async () => (await fence.metric('admission_dns_addresses', { name: NAME })) === 2);
  t.match(await ours.gets(/^udp/, () => late.udp(ours.host.ipv4, 100)), plain(late.host, 'ipv4'));
});

t.test(
  'an address that showed a foreign label is ours again once DNS lists it anew, and not before',
  { skip },
  async (t) => {
    const { ours, fence, member, list } = await stand(t, 'dnsrecycled', { dnsRefresh: '1h', foreignEvidence: '5m' });
    const [stale, recycled] = [await member('stale'), await member('recycled')];
    const us = ours.host.ipv4;
    const byForeign = () => fence.metric('rejected_total', { reason: 'peer_foreign' });
    list(stale);
    t.match(await ours.gets(/^udp/, () => stale.udp(us, 100)), plain(stale.host, 'ipv4'));
    for (const { tcp } of [stale, recycled])
      t.match((await tcp(us, 100, { prefix: `${FOREIGN}08` })).text ?? '', /label/);
    t.same(await ours.during(() => stale.udp(us, 100)), [], 'listed all the time: the listing may be stale');
    t.equal(await byForeign(), 1);
    list(stale, recycled);
    t.match(
      await ours.gets(/^udp/, () => recycled.udp(us, 100)),
      plain(recycled.host, 'ipv4'),
      'anew: its pod is ours',
    );
    t.match(await ours.tcp(recycled.host.ipv4, 100), { error: undefined, bytes: 101 });
    t.equal(await byForeign(), 1);
    t.same(await ours.during(() => stale.udp(us, 100)), [], 'the other one is not absolved');
  },
);
