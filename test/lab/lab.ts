/**
 * A network laboratory: hosts as network namespaces on one bridge, real addresses of both families, and fences in front of real
 * members. Linux, root. Nothing reaches outside: no host has a route off the bridge, and the bridge has no uplink.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyDist, type Dist } from './dist.ts';
import { type Fence, type FenceOptions, startFence } from './fence.ts';
import { addNamespace, inNamespace, ip, namespaceName, removeNamespace, removeStaleNamespaces } from './netns.ts';
import { type LabProcess, startProcess } from './process.ts';

export interface HostOptions {
  /** Default: the lab's next, 10.77.0.n. False for none. */
  readonly ipv4?: string | false;
  /** Default: fd77::n. False for none. */
  readonly ipv6?: string | false;
  /** MTU of the host's link; 1500 unless told. */
  readonly mtu?: number;
}

export interface SpawnOptions {
  readonly uid?: number;
  readonly env?: NodeJS.ProcessEnv;
}

export interface Host {
  readonly name: string;
  /** The network namespace's name, for `ip netns exec`. */
  readonly namespace: string;
  /** Throws when the host has none. */
  readonly ipv4: string;
  readonly ipv6: string;
  /** Starts a process in the host; it dies with the test process and with the lab. */
  spawn(command: string, args: readonly string[], options?: SpawnOptions): LabProcess;
  /** Runs a command to its end (20 s at most) and gives its stdout; throws with its output when it fails. */
  exec(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): string;
  /** The same, telling failure by value. */
  tryExec(command: string, args: readonly string[]): { readonly ok: boolean; readonly output: string };
  /** Runs a command to its end without holding up the test process; rejects after `timeoutMs` (20 s unless told). */
  run(command: string, args: readonly string[], timeoutMs?: number): Promise<{ ok: boolean; output: string }>;
  /** Starts a fence in the host: rules by `ringfence intercept` where the configuration is transparent, then `ringfence run`. */
  fence(config: unknown, options?: FenceOptions): Promise<Fence>;
  /** Takes the host off the network and kills what runs in it; its addresses can be given to another (a recycled pod IP). */
  remove(): Promise<void>;
}

export interface Lab {
  readonly name: string;
  addHost(name: string, options?: HostOptions): Host;
  /** A host by its name; throws when there is none. */
  host(name: string): Host;
  /** Makes a directory for a process of the lab, removed with it. */
  directory(name: string): string;
  /** Writes a file that everyone may read, and gives its path; removed with the lab. */
  file(name: string, text: string): string;
  /** Stops everything and removes the namespaces; safe to call twice. Give it to `t.teardown`. */
  close(): Promise<void>;
}

/** Makes the switch. `name`: at most 12 characters, unique in the test process. Call `close` in a teardown. */
export function createLab({ name }: { readonly name: string }): Lab {
  removeStaleNamespaces();
  removeStaleFiles();
  const bridge = namespaceName(name, 'switch');
  const hosts = new Map<string, Host>();
  const files = createFiles();
  let dist: Dist | undefined;
  let ports = 0;
  let closed = false;

  const close = async () => {
    if (closed) return;
    closed = true;
    process.off('exit', closeSync);
    await Promise.allSettled([...hosts.values()].map((host) => host.remove()));
    closeSync();
  };
  const closeSync = () => {
    for (const host of hosts.values()) removeNamespace(host.namespace);
    removeNamespace(bridge);
    dist?.remove();
    files.remove();
  };
  process.once('exit', closeSync);

  addSwitch(bridge);
  const sharedDist = () => {
    dist ??= copyDist();
    return dist;
  };
  const forgetNeighbours = () => {
    for (const { namespace } of hosts.values()) ip('-n', namespace, 'neigh', 'flush', 'all');
  };
  return {
    name,
    close,
    host(hostName) {
      const host = hosts.get(hostName);
      if (host === undefined) throw new Error(`the lab has no host ${hostName}`);
      return host;
    },
    directory: files.directory,
    file: files.file,
    addHost(hostName, options = {}) {
      if (hosts.has(hostName)) throw new Error(`the lab has a host ${hostName} already`);
      const number = ++ports;
      const namespace = namespaceName(name, hostName);
      const addresses = {
        ipv4: options.ipv4 ?? `10.77.0.${number}`,
        ipv6: options.ipv6 ?? `fd77::${number.toString(16)}`,
      };
      plugIn(namespace, bridge, `p${number}`, addresses, options.mtu ?? 1500);
      const host = createHost(hostName, namespace, addresses, sharedDist, () => {
        hosts.delete(hostName);
        forgetNeighbours();
      });
      hosts.set(hostName, host);
      return host;
    },
  };
}

