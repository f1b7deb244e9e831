/**
 * Whether to ask the kernel for one more session's port. Sessions, and all else that is bound without an address, share the ports of a
 * network namespace (28,232 by default). Once all are taken the kernel searches milliseconds in vain, for every datagram of a peer
 * without a session, and whoever has one would wait for that.
 */
import type { FenceContext } from './engine.ts';

/** After a search in vain nobody new is given a session for so long, ms. */
export const SEARCH_PAUSE_MS = 100;

/** What connect and bind say when no port is left. */
const PORTLESS: ReadonlySet<string> = new Set(['EAGAIN', 'EADDRINUSE']);

export class PortSearch {
  readonly #context: Pick<FenceContext, 'tally' | 'onFault'>;
  #untilMs = Number.NEGATIVE_INFINITY;

  constructor(context: Pick<FenceContext, 'tally' | 'onFault'>) {
    this.#context = context;
  }

  /** Whether a search may find one; a packet that needs it is counted as dropped when not. */
  hopes(nowMs: number): boolean {
    if (nowMs >= this.#untilMs) return true;
    this.#context.tally.dropped('send_failed');
    return false;
  }

  /** A session could not be opened, because of `errno`. */
  failed(errno: string | undefined, nowMs: number): void {
    if (!PORTLESS.has(errno ?? '')) return;
    this.#untilMs = nowMs + SEARCH_PAUSE_MS;
    const what = 'no port is left for sessions to the app (net.ipv4.ip_local_port_range)';
    this.#context.onFault({ code: 'ports_exhausted', message: `${what}: packets of further peers are dropped` });
  }
}
