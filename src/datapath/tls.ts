/**
 * A connection of a TLS transport: the fence is the server of whoever dialled and the client of the other side, so that the label
 * inside is read and enforced. The same in both directions and in every stage: `observe` too has to open TLS to observe anything.
 *
 * What is verified follows Go's members (dskit crypto/tls, Alertmanager's exporter-toolkit): a server shows its certificate for the name
 * that was asked for, a client its own where it is demanded. Towards a peer the fence asks for the name that the app asked
 * for, as SNI and to be verified. The app itself it finds by its address, so only the chain is verified, and the name where one
 * is configured; a stranger's SNI goes no further: Go refuses what it cannot read (a trailing dot), and what a stranger asks for must not
 * decide whether the app counts as reachable.
 */
import type { Socket } from 'node:net';
import type { Direction } from '../policy/facts.ts';
import type { LimitedReason } from '../policy/reason.ts';
import type { Where } from '../policy/tally.ts';
import { formatEndpoint } from '../wire/address.ts';
import type { MalformedReason } from '../wire/reason.ts';
import { reset } from './endings.ts';
import type { AcceptedStream, FenceContext, StreamSettings } from './engine.ts';
import { judge, refuseUnread } from './judge.ts';
import type { Connection } from './streams.ts';
import { causeOf, dialTls, type ServerCheck, serveTls, type TlsCause, type TlsTerms } from './tls-socket.ts';

/** TLS record type "handshake": the first byte of every TLS connection. */
const TLS_HANDSHAKE = 22;

/** Quiet time before the kernel asks whether the other side is still there, as Go's dialler has it: packet connections have no other bound. */
const KEEP_ALIVE_MS = 15_000;

const NO_BYTES = new Uint8Array(0);

export interface TlsConnectionParts {
  readonly context: FenceContext;
  readonly settings: StreamSettings;
  readonly terms: TlsTerms;
  /** Makes what speaks inside: the socket is a TLS socket, and `stream.dial` opens TLS to the other side. */
  inner(socket: Socket, stream: AcceptedStream<Socket>): Connection;
}

export class TlsConnection implements Connection {
  readonly #parts: TlsConnectionParts;
  readonly #raw: Socket;
  readonly #stream: AcceptedStream<Socket>;
  #inner: Connection | undefined;
  #done: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `raw` is paused, as Streams.accept demands. */
  constructor(parts: TlsConnectionParts, raw: Socket, stream: AcceptedStream<Socket>) {
    this.#parts = parts;
    this.#raw = raw;
    this.#stream = stream;
  }

  start(onDone: () => void): void {
    const raw = this.#raw;
    this.#done = onDone;
    raw.setKeepAlive(true, KEEP_ALIVE_MS);
    raw.on('close', () => {
      clearTimeout(this.#timer);
      if (this.#inner === undefined) this.#finish();
    });
    // A connection that never sends a byte is a probe, no frame.
    this.#timer = setTimeout(() => raw.destroy(), this.#parts.settings.limits.headerTimeoutMs);
    raw.once('end', () => {
      if (this.#inner === undefined && raw.bytesRead === 0) raw.destroy();
    });
    raw.once('data', (chunk: Buffer) => {
      raw.pause();
      if (chunk[0] === TLS_HANDSHAKE) this.#handshake(chunk);
      else this.#plaintext(chunk.length);
    });
    raw.resume();
  }

  cut(): void {
    if (this.#inner !== undefined) this.#inner.cut();
    else reset(this.#raw);
  }

  #finish(): void {
    this.#done?.();
    this.#done = undefined;
  }

  #handshake(first: Buffer): void {
    const { terms, settings } = this.#parts;
    const raw = this.#raw;
    raw.unshift(first);
    let late = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      late = true;
      reset(raw);
    }, settings.limits.headerTimeoutMs);
    serveTls(
      raw,
      terms,
      (tls) => {
        clearTimeout(this.#timer);
        this.#inner = this.#parts.inner(tls, this.#inside(tls.servername || ''));
        this.#inner.start(() => this.#finish());
      },
      (cause) => this.#failed(late ? 'timed out' : cause),
    );
  }

  /** The same stream, one layer further in. `sni`: the name that the dialler asked for. */
  #inside(sni: string): AcceptedStream<Socket> {
    const { terms } = this.#parts;
    const { direction, peer } = this.#stream;
    return {
      direction,
      peer,
      dial: () => {
        const raw = this.#stream.dial().setKeepAlive(true, KEEP_ALIVE_MS);
        const tls = dialTls(raw, terms, serverCheck(terms, direction, sni, peer.address));
        tls.on('error', (error) => this.#refused(causeOf(error)));
        return tls;
      },
    };
  }

  /** The other side's server was not accepted, or did not accept us. Failures of the connection itself are the exchange's to tell. */
  #refused(cause: TlsCause): void {
    if (!isTlsCause(cause)) return;
    const { context } = this.#parts;
    const { direction, peer } = this.#stream;
    const side = direction === 'inbound' ? 'the app' : `the peer ${formatEndpoint(peer)}`;
    context.onFault({ code: `tls_failed_${direction}`, message: `TLS with ${side} failed: ${cause}` });
    if (direction === 'outbound') this.#reject('tls_handshake_failed');
  }

  #failed(cause: TlsCause): void {
    const { direction, peer } = this.#stream;
    this.#reject('tls_handshake_failed');
    const side = direction === 'outbound' ? 'the app' : `the peer ${formatEndpoint(peer)}`;
    this.#parts.context.onFault({
      code: `tls_handshake_failed_${direction}`,
      message: `${side} could not open TLS to this fence: ${cause}`,
    });
  }

  /** TLS that was never opened: as little is known of it as of TLS that is not terminated. */
  #reject(reason: LimitedReason): void {
    const { direction, peer } = this.#stream;
    const bytes = this.#raw.bytesRead;
    const frame = { direction, transport: 'tls', kind: 'stream', labelState: 'opaque', peer, bytes } as const;
    refuseUnread(this.#parts.context, frame, reason);
  }

  /** In `observe` too: whoever expects TLS can do nothing with it. */
  #plaintext(bytes: number): void {
    const { context } = this.#parts;
    const { direction, peer } = this.#stream;
    const state: MalformedReason = 'stream_unknown_type';
    const where: Where = { direction, transport: 'unknown', kind: 'stream' };
    const decision = judge(context, { ...where, state, peer, label: NO_BYTES, bytes, handshake: true });
    // Judged as passing in `observe` alone.
    if (decision.verdict === 'pass') context.tally.cut(where, state);
    reset(this.#raw);
  }
}

/** Codes of OpenSSL, of node's TLS and of certificate verification; not those of connections, such as ECONNREFUSED. */
function isTlsCause(cause: TlsCause): boolean {
  // OpenSSL's errors have this code, and not their own, where bytes wait to be written.
  if (cause === 'EPROTO') return true;
  return !/^E[A-Z]+$/.test(cause) && /^[A-Z0-9_]+$/.test(cause);
}

function serverCheck(terms: TlsTerms, direction: Direction, sni: string, peerAddress: string): ServerCheck {
  const asked = terms.serverName || (direction === 'outbound' ? sni : '');
  const name = asked || (direction === 'outbound' ? peerAddress : undefined);
  return { sni: asked, name: terms.verifyServer === 'name' ? name : undefined };
}
