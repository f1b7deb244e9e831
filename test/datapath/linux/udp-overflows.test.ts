/** What full receive buffers lost, out of the kernel's tables. */
import t from 'tap';
import { udpOverflows } from '../../../src/datapath/linux/udp-overflows.ts';

const SNMP = `Ip: Forwarding DefaultTTL
Ip: 1 64
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors
Udp: 10 0 9 10 7 0
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors
UdpLite: 0 0 0 0 99 0
`;
const SNMP6 = 'Udp6InErrors                    \t4\nUdp6RcvbufErrors                \t5\nUdpLite6RcvbufErrors 3\n';

t.test('both families', async (t) => {
  t.equal(
    udpOverflows((file) => (file === '/proc/net/snmp' ? SNMP : SNMP6)),
    12,
  );
  t.equal(
    udpOverflows((file) => (file === '/proc/net/snmp' ? SNMP : '')),
    7,
    'without IPv6',
  );
  for (const table of ['', 'Udp: InDatagrams\n', 'Udp: InDatagrams\nUdp: 5\n', 'Udp: RcvbufErrors\nUdp: x\n']) {
    t.equal(
      udpOverflows(() => table),
      undefined,
    );
  }
  t.type(udpOverflows(), 'number', 'this kernel says it');
});
