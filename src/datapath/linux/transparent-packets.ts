/** The intercepted datagrams of a transparent fence, in the engine's thread: the proxy's sockets, the senders, the self-test. */
import { sameBytes } from '../../wire/label.ts';
import { StartError } from '../engine.ts';
import { CAP_NET_RAW } from './host-checks.ts';
import { createLocalAddresses } from './local-addresses.ts';
import { createPacketSender, type PacketSender } from './packet-sender.ts';
import { createPacketPath } from './packets.ts';
import { NET_RAW_MISSING, openPacketSocket } from './proxy-sockets.ts';
import { QueueWatch } from './queue-watch.ts';
import { ReceiveQueue } from './receive-queue.ts';
import { sendSelfTest } from './self-test.ts';
import type { WorkerFence } from './worker-fence.ts';
import type { TransparentStart } from './worker-protocol.ts';

export interface TransparentPackets {
  /** Sends test datagrams that must come back by the kernel rules; the fence posts `self_test` for each that does, or cannot be sent. */
  selfTest(nonce: Uint8Array): void;
  stop(): void;
}

/** Opens the sockets and serves from the loop. Throws a StartError or a SystemError; then nothing stays open. */
export function openTransparentPackets(fence: WorkerFence<TransparentStart>): TransparentPackets {
  const { start, context } = fence;
  const { calls, loop, batches } = fence.thread;
  // Capabilities are each thread's own, and this one may be older than the fence that has the right.
  if (!calls.raiseCapability(CAP_NET_RAW)) throw new StartError('no_net_raw', NET_RAW_MISSING);
  const families = start.ipv6 ? ([4, 6] as const) : ([4] as const);
  const sockets: number[] = [];
  const watches: QueueWatch[] = [];
  const senders: PacketSender[] = [];
  const stop = () => {
    fence.flood.stop();
    for (const watch of watches) watch.stop();
    for (const fd of sockets) calls.close(fd);
    for (const sender of senders) sender.close();
  };
  let expected: Uint8Array | undefined;
  try {
    const path = createPacketPath(context, {
      proxyPort: start.proxyPort,
      received: batches.received,
      local: createLocalAddresses(context.now),
      onTestDatagram(family, payload) {
        if (expected === undefined || !sameBytes(payload, expected)) return false;
        fence.post({ type: 'self_test', family, nonce: expected });
        return true;
      },
    });
    for (const family of families) {
      const fd = openPacketSocket(calls, family, start.proxyPort);
      sockets.push(fd);
      const queue = new ReceiveQueue(calls, fd);
      const sender = createPacketSender(calls, family, batches, path.events);
      senders.push(sender);
      watches.push(new QueueWatch(loop, queue, () => path.receive(queue, sender)));
    }
    fence.flood.watch(sockets);
  } catch (error) {
    stop();
    throw error;
  }
  return {
    selfTest(nonce) {
      expected = nonce;
      for (const family of families) {
        const problem = sendSelfTest(calls, family, start.port, nonce);
        if (problem !== undefined) fence.post({ type: 'self_test', family, nonce, problem });
      }
    },
    stop,
  };
}
