/** Why rules must not be installed here: each check gives one sentence, or undefined. Pure over what intercept.ts reads. */
import {
  COMMENT_PREFIX,
  type FamilyFlag,
  type InterceptOptions,
  MARK_TO_FENCE,
  ROUTE_PROTOCOL,
  ROUTE_TABLE,
  RULE_PREFERENCE,
  TABLE,
} from './rules.ts';

/** Inode numbers of the initial network namespace: fixed since Linux 6.18, the usual ones of the boots before. */
const INITIAL_NETNS_INODES: ReadonlySet<string> = new Set(['4026531833', '4026531840', '4026531956', '4026531992']);

/** Istio's proxy runs under it, and its rules let that uid through. */
const ISTIO_UID = 1337;

const FENCE_NAME = /^[A-Za-z0-9._-]{1,64}$/;
export const CAP_NET_ADMIN = 12;
export const CAP_NET_RAW = 13;

/** Chains and tables of Istio, Linkerd, Kuma, Consul, Open Service Mesh and App Mesh. */
const MESH_CHAIN =
  /\b((?:ISTIO|PROXY_INIT|KUMA_MESH|CONSUL_PROXY|OSM_PROXY|APPMESH)_[A-Z_]+|istio-[a-z-]+|linkerd[a-z_-]*)\b/;
/** What our own tables carry: a fence may be named after what it stands beside. */
const OWN_COMMENT = new RegExp(`comment "${COMMENT_PREFIX}[^"]*"`, 'g');

/** An entry of `ip -j -N rule`. */
export interface IpRule {
  readonly priority?: number;
  readonly fwmark?: string;
  readonly fwmask?: string;
  readonly table?: string;
  readonly protocol?: string;
}

/** An entry of `ip -j -N route show table 100`. */
export interface IpRoute {
  readonly type?: string;
  readonly dst?: string;
  readonly dev?: string;
  readonly protocol?: string;
}

/** Options that no rule set can be made from. */
export function refuseOptions(options: InterceptOptions): string | undefined {
  const { fence, uid, port, peerPorts, proxyPort } = options;
  if (!FENCE_NAME.test(fence)) return 'the fence name must be 1 to 64 letters, digits, dots, dashes or underscores';
  if (uid === ISTIO_UID) return `uid ${ISTIO_UID} belongs to Istio's proxy: run the fence under another`;
  if (!Number.isInteger(uid) || uid < 1 || uid > 0xffff_fffe) {
    return `uid ${uid} cannot be told from the app's: run the fence under an unprivileged uid of its own`;
  }
  for (const one of [port, proxyPort, ...peerPorts]) {
    if (!Number.isInteger(one) || one < 1 || one > 65_535) return `${one} is no port`;
  }
  if ([port, ...peerPorts].includes(proxyPort)) return `proxyPort ${proxyPort} is a gossip port too: choose another`;
  return undefined;
}

/** Whether /proc/self/status text grants capability number `bit` in its effective set. */
export function hasCapability(status: string, bit: number): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(bit)) & 1n) === 1n;
}

export function refuseRights(status: string): string | undefined {
  if (hasCapability(status, CAP_NET_ADMIN)) return undefined;
  return 'installing rules needs CAP_NET_ADMIN: run this as root with NET_ADMIN (an init container), not in the fence';
}

/** What tells one network namespace from another. */
export interface NamespaceFacts {
  /** What /proc/self/ns/net points to. */
  readonly netns: string;
  /**
   * Whether /proc/sys/net shows what Linux keeps for the initial namespace alone (net/core/sysctl_net_core.c `net_core_table`);
   * undefined when it cannot be read.
   */
  readonly initialSysctls: boolean | undefined;
  /** Interfaces that a physical or paravirtual device stands behind. */
  readonly devices: readonly string[];
}

/** A pod may have a device of its own (SR-IOV), and /sys may be another namespace's: devices count only where nothing else tells. */
export function refuseHostNetwork({ netns, initialSysctls, devices }: NamespaceFacts): string | undefined {
  const inode = /\[(\d+)\]/.exec(netns)?.[1] ?? '';
  const why =
    initialSysctls === true || INITIAL_NETNS_INODES.has(inode)
      ? 'this is the initial network namespace'
      : initialSysctls === undefined && devices.length > 0
        ? `interface ${devices[0]} is a device of the machine`
        : undefined;
  if (why === undefined) return undefined;
  return `${why}: the rules would catch the gossip port of the whole host; a fence needs a network namespace of its own (hostNetwork: false)`;
}

/** The fence that a listing of our table names; undefined when the table is not made by us. */
export function tableOwner(listing: string): string | undefined {
  const at = listing.indexOf(`comment "${COMMENT_PREFIX}`);
  return at < 0 ? undefined : /fence=([^"]*)"/.exec(listing.slice(at))?.[1];
}

/** `ruleset`: `nft list ruleset`. */
export function refuseOtherTable(ruleset: string, fence: string): string | undefined {
  const at = ruleset.indexOf(`table inet ${TABLE} {`);
  if (at < 0) return undefined;
  const end = ruleset.indexOf('\n}', at);
  const owner = tableOwner(ruleset.slice(at, end < 0 ? undefined : end));
  if (owner === fence) return undefined;
  if (owner === undefined) return `a table inet ${TABLE} exists that no fence made: delete or rename it first`;
  return `this network namespace has rules of the fence ${JSON.stringify(owner)}: one fence a namespace (remove its rules first)`;
}

/** `rulesets`: every listing of nftables and of legacy iptables. */
export function refuseMesh(rulesets: readonly string[]): string | undefined {
  for (const text of rulesets) {
    const chain = MESH_CHAIN.exec(text.replaceAll(OWN_COMMENT, ''))?.[1];
    if (chain !== undefined) {
      return `a mesh proxy's rules (${chain}) stand in this network namespace: exclude the pod from the mesh, or the gossip port's fence from the pod`;
    }
  }
  return undefined;
}

export function isOwnRule({ priority, fwmark, fwmask, table, protocol }: IpRule): boolean {
  return (
    priority === RULE_PREFERENCE &&
    fwmark !== undefined &&
    Number(fwmark) === MARK_TO_FENCE &&
    fwmask === undefined &&
    table === `${ROUTE_TABLE}` &&
    protocol === `${ROUTE_PROTOCOL}`
  );
}

export function isOwnRoute({ type, dst, dev, protocol }: IpRoute): boolean {
  // `ip -N` writes RTN_LOCAL as a number.
  return (type === 'local' || type === '2') && dst === 'default' && dev === 'lo' && protocol === `${ROUTE_PROTOCOL}`;
}

/** Other fwmark rules and a routing table 100 that somebody else filled. */
export function refuseRouting(
  family: FamilyFlag,
  rules: readonly IpRule[],
  routes: readonly IpRoute[],
): string | undefined {
  const tool = `ip ${family}`;
  const rule = rules.find((one) => (one.fwmark !== undefined || one.table === `${ROUTE_TABLE}`) && !isOwnRule(one));
  if (rule !== undefined) {
    const what = rule.fwmark === undefined ? `looks up table ${ROUTE_TABLE}` : `matches fwmark ${rule.fwmark}`;
    return `a routing rule that is not ours ${what} (\`${tool} rule\`, preference ${rule.priority}): the marks or tables would clash`;
  }
  if (routes.some((one) => !isOwnRoute(one))) {
    return `routing table ${ROUTE_TABLE} holds routes that are not ours (\`${tool} route show table ${ROUTE_TABLE}\`)`;
  }
  return undefined;
}
