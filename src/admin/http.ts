/** A request and a response as values, so that every route is tested without a socket. */

export interface AdminRequest {
  readonly method: string;
  /** The path alone, starting with a slash. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** The headers that a route reads. */
  readonly headers: {
    readonly contentType?: string | undefined;
    readonly authorization?: string | undefined;
    readonly host?: string | undefined;
    readonly origin?: string | undefined;
  };
  readonly body: string;
  /** Who connected; text, without a zone. */
  readonly remoteAddress: string;
}

export interface AdminResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A JSON response. */
export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): AdminResponse {
  return {
    status,
    contentType: 'application/json; charset=utf-8',
    body: `${JSON.stringify(value, null, 1)}\n`,
    headers,
  };
}

/** A plain text response. */
export function text(status: number, body: string): AdminResponse {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}

/** An error as every route answers it. */
export function failure(status: number, error: string, headers: Readonly<Record<string, string>> = {}): AdminResponse {
  return json(status, { error }, headers);
}
