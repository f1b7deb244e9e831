/** A socket that datagrams leave in batches, and what is told of each. */
import type { DropReason } from '../../policy/tally.ts';
import type { Refused, SendBatch } from './datagram-batch.ts';
import type { PacketFlow } from './packet-flows.ts';
import type { Syscalls } from './syscalls.ts';

/** What became of one datagram, told once for each that was given to `send`, in `send` or by the next flush. */
export interface SenderEvents {
  onSent(flow: PacketFlow): void;
  /** `bytes`: its payload. */
  onFailed(flow: PacketFlow, bytes: number, reason: DropReason, errno: string): void;
  /** It is larger than the route's MTU; told besides. */
  onOversize(flow: PacketFlow): void;
}

/** Owns the socket `fd`; of the batch it is the only user until the flush. */
export class Outlet implements Refused {
  readonly fd: number;
  readonly #calls: Syscalls;
  readonly #sends: SendBatch;
  readonly #events: SenderEvents;
  /** What is in the batch; entries beyond its count are of before. */
  readonly #flows: PacketFlow[] = [];
  readonly #bytes: Int32Array;

  constructor(calls: Syscalls, fd: number, sends: SendBatch, events: SenderEvents) {
    this.fd = fd;
    this.#calls = calls;
    this.#sends = sends;
    this.#events = events;
    this.#bytes = new Int32Array(sends.size);
  }

  /** Adds the packet of `length` bytes at `from`, with a payload of `bytes`. Gives the batch, for where it goes to. */
  add(flow: PacketFlow, from: number, length: number, bytes: number): SendBatch {
    const sends = this.#sends;
    if (sends.count === sends.size) this.flush();
    this.#flows[sends.count] = flow;
    this.#bytes[sends.count] = bytes;
    sends.add(from, length);
    return sends;
  }

  flush(): void {
    const { count } = this.#sends;
    if (count === 0) return;
    const failed = count - this.#sends.flush(this.fd, this);
    // Those that were refused have been told, and are marked.
    for (let i = 0; i < count; i++)
      if (failed === 0 || this.#bytes[i] !== -1) this.#events.onSent(this.#flows[i] as PacketFlow);
  }

  close(): void {
    this.#calls.close(this.fd);
  }

  onRefused(errno: string, first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      this.#events.onFailed(this.#flows[i] as PacketFlow, this.#bytes[i] as number, failureOf(errno), errno);
      this.#bytes[i] = -1;
    }
  }

  /** Of these sockets nothing can be told of what was sent before. */
  onLateError(): void {}
}

/** Why a datagram was not sent, as it is counted. */
export function failureOf(errno: string): DropReason {
  if (errno === 'EAGAIN' || errno === 'ENOBUFS' || errno === 'ENOMEM') return 'backlog_full';
  if (errno === 'ENETUNREACH' || errno === 'EHOSTUNREACH') return 'peer_unreachable';
  return 'send_failed';
}
