/**
 * The packet worker: a thread of its own that takes the intercepted datagrams, judges them and sends them on. The second composition
 * root: it builds its own view of the fence from workerData. It blocks in poll(), so messages are read between rounds; the eventfd
 * ends a wait at once.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { type Admission, createAdmission } from '../../policy/admission.ts';
import { createSnapshot, type Snapshot } from '../../policy/decide.ts';
import { createTally } from '../../policy/tally.ts';
import { createPeerTable } from '../../ring/peers.ts';
import { sameBytes } from '../../wire/label.ts';
import { createDoubts, type DoubtsQueue } from '../doubts.ts';
import { type FenceContext, type FenceRules, StartError } from '../engine.ts';
import { createTokenBucket } from '../token-bucket.ts';
import { createLocalAddresses } from './local-addresses.ts';
import { createPacketSender } from './packet-sender.ts';
import { createPacketPath, type PacketPath } from './packets.ts';
import { openPacketSocket } from './proxy-sockets.ts';
import { createReceiveBatch, type ReceiveBatch } from './receive.ts';
import { sendSelfTest } from './self-test.ts';
import { loadSyscalls, POLLIN, type Syscalls, SystemError } from './syscalls.ts';
import { createWorkerInside, type WorkerInside } from './worker-inside.ts';
import { clockFrom, type FromWorker, type ToWorker, type WorkerStart } from './worker-protocol.ts';

/** Datagrams a call; 32 × 64 KiB of memory. */
const BATCH = 32;
/** Batches of one socket before the other has its turn and messages are read. */
const BATCHES_PER_TURN = 8;
/** The longest wait, ms: the bound on stopping and on policy changes even if the eventfd were lost. */
const POLL_TIMEOUT_MS = 100;
/** Rejections posted to the main thread; the counters have them all. */
const REJECTION_BURST = 200;
const REJECTIONS_PER_SECOND = 100;
const POLLFD_BYTES = 8;

interface State {
  stopped: boolean;
  nonce: Uint8Array | undefined;
  rules: WorkerRules;
  readonly inside: WorkerInside;
}

/** FenceRules as they are decided by. */
interface WorkerRules {
  readonly snapshot: Snapshot;
  readonly admission: Admission;
  readonly starting: boolean;
  readonly byDns: boolean;
}

function rulesOf({ policy, admission, starting }: FenceRules): WorkerRules {
  const { byDns } = admission;
  return { snapshot: createSnapshot(policy), admission: createAdmission(admission), starting, byDns };
}

interface WorkerContext extends FenceContext {
  readonly doubts: DoubtsQueue;
}

function createContext(start: WorkerStart, state: State, post: (message: FromWorker) => void): WorkerContext {
  const now = clockFrom(start.clock);
  const rejections = createTokenBucket(REJECTION_BURST, REJECTIONS_PER_SECOND);
  return {
    name: start.name,
    label: start.label,
    snapshot: () => state.rules.snapshot,
    admission: () => state.rules.admission,
    starting: () => state.rules.starting,
    doubts: createDoubts({
      ...start.waits,
      canAsk: () => state.rules.byDns,
      starting: () => state.rules.starting,
      ask: (peer, question) => post({ type: 'stranger', peer, question }),
      now,
    }),
    peers: createPeerTable(start.peersBuffer, start.peers),
    tally: createTally(start.tallyBuffer),
    inside: state.inside,
    now,
    onRejection(rejection) {
      if (rejections.take(rejection.atMs)) post({ type: 'rejection', rejection });
    },
    onFault: (fault) => post({ type: 'fault', fault }),
  };
}

function receiveTurn(fd: number, batch: ReceiveBatch, path: PacketPath, now: () => number): void {
  for (let round = 0; round < BATCHES_PER_TURN; round++) {
    const arrivedMs = now();
    // A failure is "nothing there" or an ICMP error that the socket reports once: poll tells when there is more.
    const count = batch.receive(fd, (datagram) => path.handle(datagram, arrivedMs));
    if (count < batch.size) return;
  }
}

