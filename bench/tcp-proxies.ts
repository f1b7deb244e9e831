/** Proxies of TCP: nginx and haproxy with their configurations, our own forwarders; fences as everywhere (engines.ts). */
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type Forwarder, forwarder, nginxStream, startProxy, type Way } from './engines.ts';
import type { Context, Engine } from './measure.ts';
import { type Program, sleep, start } from './processes.ts';
import { LABEL_HEADER } from './tcp-payloads.ts';

const START_TIMEOUT_MS = 10_000;
const POLL_MS = 25;

/** What connections carry, for who must be told: where the label header stands, and whether megabytes follow. */
export interface Carried {
  readonly labelAt: number;
  readonly bulk: boolean;
}

/** Starts a proxy of TCP, set up as is best for what it carries, and waits until it listens. */
export async function startTcpProxy(engine: Engine, way: Way, carried: Carried, context: Context): Promise<Forwarder> {
  if (engine === 'linux' || engine === 'portable') return startProxy(engine, way, context);
  const { command, args, setup } = commandOf(engine, way, carried, context);
  const program = start(command, args, { core: context.cores.proxy });
  try {
    await untilListening(way.listen, program);
  } catch (error) {
    await program.stop();
    throw error;
  }
  const noMetric = () => Promise.reject(new Error(`${engine} has no metrics`));
  return { engine, way, program, strips: false, metric: noMetric, setup, stop: () => program.stop() };
}

interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly setup: string;
}

function commandOf(engine: Engine, way: Way, carried: Carried, context: Context): Command {
  const dir = join(context.dir, `tcp-${engine}-${way.listen.replaceAll(/[.:]/g, '-')}`);
  mkdirSync(dir, { recursive: true });
  const configured = (name: string, text: string) => {
    const file = join(dir, name);
    writeFileSync(file, text);
    return file;
  };
  if (engine === 'nginx') {
    const setup = nginxConfig(way, carried);
    return { command: 'nginx', args: ['-p', dir, '-c', configured('nginx.conf', setup)], setup };
  }
  if (engine === 'haproxy') {
    const setup = haproxyConfig(way, carried);
    return { command: 'haproxy', args: ['-f', configured('haproxy.cfg', setup)], setup };
  }
  const { program, command, leading } = forwarder(engine, 'tcp-forward', context);
  const label = ['--label', LABEL_HEADER.toString('hex'), '--offset', String(carried.labelAt)];
  const args = ['--at', way.listen, '--app', way.app, ...(engine === 'go' ? [] : label)];
  return { command, args: [...leading, ...args], setup: `${program} ${args.join(' ')}` };
}

/** One worker; looks at nothing. Larger buffers help bulk, and would be made anew for every short connection. */
function nginxConfig(way: Way, { bulk }: Carried): string {
  return nginxStream(
    'crit',
    `listen ${way.listen} backlog=4096;
    proxy_pass ${way.app};
    tcp_nodelay on;
    proxy_half_close on;
    proxy_buffer_size ${bulk ? '256k' : '64k'};`,
  );
}

/** One thread; waits for the label header and compares it. Strips nothing: it cannot. Bulk is spliced, through pipes as large as the fence's. */
function haproxyConfig(way: Way, { labelAt, bulk }: Carried): string {
  return `global
  nbthread 1
  maxconn 4096${bulk ? '\n  tune.pipesize 1048576' : ''}
defaults
  mode tcp${bulk ? '\n  option splice-request\n  option splice-response' : ''}
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend gossip
  bind ${way.listen} backlog 4096
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.payload(${labelAt},${LABEL_HEADER.length}) -m bin ${LABEL_HEADER.toString('hex')} }
  tcp-request content reject if { req.len ge ${labelAt + LABEL_HEADER.length} }
  default_backend app
backend app
  server app ${way.app}
`;
}

async function untilListening(listen: string, program: Program): Promise<void> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  let ended = false;
  void program.ended.then(() => {
    ended = true;
  });
  while (!(await connects(listen))) {
    if (ended || performance.now() > deadlineMs) throw new Error(`nothing listens at ${listen}: ${program.errors()}`);
    await sleep(POLL_MS);
  }
}

function connects(listen: string): Promise<boolean> {
  const [host = '', port = ''] = listen.split(':');
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket.once('connect', () => {
      socket.end();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
