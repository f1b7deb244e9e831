/** The transparent path between real network namespaces: who sees whom, what is rewritten, what is dropped, what fails closed. */
import t from 'tap';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { config, counter, digest, FAMILIES, FOREIGN, OWN, pair, startMember, unfinished } from './transparent-kit.ts';

const skip = requireTools(LAB_TOOLS);

t.test('both directions, UDP and TCP, addresses kept', { skip }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'ways', config('label'));
  for (const family of FAMILIES) {
    const us = ours.host[family];
    const them = bare.host[family];
    await t.test(`${family} datagrams`, async (t) => {
      const out = await bare.gets(/^udp/, () => ours.udp(them, 100));
      t.match(out, `udp ${us} 7946 111 ${digest(`${OWN}08`, 100)} `, "leave labelled from the app's address and port");
      const plain = `udp ${them} 7946 101 ${digest('08', 100)} `;
      const taken = await ours.gets(/^udp/, () => bare.udp(us, 100, { prefix: `${OWN}08` }));
      t.match(taken, plain, "arrive stripped, from the peer's address and port");
      t.match(await ours.gets(/^udp/, () => bare.udp(us, 100)), plain, 'an admitted bare peer passes');
      t.same(await ours.during(() => bare.udp(us, 100, { prefix: `${FOREIGN}08` })), [], 'a foreign one does not');
      const empty = await ours.gets(/^udp/, () => bare.udp(us, 0, { prefix: '' }));
      t.match(empty, `udp ${them} 7946 0 `, 'an empty one arrives');
    });
    await t.test(`${family} streams`, async (t) => {
      const seen = await bare.gets(/^tcp/, async () => {
        const labelled = digest(`${OWN}08`, 5_000);
        t.match(
          await ours.tcp(them, 5_000),
          { error: undefined, bytes: 5_011, answer: labelled },
          'the answer is kept',
        );
      });
      t.match(seen, `tcp ${us} 5011 `, 'leave labelled');
      const taken = await ours.gets(/^tcp/, async () => {
        const { error, bytes, answer } = await bare.tcp(us, 5_000, { prefix: `${OWN}08` });
        t.match({ error, bytes, answer }, { error: undefined, bytes: 5_001, answer: digest('08', 5_000) });
      });
      t.match(taken, `tcp ${them} 5001 `, "the app sees the peer's address on TCP too");
      const refused = await bare.tcp(us, 100, { prefix: `${FOREIGN}08` });
      t.match(refused.text ?? '', /label/, 'a foreign one is explained');
      t.match(
        await ours.tcp(us, 1_000),
        { error: undefined, bytes: 1_001 },
        'the app dials its own address past the fence',
      );
      const big = await bare.tcp(us, 3_000_000, { prefix: `${OWN}08` });
      t.match(big, { error: undefined, bytes: 3_000_001, answer: digest('08', 3_000_000) }, 'a large one is whole');
    });
  }
  t.equal(await fence.metric('rejected_total', { reason: 'label_foreign', kind: 'packet' }), 2);
  t.equal(await fence.metric('rejected_total', { reason: 'label_foreign', kind: 'stream' }), 2);
  t.equal(counter(ours.host, 'bypass_in'), 0);
  t.equal(counter(ours.host, 'bypass_out'), 0);
  t.same([...unfinished(ours.host), ...unfinished(bare.host)], [], 'no connection hangs half-closed');
});

t.test('datagrams over the MTU arrive whole', { skip }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'mtu', config('label'));
  for (const family of FAMILIES) {
    const us = ours.host[family];
    const them = bare.host[family];
    // 1,472 (IPv4) and 1,452 bytes (IPv6) fill an Ethernet frame before the label's ten, 1,462 and 1,442 with them.
    for (const size of [1_442, 1_443, 1_452, 1_462, 1_463, 1_472, 4_000, 60_000]) {
      const out = await bare.gets(/^udp/, () => ours.udp(them, size - 1));
      t.match(out, `udp ${us} 7946 ${size + 10} ${digest(`${OWN}08`, size - 1)} `, `${family}: ${size} bytes out`);
      const taken = await ours.gets(/^udp/, () => bare.udp(us, size - 1, { prefix: `${OWN}08` }));
      t.match(taken, `udp ${them} 7946 ${size} ${digest('08', size - 1)} `, `${family}: ${size} bytes in`);
    }
  }
  const oversize = await fence.metric('oversize_packets_total');
  t.equal(oversize, 4 + 7, 'counted: IPv4 from 1,463 bytes, IPv6 from 1,443');
  t.same(await bare.during(() => ours.udp(bare.host.ipv4, 65_506)), [], 'a label on the largest datagram does not fit');
  t.equal(await fence.metric('overload_dropped_total', { reason: 'send_failed' }), 1, 'and that is counted');
  const largest = await ours.gets(/^udp/, () => bare.udp(ours.host.ipv4, 65_506));
  t.match(largest, `65507 ${digest('08', 65_506)} `, 'the largest datagram arrives');
});

