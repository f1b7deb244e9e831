/** Opening the other side of an exchange, bounded in time. */
import type { AppHealth } from './app-health.ts';
import type { AcceptedStream, FenceContext, StreamSettings } from './engine.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { reset } from './relay.ts';
import type { StreamSocket } from './socket.ts';
import type { Timers } from './timers.ts';

interface DialParts {
  readonly context: FenceContext;
  readonly settings: StreamSettings;
  readonly health: AppHealth;
  readonly timers: Timers;
}

/** Dials; where that fails the dialler's socket is reset, the fault counted, and undefined given if not even a socket could be had. */
export function dialOther(
  parts: DialParts,
  stream: AcceptedStream,
  record: ExchangeRecord,
  dialler: StreamSocket,
): StreamSocket | undefined {
  const { connectTimeoutMs } = parts.settings.limits;
  const inbound = stream.direction === 'inbound';
  const onUnreachable = (why: string): void => {
    parts.context.tally.dropped(inbound ? 'app_unreachable' : 'peer_unreachable');
    if (inbound) parts.health.failed(why);
    reset(dialler);
  };
  let upstream: StreamSocket;
  try {
    upstream = stream.dial();
  } catch (cause) {
    onUnreachable(cause instanceof Error ? cause.message : 'no socket could be opened');
    return undefined;
  }
  const timer = parts.timers.set(connectTimeoutMs, () => {
    upstream.destroy(new Error(`no connection within ${connectTimeoutMs} ms`));
  });
  upstream.on('connect', () => {
    timer.clear();
    if (inbound) parts.health.connected();
    record.connected();
  });
  upstream.on('error', (error) => {
    if (!record.isConnected()) onUnreachable(error.message);
  });
  upstream.on('close', () => timer.clear());
  return upstream;
}
