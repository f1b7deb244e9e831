/** The small parts of the Linux path: who listens, which addresses are ours, the bound on events, the clock. */
import type { networkInterfaces } from 'node:os';
import t from 'tap';
import { hasListener } from '../../../src/datapath/linux/app-listener.ts';
import { createLocalAddresses, plainAddress } from '../../../src/datapath/linux/local-addresses.ts';
import { clockFrom, monotonicMs } from '../../../src/datapath/linux/worker-protocol.ts';
import { createTokenBucket } from '../../../src/datapath/token-bucket.ts';

t.test('a listener in the kernel table', async (t) => {
  const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
  const row = (local: string, state: string, uid: number) =>
    `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000 ${uid}        0 1 1 0 100 0 0 10 0`;
  const v6 = '00000000000000000000000000000000:1F0A';
  t.ok(hasListener([head, row('00000000:1F0A', '0A', 0)].join('\n'), 7946, 7946));
  t.ok(hasListener([head, row(v6, '0A', 65_534)].join('\n'), 7946, 7946));
  t.notOk(hasListener([head, row('00000000:1F0A', '0A', 7946)].join('\n'), 7946, 7946), 'our own is not the app');
  t.notOk(hasListener([head, row('00000000:1F0A', '01', 0)].join('\n'), 7946, 7946), 'a connection is no listener');
  t.notOk(hasListener([head, row('00000000:1F0B', '0A', 0)].join('\n'), 7946, 7946), 'another port');
  t.notOk(hasListener('', 7946, 7946));
  t.notOk(hasListener(`${head}\ngarbage\n`, 7946, 7946));
});

t.test('local addresses', async (t) => {
  const at = { netmask: '', mac: '', cidr: null };
  let now = 0;
  let reads = 0;
  let lists: ReturnType<typeof networkInterfaces> = {
    lo: [{ ...at, address: '127.0.0.1', family: 'IPv4', internal: true }],
    eth0: [
      { ...at, address: '10.0.0.1', family: 'IPv4', internal: false },
      { ...at, address: 'fd00::1', family: 'IPv6', internal: false, scopeid: 0 },
      { ...at, address: 'fe80::1', family: 'IPv6', internal: false, scopeid: 2 },
    ],
  };
  const local = createLocalAddresses(
    () => now,
    () => {
      reads++;
      return lists;
    },
  );
  t.ok(local.has('10.0.0.1'));
  t.ok(local.has('fd00::1'));
  t.ok(local.has('127.0.0.53'), 'all of 127/8');
  t.notOk(local.has('10.0.0.2'));
  t.notOk(local.several('IPv4'));
  t.notOk(local.several('IPv6'), 'a link-local address does not count');
  t.equal(reads, 1, 'read once a second');
  lists = { eth0: [{ ...at, address: '10.0.0.2', family: 'IPv4', internal: false }], ...{} };
  now = 1_000;
  t.ok(local.has('10.0.0.2'), 'a new address is seen');
  t.notOk(local.has('10.0.0.1'), 'an old one is forgotten');
});

t.test('which way a frame goes, whatever changed since the interfaces were read', async (t) => {
  const entry = { address: '10.0.0.1', family: 'IPv4', internal: false, netmask: '', mac: '', cidr: null } as const;
  let now = 0;
  let reads = 0;
  let read = (): ReturnType<typeof networkInterfaces> => ({ eth0: [entry] });
  const local = createLocalAddresses(
    () => now,
    () => {
      reads++;
      return read();
    },
  );
  t.ok(local.inbound('10.0.0.9', '10.0.0.1'));
  t.notOk(local.inbound('10.0.0.1', '10.0.0.9'));
  t.equal(reads, 1);
  read = () => ({ eth0: [entry, { ...entry, address: '10.0.0.2' }] });
  now = 20;
  t.ok(local.inbound('10.0.0.9', '10.0.0.2'), 'a new address is ours at once');
  t.equal(reads, 2);
  read = () => ({ eth0: [entry, { ...entry, address: '10.0.0.3' }] });
  now = 40;
  t.notOk(local.inbound('10.0.0.3', '10.0.0.9'), 'as a source too');
  for (let i = 0; i < 10; i++)
    t.ok(local.inbound('10.0.0.8', '10.0.0.9'), 'two strangers: only the network sends that');
  t.equal(reads, 3, 'which does not make it read for every frame');
  read = () => ({ eth0: [{ ...entry, address: '10.0.0.3' }] });
  now = 60;
  t.notOk(local.inbound('10.0.0.3', '10.0.0.1'), 'an address that moved away is a peer at once');
  read = () => {
    throw new Error('EMFILE');
  };
  now = 5_000;
  t.ok(local.has('10.0.0.3'), 'what was known counts while nothing can be read');
});

t.test('addresses as sockets give them', async (t) => {
  t.equal(plainAddress('::ffff:10.0.0.1'), '10.0.0.1');
  t.equal(plainAddress('fe80::1%eth0'), 'fe80::1');
  t.equal(plainAddress('fd00::1'), 'fd00::1');
  t.equal(plainAddress('10.0.0.1'), '10.0.0.1');
});

t.test('a token bucket', async (t) => {
  const bucket = createTokenBucket(3, 10);
  const taken = (nowMs: number, tries: number) =>
    Array.from({ length: tries }, () => bucket.take(nowMs)).filter(Boolean).length;
  t.equal(taken(0, 10), 3, 'the burst');
  t.equal(taken(50, 10), 0);
  t.equal(taken(100, 10), 1, 'one every 100 ms');
  t.equal(taken(10_000, 10), 3, 'never more than the burst');
  t.equal(taken(9_000, 10), 0, 'a clock that runs backwards gives nothing');
});

t.test("another thread's clock agrees", async (t) => {
  const clock = clockFrom({ nowMs: 1e12, monotonicMs: monotonicMs() });
  const first = clock();
  t.ok(first >= 1e12 && first < 1e12 + 1_000);
  t.ok(clock() >= first);
});
