/** Asks members as a fence's prober does, once, and prints what came of it: bundled and run in a lab's host by pings.ts. */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { createPinger } from '../../src/cli/pinger.ts';
import type { FenceConfig } from '../../src/config/types.ts';
import type { PingResult } from '../../src/control/prober.ts';
import { type FenceContext, NO_DOUBTS } from '../../src/datapath/engine.ts';
import { NO_INSIDE } from '../../src/datapath/inside.ts';
import type { TlsTerms } from '../../src/datapath/tls-socket.ts';
import { createAdmission, NO_ADMISSION_RULES } from '../../src/policy/admission.ts';
import { createSnapshot } from '../../src/policy/decide.ts';
import { createTally, TALLY_BYTES } from '../../src/policy/tally.ts';
import { createPeerTable, peerTableBytes } from '../../src/ring/peers.ts';
import { createKeyring } from '../../src/wire/encryption.ts';
import type { PingOrder } from './pings.ts';

const order = JSON.parse(process.argv[2] ?? '') as PingOrder;
const { label, sends = 'none', keys = [], reseal = false, transport = 'native', tls } = order;
const memory = { peers: 64, windowMs: 600_000, foreignMs: 10_000 };
const dialects = { sends, takes: sends, wire: 'none' } as const;
const policy = { stage: 'label', ...dialects, unterminatedTls: 'reject', shield: true } as const;
const keyring = keys.length === 0 ? undefined : createKeyring(keys.map((key) => Buffer.from(key, 'base64')));
const now = () => performance.timeOrigin + performance.now();
const context: FenceContext = {
  name: 'asker',
  label: Buffer.from(label),
  snapshot: () => createSnapshot(policy),
  admission: () => createAdmission(NO_ADMISSION_RULES),
  starting: () => false,
  doubts: NO_DOUBTS,
  peers: createPeerTable(new SharedArrayBuffer(peerTableBytes(memory.peers)), memory),
  tally: createTally(new ArrayBuffer(TALLY_BYTES)),
  inside: { ...NO_INSIDE, keyring: () => keyring },
  now,
  onRejection: () => undefined,
  onFault: () => undefined,
};

function tlsTerms({ certFile, keyFile, caFile, serverName }: NonNullable<PingOrder['tls']>): TlsTerms {
  const [cert, key, ca] = [certFile, keyFile, caFile].map((file) => readFileSync(file)) as [Buffer, Buffer, Buffer];
  const secure = createSecureContext({ cert, key, ca });
  return { context: () => secure, clientAuth: true, verifyServer: 'name', serverName };
}

const mode: FenceConfig['mode'] =
  order.listen === undefined
    ? {
        ...{ kind: 'transparent', port: 7946, peerPorts: [], proxyPort: 17946, uid: 7946 },
        ...{ tcpSource: 'peer', whenDown: 'closed' },
      }
    : { kind: 'listen', listen: { address: order.listen, port: 7946 }, app: { address: '127.0.0.1', port: 7947 } };
const round = createPinger({
  config: { mode, dialects, encryption: { keyFiles: [], reseal } },
  context,
  streams: { transport, ...(tls === undefined ? {} : { tls: tlsTerms(tls) }) },
  clock: {
    now,
    after(delayMs, act) {
      const timer = setTimeout(act, delayMs);
      return () => clearTimeout(timer);
    },
  },
  tallies: () => [],
}).round();
if (round === undefined) throw new Error('nobody can be asked');
const said = ({ outcome, ...rest }: PingResult) => ('label' in rest ? `${outcome} ${rest.label}` : outcome);
const answers = order.targets.map(async (target) => [
  round.packet === undefined ? 'none' : said(await round.packet({ name: undefined, ...target })),
  said(await round.stream({ name: undefined, ...target })),
]);
process.stdout.write(`${JSON.stringify(await Promise.all(answers))}\n`);
round.close();
