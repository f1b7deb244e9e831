/** The case table of all data paths, for datagrams of the transparent one. */
import t from 'tap';
import type { PacketSender } from '../../../src/datapath/linux/packet-sender.ts';
import { createPacketPath } from '../../../src/datapath/linux/packets.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { pathCases } from '../cases.ts';
import { makeContext, rejected } from '../harness.ts';

const APP = '127.0.0.1';
const PEER = '127.0.0.9';
const STRANGERS = [{ address: '192.0.2.0', prefix: 24, family: 'ipv4' as const }];

const at = (text: string) => ({ address: parseAddress(text) as Uint8Array, port: 7946, scope: 0 });

t.test('datagrams: every stage and label state, both directions', async (t) => {
  for (const row of pathCases(['udp'], ['inbound', 'outbound'])) {
    const made = makeContext({ stage: row.stage }, row.admitted ? undefined : STRANGERS);
    const sent: Buffer[] = [];
    const sender: PacketSender = {
      send(_flow, _key, _scope, prefix, body) {
        sent.push(Buffer.concat([prefix, body]));
        return { failure: undefined, errno: '', oversize: false };
      },
      close: () => undefined,
    };
    const path = createPacketPath(made.context, {
      proxyPort: 17_946,
      senders: { 4: sender, 6: undefined },
      local: { has: (text) => text === APP, inbound: (_source, to) => to === APP, several: () => false },
      onTestDatagram: () => false,
    });
    const [source, destination] = row.direction === 'inbound' ? [PEER, APP] : [APP, PEER];
    path.handle({ source: at(source), destination: at(destination), payload: row.sent }, made.context.now());
    const expected = row.delivered === undefined ? [] : [row.delivered.toString('hex')];
    t.strictSame(
      sent.map((bytes) => bytes.toString('hex')),
      expected,
      row.name,
    );
    const counted = row.reason === undefined ? {} : { [`${row.direction} native packet ${row.reason}`]: 1 };
    t.same(rejected(made.reading()), counted);
  }
});
