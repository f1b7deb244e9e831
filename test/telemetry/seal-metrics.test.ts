import t from 'tap';
import type { SealedPeer } from '../../src/ring/seals.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { parsePage, quietFence } from './helpers.ts';

const peer = (state: SealedPeer['state']): SealedPeer => ({
  ...{ address: '10.0.0.5', frames: undefined, byApp: 'unknown', byPeer: 'unknown', lastMs: 1 },
  state,
});

t.test('encrypted gossip in figures', async (t) => {
  const sealedPeers = () => [peer('apart'), peer('apart'), peer('unknown')];
  const { fence, tally } = quietFence({ gossipKeys: () => 2, sealedPeers, sealEvictions: () => 4 });
  tally.sealed('inbound', 'packet', 'label');
  tally.sealed('inbound', 'packet', 'label');
  tally.sealed('outbound', 'stream', 'no_key');
  tally.resealed('outbound', 'packet');
  const page = parsePage(await createMetrics([fence], '1.2.3').render());
  const at = (name: string, labels: string) => page.get(`ringfence_${name}{fence="traces"${labels}}`);
  t.equal(at('gossip_keys', ''), 2);
  t.equal(at('sealed_frames_total', ',direction="inbound",kind="packet",outcome="label"'), 2);
  t.equal(at('sealed_frames_total', ',direction="outbound",kind="stream",outcome="no_key"'), 1);
  t.equal(at('sealed_frames_total', ',direction="inbound",kind="stream",outcome="empty"'), 0, 'there from the start');
  t.equal(at('resealed_frames_total', ',direction="outbound",kind="packet"'), 1);
  t.equal(at('sealed_peers', ',state="apart"'), 2);
  t.equal(at('sealed_peers', ',state="together"'), 0);
  t.equal(at('sealed_peers', ',state="unknown"'), 1);
  t.equal(at('table_evictions_total', ',table="sealed_peers"'), 4);
});

t.test('without keys nothing was ever opened', async (t) => {
  const { fence } = quietFence();
  const page = await createMetrics([{ ...fence, shape: { ...fence.shape, hasKeys: false } }], '1.2.3').render();
  t.notMatch(page, /^ringfence_(re)?sealed_frames_total\{/m);
  t.match(page, /^ringfence_gossip_keys\{fence="traces"\} 0$/m);
});
