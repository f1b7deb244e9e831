import t from 'tap';
import { detectTransport, TRANSPORT_SETTINGS, TRANSPORTS, type Transport } from '../../src/wire/transport.ts';

/** Written from wire-protocol §2 and §3, not from the code. */
const NATIVE = [0, 6, 8, 9, 10, 244];
const DSKIT = [1, 2];

function expected(byte: number, setting: string): Transport {
  if (setting === 'alertmanager') return 'alertmanager';
  if (byte === 22) return 'tls';
  if (NATIVE.includes(byte)) return setting === 'dskit' ? 'unknown' : 'native';
  if (DSKIT.includes(byte)) return setting === 'native' ? 'unknown' : 'dskit';
  return 'unknown';
}

t.test('every first byte tells its transport, under every setting', async (t) => {
  for (const setting of TRANSPORT_SETTINGS) {
    const wrong = [];
    for (let byte = 0; byte < 256; byte++) {
      if (detectTransport(byte, setting) !== expected(byte, setting)) wrong.push(byte);
    }
    t.strictSame(wrong, [], setting);
  }
});

t.test('every transport but Alertmanager, which has no mark, can be told under auto', async (t) => {
  const told = new Set(Array.from({ length: 256 }, (_, byte) => detectTransport(byte, 'auto')));
  t.strictSame([...told].sort(), TRANSPORTS.filter((name) => name !== 'alertmanager').sort());
});
