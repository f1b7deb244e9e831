/** How connections end: reset, and what the end that a socket reports really is. */
import type { Resettable, StreamSocket } from './socket.ts';

const NO_BYTES = Buffer.alloc(0);

/**
 * Resets a connection (RST), and only closes it where it is not yet one. So too while its FIN is on the way: all its bytes are written
 * then, and libuv (uv_tcp_close_reset) would refuse with EINVAL and leave the socket open for good.
 */
export function reset(socket: Resettable): void {
  if (socket.destroyed) return;
  const finOnTheWay = socket.writableEnded && !socket.writableFinished;
  if (socket.connecting || finOnTheWay) socket.destroy();
  else socket.resetAndDestroy();
}

/** Whose end is asked for (confirmFin). */
type FinSource = Pick<StreamSocket, 'writableEnded' | 'destroyed' | 'endIsFin' | 'write'>;

/**
 * Calls `onFin` if the end that `socket` reported is a FIN. libuv reports a reset as an orderly end when it arrives together with
 * data (uv__stream_io, POLLHUP after a partial read), but the kernel still knows: then writing nothing fails, and the socket
 * gives its 'error' instead. Once our own side has ended nothing can be written, and the end is taken at its word. So is that of a
 * socket whose end is a FIN and nothing else: a raw one, or TLS's (tls-socket.ts), whose peer may be gone by then for good reason.
 */
export function confirmFin(socket: FinSource, onFin: () => void): void {
  if (socket.writableEnded || socket.destroyed || socket.endIsFin === true) onFin();
  else {
    socket.write(NO_BYTES, (error) => {
      if (!error) onFin();
    });
  }
}
