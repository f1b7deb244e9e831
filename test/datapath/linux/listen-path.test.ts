/** What the main thread tells the engine's thread of a listen fence while its sockets are still opening. */
import t from 'tap';
import { StartError } from '../../../src/datapath/engine.ts';
import type { EngineFence } from '../../../src/datapath/linux/engine-fence.ts';
import { createEngineListenPath, type EngineListenOptions } from '../../../src/datapath/linux/listen-path.ts';
import { NO_ADMISSION_RULES } from '../../../src/policy/admission.ts';
import { peerTableBytes } from '../../../src/ring/peers.ts';
import { LIMITS, makeContext } from '../harness.ts';

function harness() {
  const { context } = makeContext({ stage: 'accept' });
  const told: string[] = [];
  let settle: { resolve(port: number): void; reject(error: Error): void } | undefined;
  const fence: EngineFence = {
    ready: () => new Promise((resolve, reject) => (settle = { resolve, reject })),
    answered: (address) => void told.push(`answered ${address}`),
    takeRules: async ({ policy }) => void told.push(`rules ${policy.stage}`),
    takeInside: () => void told.push('inside'),
    selfTest: async () => new Map(),
    stop: async () => {
      told.push('stop');
      return { streams: 0, sessions: 0 };
    },
  };
  const peers = { peers: 10, windowMs: 1_000, foreignMs: 1_000 };
  const options: EngineListenOptions = {
    listen: { address: '127.0.0.1', port: 0 },
    app: { address: '127.0.0.1', port: 9 },
    streams: { transport: 'native', rejectStreams: 'reset', limits: LIMITS },
    worker: {
      label: context.label,
      peersBuffer: new SharedArrayBuffer(peerTableBytes(peers.peers)),
      peers,
      rules: () => ({
        policy: { ...context.snapshot().settings, stage: 'enforce' },
        admission: NO_ADMISSION_RULES,
        starting: false,
      }),
      ask: () => undefined,
      inspect: () => undefined,
      waits: { waitMs: 0, bytesMax: 1 },
      floodPacketsPerSecond: 0,
      inside: () => ({ keys: [], reseal: false, quarantine: undefined }),
      rings: undefined,
    },
  };
  const linux = { load: async () => undefined, unpreferred: () => undefined, open: () => fence };
  const path = createEngineListenPath(context, options, linux);
  return { path, told, opened: () => settle };
}

t.test('what changes while the sockets open is told as well: nothing else would tell it again', async (t) => {
  const { path, told, opened } = harness();
  const started = path.start();
  await path.rulesChanged();
  path.insideChanged();
  path.answered('10.0.0.1');
  t.strictSame(told, ['rules enforce', 'inside', 'answered 10.0.0.1']);
  t.match(await path.notReady(), ['are not open'], 'not ready before they are');
  opened()?.resolve(7946);
  await started;
  t.equal(
    (await path.notReady()).some((why) => why.includes('not open')),
    false,
  );
  await path.stop();
  t.equal(told.at(-1), 'stop');
});

t.test('a fence that cannot open is closed in the thread too', async (t) => {
  const { path, told, opened } = harness();
  const started = path.start();
  opened()?.reject(new StartError('worker_failed', 'it took too long'));
  await t.rejects(started, { code: 'worker_failed' });
  t.strictSame(told, ['stop']);
});
