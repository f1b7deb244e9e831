/** The case table of all data paths, for datagrams of the transparent one. */
import t from 'tap';
import { pathCases } from '../cases.ts';
import { makeContext, rejected } from '../harness.ts';
import { createPacketPathKit } from './kernel-kit.ts';

const APP = { address: '127.0.0.1', port: 7946 };
const PEER = { address: '127.0.0.9', port: 7946 };
const STRANGERS = [{ address: '192.0.2.0', prefix: 24, family: 'ipv4' as const }];

t.test('datagrams: every stage and label state, both directions', async (t) => {
  for (const row of pathCases(['udp'], ['inbound', 'outbound'])) {
    const made = makeContext({ stage: row.stage }, row.admitted ? undefined : STRANGERS);
    const path = createPacketPathKit(made.context, {
      has: (text) => text === APP.address,
      inbound: (_source, to) => to === APP.address,
    });
    const [source, destination] = row.direction === 'inbound' ? [PEER, APP] : [APP, PEER];
    path.handle({ source, destination, payload: row.sent });
    const expected = row.delivered === undefined ? [] : [row.delivered.toString('hex')];
    t.strictSame(
      path.sent.map(({ bytes }) => bytes.toString('hex')),
      expected,
      row.name,
    );
    const counted = row.reason === undefined ? {} : { [`${row.direction} native packet ${row.reason}`]: 1 };
    t.same(rejected(made.reading()), counted);
  }
});
