/** What the schema cannot say: rules between fields, and settings whose capability is not in this version. */
import { needsTranslation } from '../policy/stage.ts';
import type { Path } from './locate.ts';
import type { ConfigFile, FenceFile } from './schema.ts';
import { parseEndpoint } from './units.ts';

export interface Problem {
  readonly path: Path;
  readonly message: string;
}

/** Istio's sidecar runs under it, and its rules let that user's traffic past everything. */
const ISTIO_UID = 1337;

const NOT_YET = 'is not in this version yet';

/** Everything that is wrong with a file that fits the schema. */
export function findProblems(file: ConfigFile): Problem[] {
  const problems: Problem[] = [];
  file.fences.forEach((fence, i) => {
    const at = (...path: Path): Path => ['fences', i, ...path];
    const found = [
      ...modeProblems(fence),
      ...stageProblems(fence),
      ...quarantineProblems(fence),
      ...encryptionProblems(fence),
      ...tlsProblems(fence),
      ...notYet(fence),
    ];
    for (const { path, message } of found) problems.push({ path: at(...path), message });
  });
  return [...problems, ...betweenFences(file), ...adminProblems(file)];
}

function modeProblems(fence: FenceFile): Problem[] {
  const { transparent, listen, app, engine } = fence;
  if (transparent !== undefined && listen !== undefined) {
    return [{ path: ['listen'], message: 'listen and transparent exclude each other: keep one of them' }];
  }
  if (transparent !== undefined) {
    const problems: Problem[] = [];
    if (app.address !== '') {
      problems.push({
        path: ['app', 'address'],
        message: 'is for listen: a transparent fence finds the app at its own address',
      });
    }
    if (engine === 'portable') {
      problems.push({
        path: ['engine'],
        message: 'a transparent fence has no portable engine: leave it out, or use listen',
      });
    }
    if (transparent.proxyPort === transparent.port || transparent.peerPorts.includes(transparent.proxyPort)) {
      problems.push({
        path: ['transparent', 'proxyPort'],
        message: 'must differ from the gossip ports that it stands for',
      });
    }
    if (transparent.uid === ISTIO_UID) {
      problems.push({
        path: ['transparent', 'uid'],
        message: `${ISTIO_UID} is Istio's proxy, whose traffic passes every rule: give the fence a uid of its own`,
      });
    }
    return problems;
  }
  if (listen === undefined) return [{ path: [], message: 'one of listen and transparent must be set' }];
  if (app.address === '') {
    return [
      {
        path: ['app', 'address'],
        message: 'listen needs app.address, the address and port where the app itself listens',
      },
    ];
  }
  return loops(listen, app.address)
    ? [{ path: ['app', 'address'], message: 'is the address that the fence listens on' }]
    : [];
}

/** Whether the fence would be its own app. */
function loops(listen: string, app: string): boolean {
  const [fence, target] = [parseEndpoint(listen), parseEndpoint(app)];
  if (fence === undefined || target === undefined || fence.port !== target.port) return false;
  return fence.address === target.address || (isWildcard(fence.address) && /^(127\.|::1$)/.test(target.address));
}

/** Why a listen fence cannot go beyond accept for an app that sends no label. */
export const LISTEN_CEILING_WHY =
  'a listen fence sees inbound gossip only, so an app that sends no label (app.sends: none) would stay unlabelled on the wire and be cut off; its ceiling is accept, use transparent to go further';

function stageProblems(fence: FenceFile): Problem[] {
  const { stage, listen, app, wire } = fence;
  if (listen !== undefined && app.sends === 'none' && (stage === 'label' || stage === 'enforce')) {
    return [{ path: ['stage'], message: `${stage} cannot be: ${LISTEN_CEILING_WHY}` }];
  }
  if (stage === 'observe' && needsTranslation({ sends: app.sends, takes: app.takes, wire })) {
    return [
      {
        path: ['stage'],
        message: `observe cannot be: the app (sends ${app.sends}, takes ${app.takes}) and the wire (${wire}) speak different dialects, and observe translates nothing; start at accept`,
      },
    ];
  }
  return [];
}

