/**
 * The kernel rules that bring the gossip port's traffic to the fence, as text: one nftables table, one routing rule and one route
 * a family. Pure; intercept.ts carries it out.
 *
 * Marks. On packets: 0x1 "this belongs to the fence" (routed to lo, where tproxy takes it), 0x3 the fence's own connection to the
 * app under the peer's address, 0x4 the fence's own datagrams, 0x5 let out although the fence is down (--fail-open). On TCP
 * connections: 0x3 and 0x4 as on packets, because segments of TIME_WAIT and LAST-ACK have no owner whose uid could be tested.
 * UDP never gets a connection mark: the app's datagrams and the fence's copies of them have the same addresses and ports, so the
 * kernel keeps them as one connection, and a mark set by the fence would let the app's next datagram out unfenced.
 */
import type { TcpSource } from '../options.ts';

/** What `ringfence intercept` needs to know of a fence. */
export interface InterceptOptions {
  /** The fence's name: the table carries it, so that a second fence is told apart. */
  readonly fence: string;
  readonly port: number;
  readonly peerPorts: readonly number[];
  readonly proxyPort: number;
  readonly uid: number;
  readonly tcpSource: TcpSource;
  /** Let traffic pass unfenced while no fence runs. */
  readonly failOpen: boolean;
}

export const TABLE = 'ringfence';
export const OPEN_TABLE = 'ringfence_open';
export const COMMENT_PREFIX = 'ringfence fence=';

export const MARK_TO_FENCE = 0x1;
export const MARK_AS_PEER = 0x3;
export const MARK_FENCE = 0x4;

export const ROUTE_TABLE = 100;
export const RULE_PREFERENCE = 100;
/** Tells our routing rule and route from others' (`ip rule … protocol`). */
export const ROUTE_PROTOCOL = 146;

/** Options of `ip` for the two families. */
export const FAMILY_FLAGS = ['-4', '-6'] as const;
export type FamilyFlag = (typeof FAMILY_FLAGS)[number];

const RULE = ['pref', `${RULE_PREFERENCE}`, 'fwmark', `0x${MARK_TO_FENCE}`, 'lookup', `${ROUTE_TABLE}`];
const ROUTE = ['local', 'default', 'dev', 'lo', 'table', `${ROUTE_TABLE}`];

export const ruleAdd = (family: FamilyFlag) => [family, 'rule', 'add', ...RULE, 'protocol', `${ROUTE_PROTOCOL}`];
export const ruleDelete = (family: FamilyFlag) => [family, 'rule', 'del', ...RULE];
export const routeReplace = (family: FamilyFlag) => [
  family,
  'route',
  'replace',
  ...ROUTE,
  'proto',
  `${ROUTE_PROTOCOL}`,
];
export const routeDelete = (family: FamilyFlag) => [family, 'route', 'del', ...ROUTE];

/** What an installation does, as a shell script: for `--print` and for reading. */
export function renderRules(options: InterceptOptions): string {
  const commands = FAMILY_FLAGS.flatMap((family) => [ruleAdd(family), routeReplace(family)]);
  return [
    "nft -f - <<'RULES'",
    renderTables(options),
    'RULES',
    ...commands.map((command) => `ip ${command.join(' ')}`),
    '',
  ].join('\n');
}

/** The nftables file: replaces what an earlier installation left in one transaction, so that nothing slips through meanwhile. */
export function renderTables(options: InterceptOptions): string {
  const tables = [mainTable(options)];
  if (options.failOpen) tables.push(openTable('ip'), openTable('ip6'));
  return [renderRemoval(), ...tables].join('\n');
}

/** An nftables file that removes everything of ours; naming a table first makes deleting it safe when there is none. */
export function renderRemoval(): string {
  return [`inet ${TABLE}`, `ip ${OPEN_TABLE}`, `ip6 ${OPEN_TABLE}`]
    .map((table) => `table ${table} { }\ndelete table ${table}`)
    .join('\n');
}

function mainTable(options: InterceptOptions): string {
  return `table inet ${TABLE} {
  comment "${COMMENT_PREFIX}${options.fence}"
  counter bypass_in { }
  counter bypass_out { }
${outputChains(options)}
${inputChains(options)}${options.failOpen ? '' : LEAK_GUARD}
}`;
}

