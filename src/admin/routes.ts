/** The routes of the admin API, each from a request to a response, without a socket. */
import { adoptionOf } from './adoption.ts';
import { type AdminRequest, type AdminResponse, failure, json, text } from './http.ts';
import { MEMBERS_LIMIT, membersOf } from './members.ts';
import { changeStage } from './stage-change.ts';
import { peersOf, rejectionsOf, statusOf } from './status.ts';
import type { AdminView, FenceView } from './view.ts';

/** Rows of rejections that one answer holds for a fence. */
export const REJECTIONS_LIMIT = { fallback: 100, max: 500 } as const;

interface Route {
  readonly method: 'GET' | 'POST';
  readonly what: string;
  answer(view: AdminView, request: AdminRequest, writeToken: string): AdminResponse | Promise<AdminResponse>;
}

const ROUTES: Readonly<Record<string, Route>> = {
  '/': { method: 'GET', what: 'this list', answer: () => text(200, endpoints()) },
  '/healthz': { method: 'GET', what: 'the process is alive', answer: () => text(200, 'ok\n') },
  '/readyz': {
    method: 'GET',
    what: 'rules in place, sockets open, app reachable; 503 says what is missing',
    answer: ready,
  },
  '/metrics': { method: 'GET', what: 'Prometheus metrics', answer: metrics },
  '/api/v1/status': { method: 'GET', what: 'every fence', answer: (view) => json(200, statusOf(view)) },
  '/api/v1/peers': {
    method: 'GET',
    what: 'the memory of peers (?fence=)',
    answer: (view, request) => ofFences(view, request, (fences) => json(200, peersOf(fences))),
  },
  '/api/v1/members': {
    method: 'GET',
    what: `the ring as gossip tells it (?fence=, ?limit=1..${MEMBERS_LIMIT.max})`,
    answer: (view, request) => limited(view, request, MEMBERS_LIMIT, membersOf),
  },
  '/api/v1/adoption': {
    method: 'GET',
    what: 'which stage is safe next, and who stands against it (?fence=, ?brief=true)',
    answer: adoption,
  },
  '/api/v1/rejections': {
    method: 'GET',
    what: `recent rejections (?fence=, ?limit=1..${REJECTIONS_LIMIT.max})`,
    answer: (view, request) => limited(view, request, REJECTIONS_LIMIT, rejectionsOf),
  },
  '/api/v1/stage': {
    method: 'POST',
    what: 'change a stage: {"fence": "", "stage": "", "force": false}',
    answer: changeStage,
  },
};

/** Answers one request. */
export async function route(view: AdminView, request: AdminRequest, writeToken: string): Promise<AdminResponse> {
  const found = Object.hasOwn(ROUTES, request.path) ? ROUTES[request.path] : undefined;
  if (found === undefined) return failure(404, 'no such path; GET / lists them');
  // HEAD is a GET whose body the server leaves out.
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  if (method !== found.method) return failure(405, `use ${found.method}`, { allow: found.method });
  return found.answer(view, request, writeToken);
}

function endpoints(): string {
  const lines = Object.entries(ROUTES).map(
    ([path, { method, what }]) => `${method.padEnd(4)} ${path.padEnd(20)} ${what}`,
  );
  return `ringfence admin API\n\n${lines.join('\n')}\n`;
}

function ready(view: AdminView): AdminResponse {
  const reasons = view.fences.flatMap((fence) => fence.notReady().map((reason) => `${fence.name}: ${reason}`));
  return reasons.length === 0 ? text(200, 'ready\n') : text(503, `not ready\n${reasons.join('\n')}\n`);
}

async function metrics(view: AdminView): Promise<AdminResponse> {
  const { contentType, body } = await view.metrics();
  return { status: 200, contentType, body };
}

function adoption(view: AdminView, request: AdminRequest): AdminResponse {
  const brief = request.query.get('brief') ?? 'false';
  if (brief !== 'true' && brief !== 'false') return failure(400, 'brief must be true or false');
  return ofFences(view, request, (fences) => json(200, adoptionOf(view.version, fences, brief === 'true')));
}

/** An answer of at most `?limit=` rows. */
function limited(
  view: AdminView,
  request: AdminRequest,
  { fallback, max }: { readonly fallback: number; readonly max: number },
  answer: (fences: readonly FenceView[], limit: number) => unknown,
): AdminResponse {
  const given = request.query.get('limit');
  const limit = given === null ? fallback : /^\d{1,5}$/.test(given) ? Number(given) : 0;
  if (limit < 1 || limit > max) return failure(400, `limit must be 1 to ${max}`);
  return ofFences(view, request, (fences) => json(200, answer(fences, limit)));
}

/** All fences, or the one that the query names. */
function ofFences(
  view: AdminView,
  request: AdminRequest,
  answer: (fences: readonly FenceView[]) => AdminResponse,
): AdminResponse {
  const name = request.query.get('fence');
  if (name === null) return answer(view.fences);
  const fences = view.fences.filter((fence) => fence.name === name);
  return fences.length === 0 ? failure(404, 'no fence of that name') : answer(fences);
}