function readMessages(port: MessagePort, start: WorkerStart, state: State, doubts: DoubtsQueue, calls: Syscalls): void {
  for (let got = receiveMessageOnPort(port); got !== undefined; got = receiveMessageOnPort(port)) {
    const message = got.message as ToWorker;
    switch (message.type) {
      case 'rules':
        state.rules = rulesOf(message.rules);
        port.postMessage({ type: 'rules', revision: message.revision } satisfies FromWorker);
        break;
      case 'answered':
        doubts.answered(message.address, message.upTo);
        break;
      case 'inside':
        state.inside.change(message.inside);
        break;
      case 'self_test':
        state.nonce = message.nonce;
        for (const family of start.ipv6 ? ([4, 6] as const) : ([4] as const)) {
          const problem = sendSelfTest(calls, family, start.port, message.nonce);
          if (problem === undefined) continue;
          port.postMessage({ type: 'self_test', family, nonce: message.nonce, problem } satisfies FromWorker);
        }
        break;
      case 'stop':
        state.stopped = true;
    }
  }
}

/** Opens the sockets and serves until told to stop. Throws a StartError or a SystemError when it cannot start. */
async function serve(port: MessagePort, start: WorkerStart): Promise<void> {
  const post = (message: FromWorker) => port.postMessage(message);
  const calls = await loadSyscalls();
  const inside = createWorkerInside(start.inside, start.rings);
  const state: State = { stopped: false, nonce: undefined, rules: rulesOf(start.rules), inside };
  const context = createContext(start, state, post);
  const sockets = [openPacketSocket(calls, 4, start.proxyPort)];
  if (start.ipv6) sockets.push(openPacketSocket(calls, 6, start.proxyPort));
  const senders = {
    4: createPacketSender(calls, 4),
    6: start.ipv6 ? createPacketSender(calls, 6) : undefined,
  };
  const path = createPacketPath(context, {
    proxyPort: start.proxyPort,
    senders,
    local: createLocalAddresses(context.now),
    onTestDatagram(family, payload) {
      if (state.nonce === undefined || !sameBytes(payload, state.nonce)) return false;
      post({ type: 'self_test', family, nonce: state.nonce });
      return true;
    },
  });
  const batch = createReceiveBatch(calls, BATCH);
  const watched = [...sockets, start.wakeFd];
  const pollFds = Buffer.alloc(watched.length * POLLFD_BYTES);
  watched.forEach((fd, i) => {
    pollFds.writeInt32LE(fd, i * POLLFD_BYTES);
    pollFds.writeInt16LE(POLLIN, i * POLLFD_BYTES + 4);
  });
  const { doubts } = context;
  const waiting = new Int32Array(start.waitingBuffer);
  let timeoutMs = POLL_TIMEOUT_MS;
  post({ type: 'ready' });
  while (!state.stopped) {
    calls.poll(pollFds, watched.length, timeoutMs);
    sockets.forEach((fd, i) => {
      if (pollFds.readInt16LE(i * POLLFD_BYTES + 6) !== 0) receiveTurn(fd, batch, path, context.now);
    });
    if (pollFds.readInt16LE(sockets.length * POLLFD_BYTES + 6) !== 0) calls.unwake(start.wakeFd);
    readMessages(port, start, state, doubts, calls);
    const nowMs = context.now();
    const nextMs = doubts.expire(nowMs) ?? Number.POSITIVE_INFINITY;
    timeoutMs = Math.max(0, Math.min(POLL_TIMEOUT_MS, Math.ceil(nextMs - nowMs)));
    Atomics.store(waiting, 0, doubts.waiting());
  }
  for (const fd of sockets) calls.close(fd);
  senders[4].close();
  senders[6]?.close();
}

const main = parentPort;
if (main !== null) {
  try {
    await serve(main, workerData as WorkerStart);
  } catch (error) {
    if (!(error instanceof StartError || error instanceof SystemError)) throw error;
    main.postMessage({ type: 'failed', code: error.code, message: error.message } satisfies FromWorker);
  }
  main.close();
}