/** Segments and datagrams that leave a socket of this namespace. */
function outputChains({ port, peerPorts, uid, failOpen }: InterceptOptions): string {
  const ports = portSet([port, ...peerPorts]);
  return `
  chain out {
    type route hook output priority mangle; policy accept;${failOpen ? '\n    meta mark 0x5 return' : ''}
    meta l4proto tcp goto out_tcp
    meta l4proto udp goto out_udp
  }

  # The fence's own connections are known by its uid and, where a segment has no owner, by the connection's mark. Only what the
  # fence dialled is marked 0x4: the app's connections, which the fence answers, must not be. The app's answers to a connection
  # that carries the peer's address (0x3) come back to the fence; TIME_WAIT again, so that rule asks for no uid. What the app still
  # sends from the gossip port belongs to a connection that is older than the rules, or whose mark is lost: to the fence as well.
  chain out_tcp {
    meta skuid ${uid} meta mark 0x3 ct mark set 0x3 return
    meta skuid ${uid} ct direction original tcp dport ${ports} ct mark set 0x4 return
    meta skuid ${uid} return
    ct mark 0x3 ct direction reply meta mark set 0x1 return
    tcp flags & (syn | ack) == syn ct mark { 0x3, 0x4 } ct mark set 0x0
    ct mark 0x4 ct direction original return
    fib daddr type local return
    tcp dport ${ports} meta mark set 0x1${failOpen ? '' : `\n    tcp sport ${port} meta skuid != ${uid} meta mark set 0x1`}
  }

  # 0x4: a reassembled datagram of the fence's raw socket has no owner on kernels before 6.9.
  chain out_udp {
    meta mark 0x4 return
    meta skuid ${uid} return
    fib daddr type local return
    udp sport ${port} meta mark set 0x1
    udp dport ${ports} meta mark set 0x1
  }`;
}

/** What arrives: from the network, and over lo what the output chains sent there. */
function inputChains({ port, proxyPort, failOpen }: InterceptOptions): string {
  const end = (direction: 'in' | 'out') => {
    if (!failOpen) return `\n    counter name bypass_${direction} drop`;
    return direction === 'out' ? '\n    counter name bypass_out meta mark set 0x5' : '\n    counter name bypass_in';
  };
  const take = `meta nfproto ipv4 meta l4proto { tcp, udp } tproxy ip to 127.0.0.1:${proxyPort} accept
    meta nfproto ipv6 meta l4proto { tcp, udp } tproxy ip6 to [::1]:${proxyPort} accept`;
  return `
  chain pre {
    type filter hook prerouting priority mangle; policy accept;
    iif "lo" meta mark 0x1 goto from_app
    iif "lo" return
    fib daddr type { broadcast, anycast, multicast } goto to_many
    fib daddr type != local return
    meta l4proto { tcp, udp } th dport ${proxyPort} counter name bypass_in drop
    tcp dport ${port} goto from_net
    udp dport ${port} goto from_net
    udp sport ${port} goto from_net
  }

  # The app's sockets take these too, tproxy cannot be told to, and no member gossips so: refused even with --fail-open.
  chain to_many {
    meta l4proto { tcp, udp } th dport ${port} counter name bypass_in drop
    udp sport ${port} counter name bypass_in drop
  }

  chain from_app {
    tcp sport ${port} socket transparent 1 accept
    ${take}${end('out')}
  }

  chain from_net {
    ${take}${end('in')}
  }`;
}

/** A marked packet that is about to leave anyway means that the routing rule is gone. */
const LEAK_GUARD = `

  chain post {
    type filter hook postrouting priority mangle; policy accept;
    oif != "lo" meta mark 0x1 counter name bypass_out drop
  }`;

/**
 * With --fail-open, what the app sends while no fence runs is on lo already, addressed to the peer: \`dup\` sends it on by the
 * ordinary routes. (\`dup\` exists in the ip families only, and sets DF: datagrams over the MTU do not get out this way.)
 */
function openTable(family: 'ip' | 'ip6'): string {
  return `table ${family} ${OPEN_TABLE} {
  chain pre {
    type filter hook prerouting priority mangle + 1; policy accept;
    iif "lo" meta mark 0x5 dup to ${family} daddr
    iif "lo" meta mark 0x5 drop
  }
}`;
}

function portSet(ports: readonly number[]): string {
  const unique = [...new Set(ports)].sort((a, b) => a - b);
  return unique.length === 1 ? `${unique[0]}` : `{ ${unique.join(', ')} }`;
}
