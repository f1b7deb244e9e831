/**
 * The system calls of the raw engine beside syscalls.ts: epoll, connections, batches. Memory is given by its address as a number
 * (Syscalls.address of a buffer that its owner holds, plus an offset): that spares a view for each call, and koffi is faster with numbers.
 */
import { SystemError } from './system-error.ts';

export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLRDHUP = 0x2000;
/** Each change is told once, instead of again at every wait. */
export const EPOLLET = 0x8000_0000;

const EPOLL_CLOEXEC = 0x80000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;

/** struct epoll_event {events u32, data u64}: packed on x64 alone. */
export const EPOLL_DATA_AT = process.arch === 'x64' ? 4 : 8;
export const EPOLL_EVENT_BYTES = EPOLL_DATA_AT + 8;

const SOCK_NONBLOCK_CLOEXEC = 0x80800;
const MSG_PEEK = 0x2;
const MSG_DONTWAIT_NOSIGNAL = 0x4040;
const MSG_MORE = 0x8000;

/** SPLICE_F_MOVE | SPLICE_F_NONBLOCK. */
const SPLICE_FLAGS = 0x3;
/** O_NONBLOCK | O_CLOEXEC. */
const PIPE_FLAGS = 0x80800;
const F_SETPIPE_SZ = 1031;

const IPPROTO_TCP = 6;
const TCP_DEFER_ACCEPT = 9;
const TCP_INFO = 11;
/** The first byte of struct tcp_info: nothing is sent or awaited any more, and no port is held. */
const TCP_CLOSE = 7;
/** Seconds; the shortest there is. */
const DEFER_SECONDS = 1;

/** struct sockaddr. */
const SOCKADDR_BYTES = 16;

const SHUT_WR = 1;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_LINGER = 13;

/** Those that return a number give -1 for failure, and `errno()` or `errnoNumber()` of Syscalls says why. */
export interface StreamCalls {
  /** Throws a SystemError. */
  epollCreate(): number;
  /** `data`: 8 bytes that come back with each event, as two halves. Throws a SystemError. */
  epollAdd(epoll: number, fd: number, events: number, low: number, high: number): void;
  epollChange(epoll: number, fd: number, events: number, low: number, high: number): void;
  epollRemove(epoll: number, fd: number): void;
  /** `events`: EPOLL_EVENT_BYTES for each of `max`. 0 on a time-out or a signal. Blocks the thread. */
  epollWait(epoll: number, events: number, max: number, timeoutMs: number): number;
  /** Does nothing for so long, or until a signal. Blocks the thread. */
  rest(us: number): void;
  listen(fd: number, backlog: number): number;
  /** Non-blocking, close-on-exec. Writes who dialled to `name` (SOCKADDR_MAX_BYTES, its size to `nameBytes`, a u32 set before). */
  accept(fd: number, name: number, nameBytes: number): number;
  getsockname(fd: number, name: number, nameBytes: number): number;
  recv(fd: number, at: number, length: number): number;
  /** MSG_NOSIGNAL. May take fewer. */
  send(fd: number, at: number, length: number): number;
  /** The same of a buffer. `more`: hold back what fills no segment, because more, or the FIN, follows at once. */
  sendBytes(fd: number, bytes: Uint8Array, more: boolean): number;
  /** Looks whether a byte waits to be read, and takes none; `at` has room for one. 0: the end. */
  peek(fd: number, at: number): number;
  /** SHUT_WR. */
  shutdown(fd: number): number;
  /** The pending error of a socket as an errno number, which is cleared; 0: none. */
  pendingError(fd: number): number;
  /** Makes the next close a RST. */
  lingerZero(fd: number): void;
  /**
   * Of a listener: connections are handed out once their first bytes, or their FIN, are there; a silent one a second later, with the
   * answer to the next SYN-ACK (Linux net/ipv4/tcp_minisocks.c `tcp_check_req`). Set before `connect`: the ACK that ends the handshake
   * goes with our first bytes, or alone 200 ms later (tcp_input.c `tcp_rcv_synsent_state_process`). Both spare a packet and a
   * wake-up with nothing to read. A kernel that knows no such thing goes without.
   */
  handshakeWithData(fd: number): void;
  /**
   * Makes a TCP socket one that can be dialled anew, if both sides have ended, all that was sent has been acknowledged, and nothing failed.
   * False: it is as it was, to be closed.
   */
  disconnect(fd: number): boolean;
  /** A pipe, non-blocking, close-on-exec; undefined on failure. */
  pipe(): { readonly reads: number; readonly writes: number } | undefined;
  /** What it holds from then on, maybe more than was asked for. */
  setPipeSize(fd: number, bytes: number): number;
  /** Moves up to `bytes` between a pipe and a socket, never waiting. A broken connection raises SIGPIPE, which node ignores. */
  splice(from: number, to: number, bytes: number): number;
  recvmmsg(fd: number, headers: number, count: number): number;
  sendmmsg(fd: number, headers: number, count: number): number;
}

/** What koffi makes of a prototype. */
type Bind = (prototype: string) => (...values: (number | Uint8Array)[]) => number;

