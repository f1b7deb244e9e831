/** memberlist members of several releases in a lab's hosts, and what a ring of them must be able to do. */
import type { Test } from 'tap';
import { peekPacketLabel } from '../../src/wire/label.ts';
import { walkPacket } from '../../src/wire/walk.ts';
import { type Fence, fetchIn } from '../lab/fence.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { buildMember, type MemberlistVersion } from './build.ts';
import { type Digest, eventually, GOSSIP_PORT, type Peer, type PeerEvent, startPeer } from './peers.ts';

export const LABEL = 'traces.ours';
export const FOREIGN_LABEL = 'traces.other';

/** What every member carries in push/pull, and the sizes of user messages: one that fills an MTU exactly without a label. */
export const STATE_BYTES = 5_000_000;
const STREAM_MESSAGE_BYTES = 1_500_000;
const FULL_DATAGRAM_BYTES = { ipv4: 1_466, ipv6: 1_446 } as const;
const EXCHANGE_TIMEOUT_MS = 20_000;
/** SeqNo of the raw ping (memberlist/raw_ping.go), which its ack must carry. */
const RAW_PING_SEQ = 4242;
const JSON_BODY = 'content-type: application/json';

export type Family = 'ipv4' | 'ipv6';

/** `address:port`, with brackets where they belong. */
export function endpointOf(host: Host, family: Family, port = GOSSIP_PORT): string {
  return family === 'ipv6' ? `[${host.ipv6}]:${port}` : `${host.ipv4}:${port}`;
}

export interface MemberOptions {
  readonly version: MemberlistVersion;
  readonly family?: Family;
  readonly label?: string;
  /** memberlist's SkipInboundLabelCheck: it takes unlabelled frames only, and sends labelled ones. */
  readonly skipCheck?: boolean;
  /** The port that it binds, when a listen fence has the advertised one. */
  readonly port?: number;
  readonly stateBytes?: number;
  readonly compress?: boolean;
  /** Gossip keys as base64; the first is the primary one. */
  readonly keys?: readonly string[];
}

export async function startMember(lab: Lab, host: Host, options: MemberOptions): Promise<Peer> {
  const {
    version,
    family = 'ipv4',
    label = '',
    skipCheck = false,
    port = GOSSIP_PORT,
    stateBytes = 0,
    compress = true,
    keys = [],
  } = options;
  const endpoint = endpointOf(host, family);
  const args = ['-bind', host[family], '-port', String(port), '-advertise', endpoint];
  if (label !== '') args.push('-label', label);
  if (skipCheck) args.push('-skip-inbound-label-check');
  if (!compress) args.push('-no-compress');
  if (keys.length > 0) args.push('-keys', keys.join(','));
  return startPeer(lab, host, await buildMember(version), [...args, '-user-state-bytes', String(stateBytes)], endpoint);
}

/** Joins the others to the first; everyone sees everyone when it resolves. */
export async function joinRing(ring: readonly Peer[]): Promise<void> {
  const [first, ...others] = ring as [Peer, ...Peer[]];
  for (const other of others) {
    const { ok, error } = await other.command(`join ${first.endpoint}`);
    if (!ok) throw new Error(`${other.name} cannot join its own ring: ${error}`);
  }
  const names = ring.map(({ name }) => name);
  await Promise.all(ring.map((peer) => peer.waitForMembers(names, EXCHANGE_TIMEOUT_MS)));
}

/** A push/pull of both states, pings, and user messages over both transports, each way: all arrive unchanged. */
export async function exercise(t: Test, a: Peer, b: Peer, message: string): Promise<void> {
  const marks = new Map([a, b].map((peer) => [peer, peer.process.mark()]));
  const since = (peer: Peer, event: string) => peer.events(event, marks.get(peer));
  const joined = await b.command(`join ${a.endpoint}`);
  t.ok(joined.ok, `${message}: push/pull ${joined.error}`);
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const state = from.events('ready')[0] as PeerEvent;
    await t.resolves(
      arrives(since, to, 'remote-state', state),
      `${message}: ${to.name} got the ${state.bytes} bytes of ${from.name}`,
    );
    const { ok, error } = await from.command(`ping ${to.name}`);
    t.ok(ok, `${message}: ${from.name} pings ${to.name} ${error}`);
    for (const [how, bytes] of [
      ['sendtcp', STREAM_MESSAGE_BYTES],
      ['sendudp', 300],
      ['sendudp', FULL_DATAGRAM_BYTES[from.endpoint.startsWith('[') ? 'ipv6' : 'ipv4']],
    ] as const) {
      const sent = await from.command(`${how} ${to.name} ${bytes}`);
      t.ok(sent.ok, `${message}: ${how} ${bytes} ${sent.error}`);
      await t.resolves(arrives(since, to, 'message', sent), `${message}: ${how} of ${bytes} bytes reached ${to.name}`);
    }
  }
}

/** Waits for an event with the same length and digest. */
function arrives(
  since: (peer: Peer, event: string) => readonly PeerEvent[],
  to: Peer,
  event: string,
  wanted: Digest,
): Promise<void> {
  return eventually(`${event} at ${to.name}`, EXCHANGE_TIMEOUT_MS, () => {
    const seen = since(to, event).map(({ bytes, sha256 }) => `${bytes} ${sha256}`);
    const expected = `${wanted.bytes} ${wanted.sha256}`;
    return seen.includes(expected) ? undefined : `got [${seen}], not ${expected}`;
  });
}

export interface RawPing {
  readonly version: MemberlistVersion;
  readonly from: Host;
  readonly to: Peer;
  readonly port: number;
  readonly family?: Family;
  readonly label?: string;
}

/** Sends a ping without Source* fields and gives the ack: undefined without one, the label that it carried and where it came from. */
export async function rawPing({ version, from, to, port, family = 'ipv4', label = '' }: RawPing) {
  const args = ['-raw-ping', to.endpoint, '-name', to.name, '-bind', from[family], '-port', String(port)];
  if (label !== '') args.push('-label', label);
  const { ok, output } = await from.run(await buildMember(version), args);
  if (!ok) throw new Error(`raw ping: ${output}`);
  const ack = JSON.parse(output) as { ok: boolean; from?: string; hex?: string };
  if (!ack.ok || ack.hex === undefined) return undefined;
  const peeked = peekPacketLabel(Buffer.from(ack.hex, 'hex'));
  if (!peeked.ok) throw new Error(`not a frame: ${ack.hex}`);
  const { label: carried, bodyAt } = peeked.value;
  // Gossip may ride along in a compound.
  const { messages } = walkPacket(Buffer.from(ack.hex, 'hex').subarray(bodyAt));
  if (!messages.some((message) => message.type === 'ackResp' && message.SeqNo === RAW_PING_SEQ)) {
    throw new Error(`not the ack: ${ack.hex}`);
  }
  return { from: ack.from, label: Buffer.from(carried).toString() };
}

/** Moves every fence to `stage` through the admin API, safe or not. */
export async function moveTo(stage: string, fences: ReadonlyMap<Host, Fence>): Promise<void> {
  for (const host of fences.keys()) {
    await fetchIn(
      host,
      'http://127.0.0.1:9746/api/v1/stage',
      '-H',
      JSON_BODY,
      '-d',
      JSON.stringify({ stage, force: true }),
    );
  }
}
