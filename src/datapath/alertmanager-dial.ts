/** Opening the other side of a connection of Alertmanager packets. */
import type { Socket } from 'node:net';
import type { AppHealth } from './app-health.ts';
import type { AcceptedStream, FenceContext, StreamSettings } from './engine.ts';

export interface PacketDial {
  readonly context: FenceContext;
  readonly settings: StreamSettings;
  readonly health: AppHealth;
}

export interface PacketDialEvents {
  /** It takes more again. */
  onDrain(): void;
  /** It ended, failed or never opened: the sender has to dial again. */
  onGone(): void;
}

/** Dials, bounded in time; a side that cannot be reached is counted. Undefined, after `onGone`, if not even a socket could be had. */
export function dialForPackets(
  { context, settings, health }: PacketDial,
  stream: AcceptedStream<Socket>,
  { onDrain, onGone }: PacketDialEvents,
): Socket | undefined {
  const inbound = stream.direction === 'inbound';
  let connected = false;
  const unreachable = (why: string): void => {
    context.tally.dropped(inbound ? 'app_unreachable' : 'peer_unreachable');
    if (inbound) health.failed(why);
  };
  let upstream: Socket;
  try {
    upstream = stream.dial();
  } catch (cause) {
    unreachable(cause instanceof Error ? cause.message : 'no socket could be opened');
    onGone();
    return undefined;
  }
  const { connectTimeoutMs } = settings.limits;
  const late = new Error(`no connection within ${connectTimeoutMs} ms`);
  const timer = setTimeout(() => upstream.destroy(late), connectTimeoutMs);
  upstream.on('connect', () => {
    clearTimeout(timer);
    connected = true;
    if (inbound) health.connected();
  });
  upstream.on('error', (error) => {
    if (!connected) unreachable(error.message);
  });
  upstream.on('drain', onDrain);
  upstream.on('close', () => {
    clearTimeout(timer);
    onGone();
  });
  // Nothing is ever answered; reading is how an end is noticed.
  upstream.on('end', onGone);
  upstream.resume();
  return upstream;
}