/** Quarantine strips what inspection learned, and members outside the rules. */
function quarantineProblems({ quarantine, limits }: FenceFile): Problem[] {
  if (!quarantine || limits.inspectBytesPerSecond > 0) return [];
  const message = 'needs inspection, which limits.inspectBytesPerSecond: 0 turns off: no foreigner would be known';
  return [{ path: ['quarantine'], message }];
}

function encryptionProblems({ encryption: { keyFiles, reseal } }: FenceFile): Problem[] {
  const problems: Problem[] = [];
  if (reseal === 'on' && keyFiles.length === 0) {
    problems.push({ path: ['encryption', 'reseal'], message: 'needs the keys to seal with: name them in keyFiles' });
  }
  keyFiles.forEach((file, i) => {
    if (keyFiles.indexOf(file) === i) return;
    problems.push({ path: ['encryption', 'keyFiles', i], message: 'the same file is above' });
  });
  return problems;
}

/** Certificates go with a TLS transport, all or none: what is given must be in use, and what is in use must be given. */
function tlsProblems({ app, tls }: FenceFile): Problem[] {
  const problems: Problem[] = [];
  const need = (key: 'certFile' | 'keyFile' | 'caFile', why: string) => {
    if (tls[key] === '') problems.push({ path: ['tls', key], message: `is missing: ${why}` });
  };
  if (app.transport.endsWith('-tls')) {
    need('certFile', `app.transport ${app.transport} opens TLS with it`);
    need('keyFile', `app.transport ${app.transport} opens TLS with it`);
    if (tls.clientAuth) need('caFile', 'clientAuth verifies certificates against it');
    else if (tls.verifyServer !== 'none')
      need('caFile', `verifyServer: ${tls.verifyServer} verifies certificates against it`);
    return problems;
  }
  for (const key of ['certFile', 'keyFile', 'caFile', 'serverName'] as const) {
    if (tls[key] === '') continue;
    const message = `is for app.transport dskit-tls or alertmanager-tls; ${app.transport} opens no TLS`;
    problems.push({ path: ['tls', key], message });
  }
  return problems;
}

/** A value other than the default, of a setting whose capability is still to come, is refused: it must not seem to work. */
function notYet(fence: FenceFile): Problem[] {
  const { local } = fence;
  const claims: readonly [boolean, Path, string][] = [
    [local.cidrs.length > 0, ['local', 'cidrs'], 'the gateway'],
    [local.file !== '', ['local', 'file'], 'the gateway'],
  ];
  return claims.filter(([set]) => set).map(([, path, what]) => ({ path, message: `${what} ${NOT_YET}` }));
}

/** The admin API needs a port of its own: one that gossip uses would be taken, or, intercepted, never be reached. */
function adminProblems({ fences, admin }: ConfigFile): Problem[] {
  const own = parseEndpoint(admin.address);
  if (own === undefined || own.port === 0) return [];
  const clash = fences.find(({ listen, transparent }) => {
    if (transparent !== undefined) {
      return [transparent.port, transparent.proxyPort, ...transparent.peerPorts].includes(own.port);
    }
    const other = parseEndpoint(listen ?? '');
    if (other === undefined || other.port !== own.port) return false;
    return [own.address, other.address].some(isWildcard) || own.address === other.address;
  });
  if (clash === undefined) return [];
  return [{ path: ['admin', 'address'], message: `port ${own.port} is a port of the fence ${clash.name} already` }];
}

function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

function betweenFences({ fences }: ConfigFile): Problem[] {
  const problems: Problem[] = [];
  fences.forEach((fence, i) => {
    const earlier = fences.slice(0, i);
    if (earlier.some(({ name }) => name === fence.name)) {
      problems.push({ path: ['fences', i, 'name'], message: `a fence named ${fence.name} is above` });
    }
    if (fence.listen !== undefined && earlier.some(({ listen }) => listen === fence.listen)) {
      problems.push({ path: ['fences', i, 'listen'], message: `another fence listens on ${fence.listen}` });
    }
    if (fence.transparent !== undefined && earlier.some(({ transparent }) => transparent !== undefined)) {
      problems.push({
        path: ['fences', i, 'transparent'],
        message: 'there is one transparent fence in a network namespace and so in a process; another is above',
      });
    }
  });
  return problems;
}
