/** `ringfence intercept`: installs and removes the kernel rules of rules.ts, once, with NET_ADMIN. Refuses with a StartError. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { StartError } from '../engine.ts';
import {
  type IpRoute,
  type IpRule,
  isOwnRoute,
  isOwnRule,
  type NamespaceFacts,
  refuseHostNetwork,
  refuseMesh,
  refuseOptions,
  refuseOtherTable,
  refuseRights,
  refuseRouting,
} from './host-checks.ts';
import { hasIpv6 } from './ipv6.ts';
import {
  FAMILY_FLAGS,
  type FamilyFlag,
  type InterceptOptions,
  OPEN_TABLE,
  ROUTE_TABLE,
  renderRemoval,
  renderTables,
  routeDelete,
  routeReplace,
  ruleAdd,
  ruleDelete,
  TABLE,
} from './rules.ts';

export { type InterceptOptions, renderRules } from './rules.ts';

/** How long one command of nft or ip may take: they answer in milliseconds unless the kernel's lock is held. */
const COMMAND_TIMEOUT_MS = 15_000;
/** A ruleset of a busy pod is some KiB; a bound, because it is read whole. */
const COMMAND_OUTPUT_MAX_BYTES = 32 * 1024 * 1024;
/** Where containers often have no PATH for these. */
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What an installation or a removal did, a line each, for the operator. */
export interface InterceptResult {
  readonly done: readonly string[];
}

/** Installs the rules, or replaces those of the same fence; installing twice gives the same. Rejects with a StartError. */
export async function installRules(options: InterceptOptions): Promise<InterceptResult> {
  refuse('options_invalid', refuseOptions(options));
  const state = await readHost(options);
  refuse('other_fence', refuseOtherTable(state.ruleset, options.fence));
  refuse('mesh_proxy', refuseMesh([state.ruleset, ...state.legacy]));
  for (const { family, rules, routes } of state.routing) {
    refuse('routing_clash', refuseRouting(family, rules, routes));
  }
  // The table first: until the routing rule exists it drops what it marks, so that nothing gets out unfenced.
  await run('nft', ['-f', '-'], renderTables(options));
  const done = [`installed table inet ${TABLE} for the fence ${options.fence}`];
  for (const { family, rules } of state.routing) {
    await run('ip', routeReplace(family));
    if (!rules.some(isOwnRule)) await run('ip', ruleAdd(family));
    done.push(`installed the routing rule and route of table ${ROUTE_TABLE} (ip ${family})`);
  }
  if (state.routing.length < FAMILY_FLAGS.length)
    done.push('IPv6 is off in this network namespace: no IPv6 routes made');
  if (state.unreadLegacy) {
    done.push(
      'legacy iptables tables exist and iptables-legacy-save cannot be run: a mesh proxy there would go unseen',
    );
  }
  if (options.failOpen) done.push('fail open: while no fence runs, traffic passes unfenced');
  return { done };
}

/** Removes all that installRules made, and only that; removing twice is no error. Rejects with a StartError. */
export async function removeRules(options: InterceptOptions): Promise<InterceptResult> {
  refuse('options_invalid', refuseOptions(options));
  const state = await readHost(options);
  refuse('other_fence', refuseOtherTable(state.ruleset, options.fence));
  const done: string[] = [];
  for (const { family, rules, routes } of state.routing) {
    if (rules.some(isOwnRule)) {
      await run('ip', ruleDelete(family));
      done.push(`removed the routing rule to table ${ROUTE_TABLE} (ip ${family})`);
    }
    if (routes.some(isOwnRoute)) {
      await run('ip', routeDelete(family));
      done.push(`removed the route of table ${ROUTE_TABLE} (ip ${family})`);
    }
  }
  if (state.ruleset.includes(`table inet ${TABLE} {`) || state.ruleset.includes(` ${OPEN_TABLE} {`)) {
    await run('nft', ['-f', '-'], renderRemoval());
    done.push(`removed table inet ${TABLE}`);
  }
  return { done: done.length > 0 ? done : ['nothing to remove'] };
}

function refuse(code: string, why: string | undefined): void {
  if (why !== undefined) throw new StartError(code, why);
}

interface HostState {
  readonly ruleset: string;
  readonly legacy: readonly string[];
  /** There are legacy tables, and no tool to read them with. */
  readonly unreadLegacy: boolean;
  readonly routing: readonly { family: FamilyFlag; rules: readonly IpRule[]; routes: readonly IpRoute[] }[];
}

