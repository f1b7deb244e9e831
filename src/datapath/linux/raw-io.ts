/** What all raw sockets of one loop share: the system calls, and memory to read into and to put small writes together in. */
import { getSystemErrorName } from 'node:util';
import type { Loop } from './loop.ts';
import { Spares } from './spare-sockets.ts';
import { SplicePipes } from './splice-pipes.ts';
import type { StreamCalls } from './stream-calls.ts';
import type { Syscalls } from './syscalls.ts';
import { createGatherRoom } from './write-queue.ts';

/** One read takes so much at most. */
const READ_BYTES = 256 * 1024;

const EAGAIN = 11;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;

export class RawIo {
  readonly loop: Loop;
  readonly syscalls: Syscalls;
  readonly calls: StreamCalls;
  /** What was read last; good until the next read of any socket, and nobody reads while a chunk is being given out. */
  readonly memory = Buffer.from(new ArrayBuffer(READ_BYTES));
  readonly memoryAt: number;
  readonly room = createGatherRoom();
  /** For bulk between sockets. */
  readonly pipes: SplicePipes;
  readonly spares: Spares;

  constructor(loop: Loop, syscalls: Syscalls) {
    this.loop = loop;
    this.syscalls = syscalls;
    this.calls = syscalls.streams;
    this.pipes = new SplicePipes(this.calls, (fd) => syscalls.close(fd));
    this.spares = new Spares(syscalls);
    this.memoryAt = Number(syscalls.address(this.memory));
  }

  /** Why the last call failed; undefined: it would have blocked. */
  failure(): string | undefined {
    const errno = this.syscalls.errnoNumber();
    return errno === EAGAIN ? undefined : getSystemErrorName(-errno);
  }

  /** Why the connection failed, which is told once; undefined: it has not. */
  pendingError(fd: number): string | undefined {
    const errno = this.calls.pendingError(fd);
    return errno === 0 ? undefined : getSystemErrorName(-errno);
  }

  close(fd: number): void {
    this.loop.unwatch(fd, true);
    this.syscalls.close(fd);
  }

  /** Small writes that follow each other go out at once. Throws a SystemError. */
  noDelay(fd: number): void {
    this.syscalls.setInt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  }
}
