/** The fence's own pings, sent from a lab's host. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { PingTransport } from '../../src/cli/ping-stream.ts';
import type { Host, Lab } from '../lab/lab.ts';

/** Whom to ask, and as whose fence. */
export interface PingOrder {
  readonly label: string;
  /** What the app behind the asking fence sends; `none` unless told. */
  readonly sends?: 'none' | 'own';
  /** Gossip keys as base64. */
  readonly keys?: readonly string[];
  readonly reseal?: boolean;
  /** `native` unless told. */
  readonly transport?: PingTransport;
  readonly tls?: {
    readonly certFile: string;
    readonly keyFile: string;
    readonly caFile: string;
    readonly serverName: string;
  };
  /** The address that a listen fence would be bound to; without it the asker is a transparent fence on port 7946. */
  readonly listen?: string;
  readonly targets: readonly { readonly name?: string; readonly address: string; readonly port: number }[];
}

/** What became of the pings of one target: datagram (`none`: the transport has none) and connection. */
export type Pinged = readonly [packet: string, stream: string];

/** The user that a fence runs under: the rules let it through. */
const FENCE_UID = 7946;

/** Makes an asker; it runs in any host of `lab`, as the fence's user. */
export async function createAsker(lab: Lab): Promise<(host: Host, order: PingOrder) => Promise<readonly Pinged[]>> {
  const outdir = lab.directory('ping-driver');
  await build({
    absWorkingDir: join(import.meta.dirname, '..', '..'),
    entryPoints: { driver: 'test/interop/ping-driver.ts' },
    outdir,
    ...{ bundle: true, format: 'esm', platform: 'node', external: ['koffi'] },
  });
  writeFileSync(join(outdir, 'package.json'), '{"type":"module"}');
  chmodSync(outdir, 0o755);
  return async (host, order) => {
    const args = ['-u', 'NODE_OPTIONS', process.execPath, join(outdir, 'driver.js'), JSON.stringify(order)];
    const asker = host.spawn('env', args, { uid: FENCE_UID });
    const code = await asker.exited(20_000);
    const said = asker.lines();
    if (code !== 0) throw new Error(`the asker ended with ${code}: ${said.join('\n')}`);
    return JSON.parse(said.at(-1) ?? '') as Pinged[];
  };
}