async function readHost(options: InterceptOptions): Promise<HostState> {
  if (process.platform !== 'linux') throw new StartError('not_linux', 'interception needs Linux');
  refuse('no_net_admin', refuseRights(readFileSync('/proc/self/status', 'utf8')));
  refuse('host_network', refuseHostNetwork(namespaceFacts()));
  const ruleset = await run('nft', ['list', 'ruleset']);
  const legacy: string[] = [];
  let unreadLegacy = false;
  for (const family of ['ip', 'ip6']) {
    const text = await runIfThere(family === 'ip' ? 'iptables-legacy-save' : 'ip6tables-legacy-save');
    if (text !== undefined) legacy.push(text);
    else unreadLegacy ||= hasLegacyTables(family);
  }
  const families = hasIpv6() ? FAMILY_FLAGS : FAMILY_FLAGS.slice(0, 1);
  const routing: { family: FamilyFlag; rules: IpRule[]; routes: IpRoute[] }[] = [];
  for (const family of families) {
    const rules = parseJson<IpRule>(await run('ip', [family, '-j', '-N', 'rule']), options);
    // `show table 100` fails when the table does not exist; a listing of all tables does not.
    const routes = parseJson<IpRoute & { table?: string }>(
      await run('ip', [family, '-j', '-N', 'route', 'show', 'table', 'all']),
      options,
    );
    routing.push({ family, rules, routes: routes.filter(({ table }) => table === `${ROUTE_TABLE}`) });
  }
  return { ruleset, legacy, unreadLegacy, routing };
}

function parseJson<T>(text: string, { fence }: InterceptOptions): T[] {
  try {
    const value: unknown = text.trim() === '' ? [] : JSON.parse(text);
    if (Array.isArray(value)) return value as T[];
  } catch (cause) {
    throw new StartError('ip_unreadable', `fence ${fence}: ip gave no JSON (iproute2 4.14 or later is needed)`, {
      cause,
    });
  }
  throw new StartError('ip_unreadable', `fence ${fence}: ip gave no list`);
}

function namespaceFacts(): NamespaceFacts {
  const sysctls = '/proc/sys/net/core';
  return {
    netns: readlinkSync('/proc/self/ns/net'),
    // Every namespace has the second one.
    initialSysctls:
      existsSync(`${sysctls}/netdev_max_backlog`) || (existsSync(`${sysctls}/somaxconn`) ? false : undefined),
    devices: physicalInterfaces(),
  };
}

function physicalInterfaces(): string[] {
  const root = '/sys/class/net';
  if (!existsSync(root)) return [];
  return readdirSync(root).filter((name) => existsSync(`${root}/${name}/device`));
}

/** Runs a command of the system; gives its stdout. */
function run(command: string, args: readonly string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    // No empty part: the shell's rules would search the current directory for it.
    const path = [process.env['PATH'], SYSTEM_PATH].filter(Boolean).join(':');
    const env = { ...process.env, PATH: path, LC_ALL: 'C' };
    const options = { env, timeout: COMMAND_TIMEOUT_MS, maxBuffer: COMMAND_OUTPUT_MAX_BYTES };
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        const tool = command === 'ip' ? 'ip (iproute2)' : command === 'nft' ? 'nft (nftables)' : command;
        return reject(
          new StartError('tool_missing', `${tool} is not installed, and interception needs it`, { cause: error }),
        );
      }
      const said = stderr.split('\n', 1)[0]?.slice(0, 300) ?? '';
      const why = error.killed === true ? `took longer than ${COMMAND_TIMEOUT_MS} ms` : said || error.message;
      reject(new StartError('command_failed', `\`${command} ${args.join(' ')}\` failed: ${why}`, { cause: error }));
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(input ?? '');
  });
}

async function runIfThere(command: string): Promise<string | undefined> {
  try {
    return await run(command, []);
  } catch {
    // Not installed, or the kernel has no legacy iptables: then it holds no rules either (hasLegacyTables tells).
    return undefined;
  }
}

/** Newer kernels list a table here once somebody used it in this namespace, older ones always. */
function hasLegacyTables(family: string): boolean {
  try {
    return readFileSync(`/proc/net/${family}_tables_names`, 'utf8').trim() !== '';
  } catch {
    return false;
  }
}
