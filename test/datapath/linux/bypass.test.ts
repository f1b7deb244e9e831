import t from 'tap';
import { parseCounters } from '../../../src/datapath/linux/bypass.ts';

const counter = (name: string, packets: unknown) => ({
  counter: { family: 'inet', table: 'ringfence', name, handle: 1, packets, bytes: 84 },
});

t.test('both counters are read from what nft prints', async (t) => {
  const answer = { nftables: [{ metainfo: {} }, counter('bypass_in', 7), counter('bypass_out', 0)] };
  t.strictSame(parseCounters(JSON.stringify(answer)), { inbound: 7, outbound: 0 });
});

t.test('half an answer, or none, is no count', async (t) => {
  const answers = [{ nftables: [counter('bypass_in', 7)] }, { nftables: [] }, {}, [], null, 'x'];
  for (const answer of answers) t.equal(parseCounters(JSON.stringify(answer)), undefined, JSON.stringify(answer));
  t.equal(parseCounters(''), undefined);
  t.equal(
    parseCounters(JSON.stringify({ nftables: [counter('bypass_in', '7'), counter('bypass_out', 1)] })),
    undefined,
  );
});
