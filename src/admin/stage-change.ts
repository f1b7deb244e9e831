/** `POST /api/v1/stage`: who may change a stage, and which change is refused with which reason. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { needsTranslation, STAGE_INDEX, STAGES, type Stage } from '../policy/stage.ts';
import { type AdminRequest, type AdminResponse, failure, json } from './http.ts';
import type { AdminView, FenceView } from './view.ts';

/** Answers the request; `writeToken` empty: only loopback may. */
export function changeStage(view: AdminView, request: AdminRequest, writeToken: string): AdminResponse {
  const denied = deny(request, writeToken);
  if (denied !== undefined) return denied;
  const wish = readWish(request);
  if (typeof wish === 'string') return failure(400, wish);
  const fence = pickFence(view.fences, wish.fence);
  if (typeof fence === 'string') return failure(wish.fence === undefined ? 400 : 404, fence);
  const from = fence.stage();
  const refusal = refuse(fence, from, wish.stage, wish.force);
  if (refusal !== undefined) return failure(409, refusal);
  if (from !== wish.stage) {
    fence.setStage(wish.stage);
    view.stageChanged({ fence: fence.name, from, to: wish.stage, force: wish.force, by: request.remoteAddress });
  }
  return json(200, { fence: fence.name, from, stage: wish.stage, changed: from !== wish.stage });
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

/** Why the fence cannot or should not go from one stage to the other; undefined when it can. */
function refuse(fence: FenceView, from: Stage, to: Stage, force: boolean): string | undefined {
  const { ceiling, dialects } = fence;
  if (ceiling !== undefined && STAGE_INDEX[to] > STAGE_INDEX[ceiling.stage]) return `${to} cannot be: ${ceiling.why}`;
  if (to === 'observe' && needsTranslation(dialects)) {
    return `observe cannot be: the app (sends ${dialects.sends}, takes ${dialects.takes}) and the wire (${dialects.wire}) speak different dialects, and observe translates nothing`;
  }
  const climb = STAGE_INDEX[to] - STAGE_INDEX[from];
  if (climb > 1 && !force) {
    return `from ${from} to ${to} is ${climb} steps at once: fenced members may be one stage apart at most, so go step by step, or force it`;
  }
  return undefined;
}
