/** Datagrams to the app whatever the kernel's reverse-path filter says, and by which interface, between real network namespaces. */
import t from 'tap';
import type { Host } from '../lab/lab.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { config, counter, digest, FAMILIES, FOREIGN, OWN, pair } from './transparent-kit.ts';

const skip = requireTools(LAB_TOOLS);
/** Bytes of datagrams; none needs fragments to the app, the last two come in some from the peer. */
const SIZES = [1, 200, 1_252, 1_253, 1_400, 1_472, 4_000, 60_000];

function setFilter(host: Host, value: number): void {
  host.exec('sh', ['-c', `for c in all lo; do echo ${value} > /proc/sys/net/ipv4/conf/$c/rp_filter; done`]);
}

t.test('whatever the reverse-path filter says, and when it changes', { skip }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'home', config('label'));
  let foreign = 0;
  // From none to strict, at once: a way that had been chosen by the filter would lose the next datagrams.
  for (const filter of [1, 0, 1, 2]) {
    setFilter(ours.host, filter);
    for (const family of FAMILIES) {
      const [us, them] = [ours.host[family], bare.host[family]];
      for (const size of SIZES) {
        const taken = await ours.gets(/^udp/, () => bare.udp(us, size - 1, { prefix: `${OWN}08` }));
        t.match(
          taken,
          `udp ${them} 7946 ${size} ${digest('08', size - 1)} `,
          `${family}, filter ${filter}: ${size} bytes`,
        );
      }
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

function linkLocal(host: Host): string {
  const address = /inet6 (fe80::[0-9a-f:]+)/.exec(host.exec('ip', ['-6', 'addr', 'show', 'dev', 'eth0']))?.[1];
  if (address === undefined) throw new Error(`host ${host.name} has no link-local address`);
  return `${address}%eth0`;
}

// Link-local addresses name their link: it shows by which interface the kernel says that a datagram came, which sockets that are bound to one go by.
t.test('the app sees the interface of its address, and what goes to a link-local one stays', { skip }, async (t) => {
  const { ours, bare } = await pair(t, 'link', config('label'));
  const [us, them] = [linkLocal(ours.host), linkLocal(bare.host)];
  for (const size of [200, 1_400, 4_000]) {
    const taken = await ours.gets(/^udp/, () => bare.udp(us, size - 1, { prefix: `${OWN}08` }));
    t.match(taken, `udp ${them} 7946 ${size} ${digest('08', size - 1)} `, `${size} bytes`);
  }
  t.same(await ours.during(() => bare.udp(us, 100, { prefix: `${FOREIGN}08` })), [], 'a foreign one does not pass');
  t.same(await bare.during(() => ours.udp(them, 100)), [], 'nothing goes out unfenced');
  t.equal(counter(ours.host, 'bypass_out'), 1);
});
