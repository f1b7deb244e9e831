/** Datagrams to the app by lo alone, as far as the kernel's reverse-path filter lets them pass there, between real network namespaces. */
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import type { Host } from '../lab/lab.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { config, counter, digest, FAMILIES, FOREIGN, OWN, pair } from './transparent-kit.ts';

const skip = requireTools(LAB_TOOLS);
/** The setting is read again after a second. */
const NOTICED_MS = 1_200;
/** Bytes of datagrams; none needs fragments to the app, the last two come in some from the peer. */
const SIZES = [1, 200, 1_252, 1_253, 1_400, 1_472, 4_000, 60_000];
/** What the raw socket sends passes the output hook, what goes by lo alone does not. */
const SEEN = `table inet seen { counter raw { }
  chain out { type filter hook output priority 0; policy accept; meta mark 0x4 udp dport 7946 counter name raw; }
}`;

function setFilter(host: Host, value: number): void {
  host.exec('sh', ['-c', `for c in all lo; do echo ${value} > /proc/sys/net/ipv4/conf/$c/rp_filter; done`]);
}

function sentRaw(host: Host): number {
  return Number(/packets (\d+)/.exec(host.exec('nft', ['list', 'counter', 'inet', 'seen', 'raw']))?.[1]);
}

t.test('whatever the reverse-path filter says, and when it changes', { skip }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'home', config('label'));
  const file = '/proc/sys/net/ipv4/conf/lo/rp_filter';
  t.match(ours.host.exec('cat', [file]), /^1/, 'strict at first');
  ours.host.exec('nft', [SEEN]);
  let foreign = 0;
  for (const filter of [1, 0, 2, 0]) {
    setFilter(ours.host, filter);
    await wait(NOTICED_MS);
    for (const family of FAMILIES) {
      const [us, them] = [ours.host[family], bare.host[family]];
      const before = sentRaw(ours.host);
      for (const size of SIZES) {
        const taken = await ours.gets(/^udp/, () => bare.udp(us, size - 1, { prefix: `${OWN}08` }));
        t.match(
          taken,
          `udp ${them} 7946 ${size} ${digest('08', size - 1)} `,
          `${family}, filter ${filter}: ${size} bytes`,
        );
      }
      const raw = family === 'ipv4' && filter !== 0 ? SIZES.length : 0;
      t.equal(sentRaw(ours.host) - before, raw, `${family}, filter ${filter}: by the raw socket`);
      t.same(await ours.during(() => bare.udp(us, 100, { prefix: `${FOREIGN}08` })), [], 'a foreign one does not pass');
      foreign++;
      const out = await bare.gets(/^udp/, () => ours.udp(them, 100));
      t.match(out, `udp ${us} 7946 111 ${digest(`${OWN}08`, 100)} `, 'the way out is as it was');
    }
  }
  t.equal(await fence.metric('rejected_total', { reason: 'label_foreign', kind: 'packet' }), foreign);
  t.equal(await fence.metric('overload_dropped_total', { reason: 'send_failed' }), 0);
  t.same([counter(ours.host, 'bypass_in'), counter(ours.host, 'bypass_out')], [0, 0]);
});