/** Removes the files that dead test processes left behind. */
function removeStaleFiles(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^ringfence-(?:lab|fence)-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

/** Files of the lab under one directory that every user may enter. */
function createFiles() {
  const dir = mkdtempSync(join(tmpdir(), `ringfence-lab-${process.pid}-`));
  chmodSync(dir, 0o755);
  return {
    directory(name: string) {
      const path = join(dir, name);
      mkdirSync(path, { recursive: true });
      return path;
    },
    file(name: string, text: string) {
      const path = join(dir, name);
      writeFileSync(path, text);
      chmodSync(path, 0o644);
      return path;
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

function addSwitch(namespace: string): void {
  addNamespace(namespace);
  // Without snooping, neighbour discovery's multicast needs no querier.
  ip('-n', namespace, 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0', 'forward_delay', '0');
  ip('-n', namespace, 'link', 'set', 'br0', 'up');
}

type Addresses = { readonly ipv4: string | false; readonly ipv6: string | false };

function plugIn(namespace: string, bridge: string, port: string, { ipv4, ipv6 }: Addresses, mtu: number): void {
  addNamespace(namespace);
  ip('-n', bridge, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
  ip('-n', bridge, 'link', 'set', port, 'master', 'br0', 'mtu', String(mtu), 'up');
  ip('-n', namespace, 'link', 'set', 'eth0', 'mtu', String(mtu));
  if (ipv4 !== false) ip('-n', namespace, 'addr', 'add', `${ipv4}/24`, 'dev', 'eth0');
  if (ipv6 !== false) ip('-n', namespace, 'addr', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad');
  ip('-n', namespace, 'link', 'set', 'eth0', 'up');
}

function createHost(
  name: string,
  namespace: string,
  addresses: Addresses,
  dist: () => Dist,
  onRemoved: () => void,
): Host {
  const processes = new Set<LabProcess>();
  const address = (family: 'ipv4' | 'ipv6') => {
    const text = addresses[family];
    if (text === false) throw new Error(`host ${name} has no ${family} address`);
    return text;
  };
  const host: Host = {
    name,
    namespace,
    get ipv4() {
      return address('ipv4');
    },
    get ipv6() {
      return address('ipv6');
    },
    spawn(command, args, { uid, env } = {}) {
      const user = uid === undefined ? [] : ['--reuid', String(uid), '--regid', String(uid), '--clear-groups'];
      const started = startProcess(
        'ip',
        ['netns', 'exec', namespace, 'setpriv', '--pdeathsig', 'KILL', ...user, command, ...args],
        { ...process.env, ...env },
      );
      processes.add(started);
      return started;
    },
    exec: (command, args, env) => inNamespace(namespace, command, args, env && { ...process.env, ...env }),
    tryExec(command, args) {
      try {
        return { ok: true, output: inNamespace(namespace, command, args) };
      } catch (error) {
        return { ok: false, output: (error as Error).message };
      }
    },
    async run(command, args, timeoutMs = 20_000) {
      const started = host.spawn(command, args);
      try {
        const code = await started.exited(timeoutMs);
        return { ok: code === 0, output: started.lines().join('\n') };
      } finally {
        await started.kill();
        processes.delete(started);
      }
    },
    fence: (config, options) => startFence(host, dist(), config, options),
    async remove() {
      await Promise.allSettled([...processes].map((running) => running.kill()));
      removeNamespace(namespace);
      onRemoved();
    },
  };
  return host;
}
