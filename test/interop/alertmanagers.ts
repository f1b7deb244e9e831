/** Debian's prometheus-alertmanager (0.25: it predates labels) in a lab's hosts. */
import { fetchIn } from '../lab/fence.ts';
import type { Host, Lab } from '../lab/lab.ts';
import type { LabProcess } from '../lab/process.ts';

export const ALERTMANAGER_PORT = 9094;
const API = 'http://127.0.0.1:9093/api/v2';
const POLL_MS = 250;

export interface Alertmanager {
  readonly host: Host;
  readonly address: string;
  /** `ip:port` of its gossip. */
  readonly endpoint: string;
  readonly process: LabProcess;
  /** Posts a silence and gives its id. A comment over about 700 bytes travels by TCP, a shorter one by UDP. */
  silence(name: string, comment: string): Promise<string>;
  /** Comments of the silences that it knows. */
  silences(): Promise<readonly string[]>;
  /** `ip:port` of the members that it sees, itself included. */
  members(): Promise<readonly string[]>;
  /** How many members it sees, itself included. */
  peers(): Promise<number>;
}

/** Starts one, gossiping with `peers`, and waits for its API. */
export async function startAlertmanager(
  lab: Lab,
  host: Host,
  family: 'ipv4' | 'ipv6',
  peers: readonly string[],
  flags: readonly string[] = [],
): Promise<Alertmanager> {
  const config = lab.file('alertmanager.yml', 'route: {receiver: nobody}\nreceivers: [{name: nobody}]\n');
  const address = host[family];
  const endpoint = family === 'ipv6' ? `[${address}]:${ALERTMANAGER_PORT}` : `${address}:${ALERTMANAGER_PORT}`;
  const process = host.spawn('prometheus-alertmanager', [
    `--config.file=${config}`,
    `--storage.path=${lab.directory(`${host.name}-data`)}`,
    '--web.listen-address=127.0.0.1:9093',
    `--cluster.listen-address=${endpoint}`,
    `--cluster.advertise-address=${endpoint}`,
    '--cluster.pushpull-interval=3s',
    '--cluster.reconnect-interval=2s',
    '--cluster.settle-timeout=1s',
    '--log.level=debug',
    ...peers.map((peer) => `--cluster.peer=${peer}`),
    ...flags,
  ]);
  await process.waitFor(/Listening on|msg=Listening/, 20_000);
  const members = async () => {
    const status = JSON.parse(await fetchIn(host, `${API}/status`)) as {
      cluster: { peers?: readonly { address: string }[] };
    };
    return (status.cluster.peers ?? []).map((peer) => peer.address);
  };
  return {
    host,
    address,
    endpoint,
    process,
    async silence(name, comment) {
      const body = JSON.stringify({
        matchers: [{ name: 'alertname', value: name, isRegex: false, isEqual: true }],
        startsAt: new Date().toISOString(),
        endsAt: new Date(Date.now() + 3_600_000).toISOString(),
        createdBy: host.name,
        comment,
      });
      const answer = await fetchIn(host, `${API}/silences`, '-H', 'Content-Type: application/json', '-d', body);
      return (JSON.parse(answer) as { silenceID: string }).silenceID;
    },
    async silences() {
      const list = JSON.parse(await fetchIn(host, `${API}/silences`)) as readonly { comment: string }[];
      return list.map(({ comment }) => comment);
    },
    members,
    peers: async () => (await members()).length,
  };
}

/** Waits until `check` gives true; rejects, naming `what`, after `timeoutMs`. */
export async function eventually(what: string, timeoutMs: number, check: () => Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs;
  do {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  } while (Date.now() < deadlineMs);
  throw new Error(`not within ${timeoutMs} ms: ${what}`);
}
