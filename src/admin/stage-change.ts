/** `POST /api/v1/stage`: who may ask for another stage, and what becomes of it. Whether it is wise is judged by the stage machine. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { STAGES, type Stage } from '../policy/stage.ts';
import type { Against } from '../ring/readiness-types.ts';
import { escapeText } from '../wire/escape.ts';
import { type AdminRequest, type AdminResponse, failure, json } from './http.ts';
import type { AdminView, FenceView } from './view.ts';

/** Answers the request once the change is in force in every thread; `writeToken` empty: only loopback may. */
export async function changeStage(view: AdminView, request: AdminRequest, writeToken: string): Promise<AdminResponse> {
  const denied = deny(request, writeToken);
  if (denied !== undefined) return denied;
  const wish = readWish(request);
  if (typeof wish === 'string') return failure(400, wish);
  const fence = pickFence(view.fences, wish.fence);
  if (typeof fence === 'string') return failure(wish.fence === undefined ? 400 : 404, fence);
  const { stage, force } = wish;
  const answer = await fence.requestStage({ stage, force, origin: 'api', by: request.remoteAddress });
  const rows = answer.step?.against ?? [];
  const cuts = rows.filter((row) => row.cuts).map(showAgainst);
  const unknown = rows.filter((row) => !row.cuts).map(showAgainst);
  const againstTotal = answer.step?.againstTotal ?? 0;
  if (!answer.ok) return json(409, { error: answer.why, final: answer.final, against: cuts, unknown, againstTotal });
  const { from, to } = answer;
  return json(200, { fence: fence.name, from, stage: to, changed: from !== to, cuts, unknown, againstTotal });
}

/** One row of what stands against a step, as every answer of the API shows it. */
export function showAgainst({ code, cuts, name, address, port, text }: Against): unknown {
  const who = { name: name === undefined ? null : escapeText(name), address: address ?? null, port: port ?? null };
  return { code, cuts, ...who, text };
}

/** The answer to whoever may not; undefined for who may. */
function deny(request: AdminRequest, writeToken: string): AdminResponse | undefined {
  const { headers, remoteAddress } = request;
  const type = (headers.contentType ?? '').split(';', 1)[0]?.trim().toLowerCase();
  // A page in a browser cannot send JSON elsewhere without asking first, and nothing here says yes.
  if (type !== 'application/json') return failure(415, 'content-type must be application/json');
  const authorization = headers.authorization;
  if (authorization !== undefined) {
    const [, token = ''] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
    if (writeToken !== '' && sameSecret(token, writeToken)) return undefined;
    return failure(403, writeToken === '' ? 'no write token is configured' : 'wrong token');
  }
  if (!isLoopback(remoteAddress)) return failure(403, 'changing a stage needs loopback or the write token');
  // A name that was rebound to loopback shows in Host and Origin (DNS rebinding).
  if (!isLocalHost(headers.host) || (headers.origin !== undefined && !isLocalOrigin(headers.origin))) {
    return failure(403, 'without the write token, Host and Origin must be a loopback address or localhost');
  }
  return undefined;
}

/** Compares in a time that does not tell how much was right: hashes have one length. */
function sameSecret(a: string, b: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(a), hash(b));
}

export function isLoopback(address: string): boolean {
  const bare = address.replace(/^::ffff:/i, '');
  return isIP(bare) !== 0 && (bare === '::1' || bare.startsWith('127.'));
}

function isLocalHost(host: string | undefined): boolean {
  const name = /^(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?$/.exec(host ?? '');
  const bare = name?.[1] ?? name?.[2] ?? '';
  return bare.toLowerCase() === 'localhost' || isLoopback(bare);
}

function isLocalOrigin(origin: string): boolean {
  const match = /^https?:\/\/([^/]*)$/.exec(origin);
  return match !== null && isLocalHost(match[1]);
}

interface Wish {
  readonly fence: string | undefined;
  readonly stage: Stage;
  readonly force: boolean;
}

/** The request's body, or what is wrong with it. */
function readWish({ body }: AdminRequest): Wish | string {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return 'the body is not JSON';
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return 'the body must be a JSON object';
  for (const key of Object.keys(value)) {
    if (!['fence', 'stage', 'force'].includes(key)) return 'the body may hold fence, stage and force only';
  }
  const { fence, stage, force } = value as { fence?: unknown; stage?: unknown; force?: unknown };
  if (fence !== undefined && typeof fence !== 'string') return 'fence must be text';
  if (force !== undefined && typeof force !== 'boolean') return 'force must be true or false';
  const known = STAGES.find((name) => name === stage);
  if (known === undefined) return `stage must be one of ${STAGES.join(', ')}`;
  return { fence, stage: known, force: force ?? false };
}

function pickFence(fences: readonly FenceView[], name: string | undefined): FenceView | string {
  const names = fences.map((fence) => fence.name).join(', ');
  if (name === undefined) {
    const [only, second] = fences;
    return only !== undefined && second === undefined ? only : `say which fence: ${names}`;
  }
  return fences.find((fence) => fence.name === name) ?? `no fence of that name; there are: ${names}`;
}
