/** Connections of an engine fence that this thread carries, because they need node: TLS that ends here, and Alertmanager's. */
import { readFileSync } from 'node:fs';
import type { AppHealth } from '../app-health.ts';
import { type Endpoint, type FenceContext, StartError } from '../engine.ts';
import type { ListenOptions, TransparentOptions } from '../options.ts';
import type { Streams } from '../streams.ts';
import { CELL, type Cells } from './cells.ts';
import type { EngineFence } from './engine-fence.ts';
import { CAP_NET_RAW, hasCapability } from './host-checks.ts';
import { NET_RAW_MISSING } from './proxy-sockets.ts';
import { loadSyscalls, type Syscalls } from './syscalls.ts';

export interface NodeSide {
  counts: Streams['counts'];
  /** Resets every open stream; returns how many there were, and what resolves when all have closed. */
  stop(): { readonly cut: number; readonly closed: Promise<void> };
}

/** Open streams of a fence, wherever they are carried. */
export function openStreams(here: NodeSide | undefined, cells: Cells): ReturnType<Streams['counts']> {
  return here?.counts() ?? { inbound: cells.get(CELL.streamsInbound), outbound: cells.get(CELL.streamsOutbound) };
}

/** Binds TCP here and has `openThread` take the same port for UDP. Rejects as bindBoth does. */
export async function listenHere(
  context: FenceContext,
  { listen, app, streams: settings }: ListenOptions,
  health: AppHealth,
  openThread: (at: Endpoint) => Promise<EngineFence>,
): Promise<NodeSide> {
  const [{ bindStreamsAnd }, { createNodeStreams }, { listenFaults, serveStreams }] = await Promise.all([
    import('../bind.ts'),
    import('../node-streams.ts'),
    import('../serve-streams.ts'),
  ]);
  const { tcp, at } = await bindStreamsAnd(listen, openThread);
  const streams = createNodeStreams(context, settings, health);
  const close = serveStreams(tcp, { streams, app, onFault: listenFaults(context, at) });
  const stop = () => {
    const closed = close();
    return { cut: streams.stop(), closed };
  };
  return { counts: streams.counts, stop };
}

/** Takes intercepted connections. Rejects with a StartError. */
export async function interceptHere(
  context: FenceContext,
  options: TransparentOptions & { readonly ipv6: boolean },
  health: AppHealth,
): Promise<NodeSide> {
  const [
    { createNodeStreams },
    { nodeDiallers },
    { createInterceptedStreams },
    { listenForStreams },
    { createPeerBinder },
  ] = await Promise.all([
    import('../node-streams.ts'),
    import('./dial.ts'),
    import('./intercepted-streams.ts'),
    import('./listener.ts'),
    import('./peer-bind.ts'),
  ]);
  const calls = await loadSyscalls();
  takeNetRaw(calls);
  const streams = createNodeStreams(context, options.streams, health);
  const diallers = nodeDiallers(createPeerBinder(calls, Math.random()));
  const onStream = createInterceptedStreams(context, { ...options, diallers, streams });
  const listener = await listenForStreams(calls, options, onStream);
  const stop = () => {
    listener.close();
    return { cut: streams.stop(), closed: Promise.resolve() };
  };
  return { counts: streams.counts, stop };
}

/** A file capability may be permitted and not effective, so that node starts where a container does not grant it. */
function takeNetRaw(calls: Syscalls): void {
  if (hasCapability(readFileSync('/proc/self/status', 'utf8'), CAP_NET_RAW)) return;
  if (!calls.raiseCapability(CAP_NET_RAW)) throw new StartError('no_net_raw', NET_RAW_MISSING);
}
