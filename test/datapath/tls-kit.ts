/** Both ends of TLS around a fence: what dials, and what the fence dials, each telling a clean end from a broken one. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls';
import { serveTls, type TlsTerms } from '../../src/datapath/tls-socket.ts';
import { type Authority, createAuthority, type Issued } from '../lab/certificates.ts';
import { type Ending, type Recorded, until } from './harness.ts';

export interface Certificates {
  readonly authority: Authority;
  readonly stranger: Authority;
  /** Of the fence, of the member that it guards or dials, of one under another name, and of a stranger's authority. */
  readonly fence: Issued;
  readonly member: Issued;
  readonly nameless: Issued;
  readonly foreign: Issued;
  remove(): void;
}

export function makeCertificates(): Certificates {
  const dir = mkdtempSync(join(tmpdir(), 'ringfence-tls-'));
  const authority = createAuthority(dir, 'ca');
  const stranger = createAuthority(dir, 'stranger');
  return {
    authority,
    stranger,
    fence: authority.issue('fence', ['127.0.0.1', 'member.test']),
    member: authority.issue('member', ['127.0.0.1', 'member.test']),
    nameless: authority.issue('nameless', []),
    foreign: stranger.issue('foreign', ['127.0.0.1', 'member.test']),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

export function termsOf(own: Issued, authority: Authority, terms: Partial<TlsTerms> = {}): TlsTerms {
  const context = createSecureContext({ cert: own.cert, key: own.key, ca: authority.cert, minVersion: 'TLSv1.2' });
  return { context: () => context, clientAuth: true, verifyServer: 'name', serverName: '', ...terms };
}

/** Records what arrives; unlike node's own TLS, `serveTls` reports an end without close_notify as an error. */
export function recordTls(socket: Socket): Recorded {
  const chunks: Buffer[] = [];
  let ending: Ending = 'open';
  const end = (how: Ending) => {
    if (ending === 'open') ending = how;
  };
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => end('reset'));
  socket.on('end', () => end('fin'));
  socket.on('close', () => end('reset'));
  return {
    socket,
    from: undefined,
    chunks,
    received: () => Buffer.concat(chunks),
    ending: () => ending,
    async ended() {
      await until('the end of a TLS connection', () => ending !== 'open');
      return ending;
    },
  };
}

export interface TlsRecorder {
  readonly server: Server;
  readonly port: number;
  readonly connections: (Recorded & { readonly name: string; readonly servername: string })[];
  /** Handshakes that failed, with their causes. */
  readonly failures: string[];
  close(): void;
}

/** A member that takes TLS. */
export async function startTlsRecorder(
  terms: TlsTerms,
  onConnection: (recorded: Recorded) => void = () => undefined,
): Promise<TlsRecorder> {
  const connections: TlsRecorder['connections'] = [];
  const failures: string[] = [];
  const raws = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (raw) => {
    raws.add(raw);
    const secure = (tls: TLSSocket) => {
      const { subject } = tls.getPeerCertificate();
      const recorded = { ...recordTls(tls), name: `${subject?.CN}`, servername: tls.servername || '' };
      connections.push(recorded);
      onConnection(recorded);
    };
    serveTls(raw, terms, secure, (cause) => failures.push(cause));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    server,
    port: (server.address() as AddressInfo).port,
    connections,
    failures,
    close() {
      for (const raw of raws) raw.destroy();
      server.close();
    },
  };
}

export interface TlsDialler extends Recorded {
  readonly tls: TLSSocket;
  readonly raw: Socket;
}

/** Opens TLS with node's own client; resolves when the handshake is done or has failed, which under TLS 1.3 can be told later. */
export async function dialSecure(port: number, options: ConnectionOptions): Promise<TlsDialler> {
  const raw = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  raw.on('error', () => undefined);
  const tls = connectTls({ socket: raw, servername: 'member.test', ...options });
  const recorded = recordTls(tls);
  let secure = false;
  tls.once('secureConnect', () => {
    secure = true;
  });
  await until('TLS', () => secure || recorded.ending() !== 'open');
  return { ...recorded, tls, raw };
}
