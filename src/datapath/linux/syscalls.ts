/**
 * The system calls that Node has no words for, through koffi (an FFI whose binary comes inside npm), loaded only where the Linux
 * engine runs. Sockets are plain file descriptors here: whoever opens one closes it.
 *
 * koffi passes a Buffer's memory itself, not a copy; an address taken with `address` does not keep its buffer alive.
 */
import { constants, endianness } from 'node:os';
import { StartError } from '../engine.ts';
import type { Md5 } from '../packet-look.ts';
import { bindMd5 } from './md5.ts';
import { bindStreamCalls, type StreamCalls } from './stream-calls.ts';
import { SystemError } from './system-error.ts';

export { SystemError } from './system-error.ts';

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
export const IPPROTO_RAW = 255;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_BINDTODEVICE = 25;
export const SO_ATTACH_FILTER = 26;
export const SO_DETACH_FILTER = 27;
export const SO_MARK = 36;
export const SO_MEMINFO = 55;

export const SOL_IP = 0;
export const IP_MTU = 14;
export const IP_TRANSPARENT = 19;
export const IP_RECVORIGDSTADDR = 20;
export const IP_NODEFRAG = 22;

export const SOL_IPV6 = 41;
export const IPV6_MTU = 24;
export const IPV6_V6ONLY = 26;
export const IPV6_RECVORIGDSTADDR = 74;
export const IPV6_TRANSPARENT = 75;

export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const POLLIN = 1;

const EFD_NONBLOCK_CLOEXEC = SOCK_NONBLOCK | SOCK_CLOEXEC;

const MADV_DONTNEED = 4;

/** Numbers of system calls. */
const [SCHED_SETATTR, SCHED_GETATTR] = process.arch === 'arm64' ? [274, 275] : [314, 315];

const LINUX_CAPABILITY_VERSION_3 = 0x2008_0522;

/** The architectures whose numbers and layouts these are (64 bits, little-endian). */
const ARCHITECTURES: ReadonlySet<string> = new Set(['x64', 'arm64']);

/** The calls; those that return a number give -1 for failure, `errno()` says why. */
export interface Syscalls {
  /** Non-blocking, close-on-exec. Throws a SystemError. */
  socket(family: number, type: number, protocol: number): number;
  /** Throws a SystemError. */
  setInt(fd: number, level: number, option: number, value: number): void;
  setBytes(fd: number, level: number, option: number, value: Uint8Array): void;
  /** Undefined on failure. */
  getInt(fd: number, level: number, option: number): number | undefined;
  /** Writes the option's value to `into`, as much as it has room for; returns the bytes written, undefined on failure. */
  getBytes(fd: number, level: number, option: number, into: Uint8Array): number | undefined;
  /** Throws a SystemError. `address` is a sockaddr (sockaddr.ts). */
  bind(fd: number, address: Uint8Array): void;
  connect(fd: number, address: Uint8Array): number;
  close(fd: number): void;
  recvmmsg(fd: number, headers: Uint8Array, count: number): number;
  sendto(fd: number, bytes: Uint8Array, length: number, address: Uint8Array): number;
  /** `fds`: pollfd records of 8 bytes. Returns how many are ready, 0 on a time-out or a signal. */
  poll(fds: Uint8Array, count: number, timeoutMs: number): number;
  eventfd(): number;
  /** Adds one to an eventfd, which wakes who polls it. */
  wake(fd: number): void;
  /** Empties an eventfd. */
  unwake(fd: number): void;
  /** Makes a permitted capability effective in this thread and in threads that it starts; false when it is not permitted. */
  raiseCapability(bit: number): boolean;
  /** The name of the last failure's errno, in this thread; and its number. */
  errno(): string;
  errnoNumber(): number;
  /** Epoll, connections and batches, for the engine's own loop. */
  readonly streams: StreamCalls;
  /** What node's own takes longer for; undefined where it cannot be had (md5.ts). */
  readonly md5: Md5 | undefined;
  /** The address of a buffer's memory; hold on to the buffer. */
  address(buffer: Uint8Array): bigint;
  /**
   * madvise MADV_DONTNEED: the pages of this part of the address space are no longer resident. Unchanged pages of a file come back when
   * they are used; anything else would lose its content. False: the kernel refused.
   */
  letGo(from: number, bytes: number): boolean;
  /** sched_getattr and sched_setattr of the calling thread; `attr` is a struct sched_attr. False: the kernel refused. */
  schedGet(attr: Uint8Array): boolean;
  schedSet(attr: Uint8Array): boolean;
}

/** Of two names of one number the first: EAGAIN, not EWOULDBLOCK. */
const ERRNO_NAMES = new Map(
  Object.entries(constants.errno)
    .map(([name, value]) => [value, name] as const)
    .reverse(),
);