/** Binds the calls. `address` is koffi's, `errno` names the last failure. */
export function bindStreamCalls(bind: Bind, address: (buffer: Uint8Array) => bigint, errno: () => string): StreamCalls {
  const raw = {
    epollCreate: bind('int epoll_create1(int)'),
    epollCtl: bind('int epoll_ctl(int, int, int, size_t)'),
    epollWait: bind('int epoll_wait(int, size_t, int, int)'),
    usleep: bind('int usleep(uint)'),
    listen: bind('int listen(int, int)'),
    accept: bind('int accept4(int, size_t, size_t, int)'),
    getsockname: bind('int getsockname(int, size_t, size_t)'),
    recv: bind('long recv(int, size_t, size_t, int)'),
    send: bind('long send(int, size_t, size_t, int)'),
    sendBytes: bind('long send(int, void *, size_t, int)'),
    shutdown: bind('int shutdown(int, int)'),
    connect: bind('int connect(int, size_t, uint)'),
    pipe: bind('int pipe2(size_t, int)'),
    fcntl: bind('int fcntl(int, int, int)'),
    splice: bind('long splice(int, size_t, int, size_t, size_t, uint)'),
    getsockopt: bind('int getsockopt(int, int, int, size_t, size_t)'),
    setsockopt: bind('int setsockopt(int, int, int, size_t, uint)'),
    recvmmsg: bind('int recvmmsg(int, size_t, uint, int, size_t)'),
    sendmmsg: bind('int sendmmsg(int, size_t, uint, int)'),
  };
  const scratch = Buffer.from(new ArrayBuffer(32));
  const scratchAt = Number(address(scratch));
  const control = (operation: number, epoll: number, fd: number, events: number, low: number, high: number): void => {
    scratch.writeUInt32LE(events >>> 0, 0);
    scratch.writeUInt32LE(low >>> 0, EPOLL_DATA_AT);
    scratch.writeUInt32LE(high >>> 0, EPOLL_DATA_AT + 4);
    if (raw.epollCtl(epoll, operation, fd, scratchAt) < 0) throw new SystemError('epoll_ctl', errno());
  };
  const pendingError = (fd: number): number => {
    scratch.writeInt32LE(0, 0);
    scratch.writeUInt32LE(4, 8);
    raw.getsockopt(fd, SOL_SOCKET, SO_ERROR, scratchAt, scratchAt + 8);
    return scratch.readInt32LE(0);
  };
  return {
    epollCreate() {
      const fd = raw.epollCreate(EPOLL_CLOEXEC);
      if (fd < 0) throw new SystemError('epoll_create1', errno());
      return fd;
    },
    epollAdd: (epoll, fd, events, low, high) => control(EPOLL_CTL_ADD, epoll, fd, events, low, high),
    epollChange: (epoll, fd, events, low, high) => control(EPOLL_CTL_MOD, epoll, fd, events, low, high),
    epollRemove: (epoll, fd) => void raw.epollCtl(epoll, EPOLL_CTL_DEL, fd, scratchAt),
    epollWait: (epoll, events, max, timeoutMs) => Math.max(0, raw.epollWait(epoll, events, max, timeoutMs)),
    rest: (us) => void raw.usleep(us),
    listen: (fd, backlog) => raw.listen(fd, backlog),
    accept: (fd, name, nameBytes) => raw.accept(fd, name, nameBytes, SOCK_NONBLOCK_CLOEXEC),
    getsockname: (fd, name, nameBytes) => raw.getsockname(fd, name, nameBytes),
    recv: (fd, at, length) => raw.recv(fd, at, length, 0),
    send: (fd, at, length) => raw.send(fd, at, length, MSG_DONTWAIT_NOSIGNAL),
    sendBytes: (fd, bytes, more) =>
      raw.sendBytes(fd, bytes, bytes.length, more ? MSG_DONTWAIT_NOSIGNAL | MSG_MORE : MSG_DONTWAIT_NOSIGNAL),
    peek: (fd, at) => raw.recv(fd, at, 1, MSG_PEEK),
    shutdown: (fd) => raw.shutdown(fd, SHUT_WR),
    pendingError,
    disconnect(fd) {
      scratch.writeUInt32LE(1, 8);
      if (raw.getsockopt(fd, IPPROTO_TCP, TCP_INFO, scratchAt, scratchAt + 8) < 0) return false;
      if (scratch[0] !== TCP_CLOSE || pendingError(fd) !== 0) return false;
      // AF_UNSPEC is 0.
      scratch.fill(0, 0, SOCKADDR_BYTES);
      return raw.connect(fd, scratchAt, SOCKADDR_BYTES) === 0;
    },
    pipe() {
      if (raw.pipe(scratchAt, PIPE_FLAGS) < 0) return undefined;
      return { reads: scratch.readInt32LE(0), writes: scratch.readInt32LE(4) };
    },
    setPipeSize: (fd, bytes) => raw.fcntl(fd, F_SETPIPE_SZ, bytes),
    splice: (from, to, bytes) => raw.splice(from, 0, to, 0, bytes, SPLICE_FLAGS),
    lingerZero(fd) {
      scratch.writeInt32LE(1, 0);
      scratch.writeInt32LE(0, 4);
      raw.setsockopt(fd, SOL_SOCKET, SO_LINGER, scratchAt, 8);
    },
    handshakeWithData(fd) {
      scratch.writeInt32LE(DEFER_SECONDS, 0);
      raw.setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, scratchAt, 4);
    },
    recvmmsg: (fd, headers, count) => raw.recvmmsg(fd, headers, count, 0x40, 0),
    sendmmsg: (fd, headers, count) => raw.sendmmsg(fd, headers, count, MSG_DONTWAIT_NOSIGNAL),
  };
}