t.test('gossip ports on either side', { skip }, async (t) => {
  const { ours, bare } = await pair(t, 'ports', config('label', { tcpSource: 'pod' }));
  const seventh = await startMember(bare.host, 7950, 9101);
  const other = await startMember(bare.host, 8888, 9102);
  for (const family of FAMILIES) {
    const us = ours.host[family];
    const them = bare.host[family];
    const header = OWN.slice(0, 8);
    t.match(await seventh.gets(/^udp/, () => ours.udp(them, 10, { port: '7950' })), header, 'UDP to a peer port');
    t.match(await other.gets(/^udp/, () => ours.udp(them, 10, { port: '8888' })), header, 'UDP from the gossip port');
    t.match(await seventh.gets(/^tcp/, () => ours.tcp(them, 10, { port: '7950' })), header, 'TCP to a peer port');
    t.notMatch(
      await other.gets(/^tcp/, () => ours.tcp(them, 10, { port: '8888' })),
      header,
      'TCP elsewhere is left alone',
    );
    const from = await ours.gets(/^udp/, () => seventh.udp(us, 10, { port: '7946', prefix: `${OWN}08` }));
    t.match(from, `udp ${them} 7950 11 `, 'from a peer port');
    const taken = await ours.gets(/^tcp/, () => bare.tcp(us, 10));
    t.match(taken, `tcp ${us} 11 `, "tcpSource pod: the app sees the pod's address");
  }
  for (const family of FAMILIES) {
    const us = ours.host[family];
    const before = counter(ours.host, 'bypass_in');
    await bare.udp(us, 10, { port: '17946' });
    const { error } = await bare.tcp(us, 10, { port: '17946', timeout: '300' });
    t.equal(error, 'TIMEOUT');
    t.ok(
      counter(ours.host, 'bypass_in') >= before + 2,
      `${family}: straight to the proxy port is dropped by the kernel`,
    );
  }
});

t.test("straight to the proxy port, from inside the fence's own namespace", { skip }, async (t) => {
  const { ours, fence } = await pair(t, 'direct', config('observe'));
  for (const family of FAMILIES) {
    const us = ours.host[family];
    t.same(await ours.during(() => ours.udp(us, 10, { port: '17946' })), []);
    t.match((await ours.tcp(us, 10, { port: '17946' })).error ?? '', /ECONNRESET|EPIPE/);
  }
  t.equal(await fence.metric('rejected_total', { reason: 'not_intercepted', kind: 'packet' }), 2);
  t.equal(await fence.metric('rejected_total', { reason: 'not_intercepted', kind: 'stream' }), 2);
});

t.test('a stage reaches the worker at once', { skip }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'stage', config('observe'));
  const foreign = () => bare.udp(ours.host.ipv4, 10, { prefix: `${FOREIGN}08` });
  t.match(await ours.gets(/^udp/, foreign), FOREIGN.slice(0, 8), 'observe leaves a foreign frame as it is');
  t.match(await bare.gets(/^udp/, () => ours.udp(bare.host.ipv4, 10)), ' 0800070e', 'and an outbound one');
  fence.setStage('accept', '--force');
  t.same(await ours.during(foreign), [], 'accept drops it');
  t.match(await bare.gets(/^udp/, () => ours.udp(bare.host.ipv4, 10)), ' 0800070e');
  fence.setStage('label', '--force');
  t.match(await bare.gets(/^udp/, () => ours.udp(bare.host.ipv4, 10)), OWN.slice(0, 8));
});

t.test('a killed fence fails closed, and comes back', { skip }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'closed', config('observe'));
  await fence.kill9();
  for (const family of FAMILIES) {
    const us = ours.host[family];
    const them = bare.host[family];
    const before = [counter(ours.host, 'bypass_in'), counter(ours.host, 'bypass_out')];
    t.same(await ours.during(() => bare.udp(us, 10)), [], `${family}: no datagram in`);
    t.same(await bare.during(() => ours.udp(them, 10)), [], `${family}: none out`);
    t.match(await bare.tcp(us, 10, { timeout: '300' }), { error: 'TIMEOUT' }, `${family}: no stream in`);
    t.match(await ours.tcp(them, 10, { timeout: '300' }), { error: 'TIMEOUT' }, `${family}: none out`);
    t.ok(counter(ours.host, 'bypass_in') >= (before[0] ?? 0) + 2, 'counted inbound');
    t.ok(counter(ours.host, 'bypass_out') >= (before[1] ?? 0) + 2, 'counted outbound');
  }
  ours.host.exec('ip', ['rule', 'del', 'pref', '100']);
  t.same(await bare.during(() => ours.udp(bare.host.ipv4, 10)), [], 'nor does anything leave without the routing rule');
  await fence.start('healthy');
  await t.rejects(fence.waitUntil('ready', 3_000), /rules for IPv4 are not in place/, 'which readiness names');
  fence.cli('intercept', '-c', fence.configFile);
  await fence.waitUntil('ready');
  await bare.gets(/^udp/, () => ours.udp(bare.host.ipv4, 10));
  t.match(await bare.tcp(ours.host.ipv4, 10), { error: undefined, bytes: 11 }, 'restarted and mended, it serves');
});

t.test('--fail-open lets traffic pass unfenced while the fence is down', { skip }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'open', config('label', { whenDown: 'open' }));
  t.match(await bare.gets(/^udp/, () => ours.udp(bare.host.ipv4, 10)), OWN.slice(0, 8), 'up, it fences');
  await fence.kill9();
  for (const family of FAMILIES) {
    const us = ours.host[family];
    const them = bare.host[family];
    t.match(
      await bare.gets(/^udp/, () => ours.udp(them, 10)),
      `udp ${us} 7946 11 ${digest('08', 10)}`,
      `${family}: out`,
    );
    t.match(await ours.gets(/^udp/, () => bare.udp(us, 10)), `udp ${them} 7946 11 `, `${family}: in`);
    t.match(await ours.tcp(them, 100_000), { error: undefined, bytes: 100_001 }, `${family}: streams out`);
    t.match(await bare.tcp(us, 100_000), { error: undefined, bytes: 100_001 }, `${family}: streams in`);
  }
  await fence.start('ready');
  t.match(await bare.gets(/^udp/, () => ours.udp(bare.host.ipv4, 10)), OWN.slice(0, 8), 'up again, it fences again');
});