/** Loads koffi and binds the calls. Rejects with a StartError that says what is missing. */
export async function loadSyscalls(): Promise<Syscalls> {
  if (process.platform !== 'linux') throw new StartError('not_linux', 'the Linux engine needs Linux');
  if (!ARCHITECTURES.has(process.arch) || endianness() !== 'LE') {
    throw new StartError('architecture', `the Linux engine runs on x64 and arm64, not on ${process.arch}`);
  }
  let koffi: typeof import('koffi');
  try {
    // A CommonJS package: its functions are on the default export, which its types do not mention.
    const loaded: unknown = await import('koffi');
    koffi = (loaded as { readonly default: typeof import('koffi') }).default;
  } catch (cause) {
    throw new StartError(
      'koffi_missing',
      'the Linux engine needs koffi and its binary for this platform (optional packages: install without --omit=optional)',
      { cause },
    );
  }
  return bindCalls(koffi);
}

function bindCalls(koffi: typeof import('koffi')): Syscalls {
  const libc = koffi.load(null);
  const raw = {
    socket: libc.func('int socket(int, int, int)'),
    setsockopt: libc.func('int setsockopt(int, int, int, void *, uint)'),
    getsockopt: libc.func('int getsockopt(int, int, int, void *, void *)'),
    bind: libc.func('int bind(int, void *, uint)'),
    connect: libc.func('int connect(int, void *, uint)'),
    close: libc.func('int close(int)'),
    recvmmsg: libc.func('int recvmmsg(int, void *, uint, int, void *)'),
    sendto: libc.func('long sendto(int, void *, ulong, int, void *, uint)'),
    poll: libc.func('int poll(void *, ulong, int)'),
    eventfd: libc.func('int eventfd(uint, int)'),
    read: libc.func('long read(int, void *, ulong)'),
    write: libc.func('long write(int, void *, ulong)'),
    capget: libc.func('int capget(void *, void *)'),
    capset: libc.func('int capset(void *, void *)'),
    madvise: libc.func('int madvise(ulong, ulong, int)'),
    // What libc has no name for everywhere.
    syscall: libc.func('long syscall(long, long, void *, ulong, ulong)'),
  };
  const errno = () => ERRNO_NAMES.get(koffi.errno()) ?? `errno ${koffi.errno()}`;
  const must = (call: string, result: number): number => {
    if (result < 0) throw new SystemError(call, errno());
    return result;
  };
  const int = Buffer.alloc(4);
  const length = Buffer.alloc(4);
  const counter = Buffer.alloc(8);
  return {
    errno,
    errnoNumber: () => koffi.errno(),
    streams: bindStreamCalls((prototype) => libc.func(prototype), koffi.address, errno),
    md5: bindMd5((prototype) => libc.func(prototype)),
    address: (buffer) => koffi.address(buffer),
    socket: (family, type, protocol) =>
      must('socket', raw.socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol)),
    setInt(fd, level, option, value) {
      int.writeInt32LE(value);
      must('setsockopt', raw.setsockopt(fd, level, option, int, int.length));
    },
    setBytes: (fd, level, option, value) => {
      must('setsockopt', raw.setsockopt(fd, level, option, value, value.length));
    },
    getInt(fd, level, option) {
      length.writeUInt32LE(int.length);
      return raw.getsockopt(fd, level, option, int, length) < 0 ? undefined : int.readInt32LE();
    },
    getBytes(fd, level, option, into) {
      length.writeUInt32LE(into.length);
      return raw.getsockopt(fd, level, option, into, length) < 0 ? undefined : length.readUInt32LE();
    },
    bind: (fd, address) => {
      must('bind', raw.bind(fd, address, address.length));
    },
    connect: (fd, address) => raw.connect(fd, address, address.length),
    close: (fd) => {
      raw.close(fd);
    },
    recvmmsg: (fd, headers, count) => raw.recvmmsg(fd, headers, count, MSG_DONTWAIT, null),
    sendto: (fd, bytes, size, address) =>
      raw.sendto(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length),
    poll: (fds, count, timeoutMs) => Math.max(0, raw.poll(fds, count, timeoutMs)),
    eventfd: () => must('eventfd', raw.eventfd(0, EFD_NONBLOCK_CLOEXEC)),
    wake(fd) {
      counter.writeBigUInt64LE(1n);
      raw.write(fd, counter, counter.length);
    },
    raiseCapability: (bit) => raiseCapability(raw.capget, raw.capset, bit),
    unwake: (fd) => {
      raw.read(fd, counter, counter.length);
    },
    letGo: (from, bytes) => raw.madvise(from, bytes, MADV_DONTNEED) === 0,
    schedGet: (attr) => raw.syscall(SCHED_GETATTR, 0, attr, attr.length, 0) === 0,
    schedSet: (attr) => raw.syscall(SCHED_SETATTR, 0, attr, 0, 0) === 0,
  };
}

/** cap_user_header {version u32, pid i32}; cap_user_data {effective, permitted, inheritable: u32} for each 32 capabilities. */
function raiseCapability(
  capget: (header: Buffer, data: Buffer) => number,
  capset: (header: Buffer, data: Buffer) => number,
  bit: number,
): boolean {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(LINUX_CAPABILITY_VERSION_3);
  const data = Buffer.alloc(24);
  if (capget(header, data) < 0) return false;
  const at = (bit >> 5) * 12;
  data.writeUInt32LE((data.readUInt32LE(at) | (1 << (bit & 31))) >>> 0, at);
  return capset(header, data) === 0;
}
