/**
 * TLS over one connection of the fence, as server and as client, so that relay.ts's promise holds inside TLS too: only what its
 * writer ended looks ended.
 *
 * node reports a bare FIN under TLS as an orderly end, although a stranger can forge it and Go's crypto/tls calls it unexpected (conn.go
 * `Read`); dskit would deliver what it cut. So the ciphertext passes through a stream of ours that keeps the connection's end to
 * itself: a TLS socket made here ends on close_notify alone, and every other end is its 'error'. What follows a close_notify is no
 * matter: Go's diallers close without reading the server's session tickets, and Linux turns that into a reset.
 *
 * For the same reason a server of TLS 1.3 here keeps its session tickets until there is something to say: a connection whose dialler has
 * closed is reset by them, the next write fails, and node throws away what had arrived and was not read yet.
 *
 * Each write becomes TLS records of its own, never shared with the next: Alertmanager loses what shares one with the end of a frame.
 */
import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect, type PeerCertificate, type SecureContext, TLSSocket } from 'node:tls';
import { Ciphertext } from './ciphertext.ts';
import { reset } from './endings.ts';

/** What of a server's certificate is checked: chain and name, the chain alone, or nothing. */
export type VerifyServer = 'name' | 'chain' | 'none';

/** Certificates of now, and what is asked of others'. */
export interface TlsTerms {
  /** The fence's own certificate and key and the CA; asked for every connection, because files are read again. */
  context(): SecureContext;
  /** Whether diallers must show a certificate that the CA vouches for. */
  readonly clientAuth: boolean;
  readonly verifyServer: VerifyServer;
  /** The name that every member's certificate carries; empty: the name that the dialler asked for, or the address. */
  readonly serverName: string;
}

/** A TLS socket over `raw`, made by `make`, that keeps the promises above. */
function secured(raw: Socket, make: (ciphertext: Ciphertext) => TLSSocket): TLSSocket {
  let noticed = false;
  const ciphertext = new Ciphertext(raw, (why) => {
    if (!noticed) tls.destroy(why ?? new Error('the connection ended without close_notify'));
    else if (why !== undefined) afterEnd(tls, () => tls.destroy());
  });
  const tls = make(ciphertext);
  ciphertext.watch();
  const push = tls.push.bind(tls);
  tls.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    noticed ||= chunk === null;
    return push(chunk, encoding);
  };
  // Known to relay.ts: it ends on an authenticated close_notify alone.
  Object.defineProperty(tls, 'endIsFin', { value: true });
  // node knows only of connections without TLS how to reset one.
  tls.resetAndDestroy = () => {
    reset(raw);
    return tls.destroy();
  };
  // Without it node joins the writes that wait for each other.
  Object.defineProperty(tls, '_writev', { value: null });
  return tls;
}

/** Once the reader has seen the end and could act on it. */
function afterEnd(tls: TLSSocket, act: () => void): void {
  if (tls.readableEnded) act();
  else tls.once('end', () => process.nextTick(act));
}

/** Why a handshake failed: an error code of node's or OpenSSL's, or a few words of ours; safe in any line. */
export type TlsCause = string;

/** A code and not a message: messages may repeat what a stranger sent. */
export function causeOf(error: unknown): TlsCause {
  const { code = '' } = error as NodeJS.ErrnoException;
  return /^[A-Z0-9_]{1,80}$/.test(code) ? code : CLOSED;
}

const CLOSED = 'connection closed';

/**
 * Serves TLS to whoever dialled `raw` (paused, whose first byte is known to be a TLS record's). One of the callbacks is called, once;
 * after `onFailed` the connection is closed. At least TLS 1.2 (the context says so); without renegotiation.
 */
export function serveTls(
  raw: Socket,
  terms: TlsTerms,
  onSecure: (tls: TLSSocket) => void,
  onFailed: (cause: TlsCause) => void,
): TLSSocket {
  const { clientAuth } = terms;
  const tls = secured(raw, (ciphertext) => {
    const server = new TLSSocket(ciphertext as unknown as Socket, {
      isServer: true,
      secureContext: terms.context(),
      requestCert: clientAuth,
      rejectUnauthorized: clientAuth,
    });
    keepTickets(server, ciphertext);
    return server;
  });
  tls.disableRenegotiation();
  let settled = false;
  const fail = (cause: TlsCause): void => {
    if (settled) return;
    settled = true;
    tls.resetAndDestroy();
    onFailed(cause);
  };
  // node tells what goes wrong inside TLS in this event, and as an 'error' only for sockets that its own server accepted.
  tls.on('_tlsError', (error: Error) => tls.destroy(error));
  tls.on('error', (error) => fail(causeOf(error)));
  tls.on('close', () => fail(CLOSED));
  tls.on('secure', () => {
    const refused = clientAuth ? refusalOf(tls) : undefined;
    if (refused !== undefined) fail(refused);
    else if (!settled) {
      settled = true;
      onSecure(tls);
    }
  });
  return tls;
}

/** Under TLS 1.2 the server has the last word of the handshake, and the dialler waits for it. */
function keepTickets(tls: TLSSocket, ciphertext: Ciphertext): void {
  const write = tls._write.bind(tls);
  const final = tls._final.bind(tls);
  tls.once('secure', () => {
    if (tls.getProtocol() === 'TLSv1.3') ciphertext.keep();
  });
  tls._write = (chunk, encoding, done) => {
    ciphertext.release();
    write(chunk, encoding, done);
  };
  tls._final = (done) => {
    ciphertext.release();
    final(done);
  };
}

/**
 * Why the dialler's certificate is not accepted. node's own server asks the same internal function, and offers no other way to a socket
 * that it did not accept itself; where it should be missing one day, nobody is accepted.
 */
function refusalOf(tls: TLSSocket): TlsCause | undefined {
  if (tls.getPeerX509Certificate() === undefined) return 'no client certificate';
  const { _handle: handle } = tls as unknown as { _handle?: { verifyError?(): Error | null | undefined } };
  if (typeof handle?.verifyError !== 'function') return 'unverifiable';
  const error = handle.verifyError();
  return error ? causeOf(error) : undefined;
}

/** What a connection of ours asks of the server. */
export interface ServerCheck {
  /** Sent as SNI, which is never an address; empty: none. */
  readonly sni: string;
  /** The name or address that the certificate must carry; undefined: it may carry any. */
  readonly name: string | undefined;
}

/**
 * Speaks TLS as a client over `raw`, which may still be connecting. The socket emits 'connect' once the server's certificate is
 * accepted, and 'error' when anything fails before or after. Written bytes wait for that.
 */
export function dialTls(raw: Socket, terms: TlsTerms, { sni, name }: ServerCheck): TLSSocket {
  const tls = secured(raw, (ciphertext) =>
    connect({
      socket: ciphertext,
      secureContext: terms.context(),
      servername: isIP(sni) === 0 ? sni : '',
      rejectUnauthorized: terms.verifyServer !== 'none',
      checkServerIdentity: (_host, certificate) => (name === undefined ? undefined : checkName(name, certificate)),
    }),
  );
  tls.once('secureConnect', () => tls.emit('connect'));
  return tls;
}

/** As Go does, by the subject's alternative names alone; node would also take a common name. */
function checkName(name: string, certificate: PeerCertificate): Error | undefined {
  if (certificate.subjectaltname !== undefined) return checkServerIdentity(name, certificate);
  return Object.assign(new Error('the certificate has no alternative names'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
}
