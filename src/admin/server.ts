/** The admin server: node:http around the routes, with every bound named. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Endpoint } from '../datapath/engine.ts';
import { formatEndpoint } from '../wire/address.ts';
import { type AdminResponse, failure } from './http.ts';
import { route } from './routes.ts';
import type { AdminView } from './view.ts';

/** A request for a stage is far below it. */
export const BODY_MAX_BYTES = 4 * 1024;
const HEADER_MAX_BYTES = 8 * 1024;
const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 5_000;
export const CONNECTIONS_MAX = 128;
/** Of one client address: whoever sits on connections must not keep the probes of /healthz and /readyz out. */
export const CONNECTIONS_PER_CLIENT_MAX = 32;

export interface AdminServer {
  /** Where it listens. */
  readonly address: Endpoint;
  /** Ends it, open connections included. */
  stop(): Promise<void>;
}

/** Why the API could not open, for one line to the operator. */
export class AdminStartError extends Error {
  override readonly name = 'AdminStartError';
}

export interface AdminOptions {
  readonly address: Endpoint;
  readonly writeToken: string;
}

/** Opens the admin API. Rejects with an AdminStartError that names the address. */
export async function startAdmin(view: AdminView, options: AdminOptions): Promise<AdminServer> {
  const server = createServer(
    {
      maxHeaderSize: HEADER_MAX_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) => void handle(view, options.writeToken, request, response),
  );
  server.maxConnections = CONNECTIONS_MAX;
  boundEachClient(server);
  await listen(server, options.address);
  const bound = server.address();
  const port = bound !== null && typeof bound === 'object' ? bound.port : options.address.port;
  return {
    address: { address: options.address.address, port },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function boundEachClient(server: Server): void {
  // At most CONNECTIONS_MAX entries: an address goes with its last connection.
  const open = new Map<string, number>();
  server.on('connection', (socket) => {
    const client = socket.remoteAddress ?? '';
    const count = open.get(client) ?? 0;
    if (count >= CONNECTIONS_PER_CLIENT_MAX) {
      socket.destroy();
      return;
    }
    open.set(client, count + 1);
    socket.once('close', () => {
      const left = (open.get(client) ?? 1) - 1;
      if (left > 0) open.set(client, left);
      else open.delete(client);
    });
  });
}

function listen(server: Server, { address, port }: Endpoint): Promise<void> {
  const where = formatEndpoint({ address, port });
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => {
      const code = error.code ?? 'unknown';
      reject(
        new AdminStartError(`the admin API cannot listen on ${where}: ${LISTEN_ERRORS[code] ?? code}`, {
          cause: error,
        }),
      );
    };
    server.once('error', fail);
    server.listen({ host: address, port }, () => {
      server.off('error', fail);
      // Errors of single connections do not arrive here; one of the listener (out of descriptors) ends nothing.
      server.on('error', () => {});
      resolve();
    });
  });
}

const LISTEN_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use (EADDRINUSE)',
  EACCES: 'permission denied (EACCES)',
  EADDRNOTAVAIL: 'this host does not have that address (EADDRNOTAVAIL)',
};

async function handle(
  view: AdminView,
  writeToken: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  request.on('error', () => response.destroy());
  response.on('error', () => response.destroy());
  let answer: AdminResponse;
  try {
    answer = await respond(view, writeToken, request);
  } catch {
    answer = failure(500, 'the request could not be answered');
  }
  if (response.destroyed) return;
  // What is left of a body that was too long is not read: the connection ends with the answer.
  const close = request.complete ? {} : { connection: 'close' };
  response.writeHead(answer.status, {
    ...answer.headers,
    ...close,
    'content-type': answer.contentType,
    'content-length': Buffer.byteLength(answer.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

async function respond(view: AdminView, writeToken: string, request: IncomingMessage): Promise<AdminResponse> {
  const target = request.url ?? '/';
  if (!target.startsWith('/')) return failure(400, 'the request target must be a path');
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1));
  const body = await readBody(request);
  if (body === undefined) return failure(413, `a body has at most ${BODY_MAX_BYTES} bytes`);
  const { 'content-type': contentType, authorization, host, origin } = request.headers;
  return route(
    view,
    {
      method: request.method ?? 'GET',
      path,
      query,
      headers: { contentType, authorization, host, origin },
      body,
      remoteAddress: (request.socket.remoteAddress ?? '').replace(/%.*$/, ''),
    },
    writeToken,
  );
}

/** The whole body, or undefined when it is too long. requestTimeout bounds the wait. */
function readBody(request: IncomingMessage): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > BODY_MAX_BYTES) {
        request.pause();
        resolve(undefined);
      } else chunks.push(chunk);
    });
    request.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    request.on('close', () => reject(new Error('the request ended early')));
  });
}
