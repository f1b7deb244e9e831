/** What the tests of admission by DNS share: a fenced host at accept whose only rule is a name, and a name server. */
import type { Test } from 'tap';
import { type LabDns, startDns } from '../lab/dns.ts';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host } from '../lab/lab.ts';
import { digest, type FAMILIES, LABEL, type Member, startMember } from './transparent-kit.ts';

/** The rule: absolute, so that no search list of the machine is tried. */
export const NAME = 'ring.test.';
export const ZONE = 'ring.test';
/** limits.strangerWait. */
export const WAIT_MS = 2_000;
const POLL_MS = 100;

export interface Stand {
  readonly dns: LabDns;
  readonly ours: Member;
  readonly fence: Fence;
  member(name: string): Promise<Member>;
  /** What DNS lists from now on: all addresses of these hosts. */
  list(...members: readonly Member[]): void;
  rejected(labels?: Readonly<Record<string, string>>): Promise<number>;
}

/** A fenced host and a name server; the ring's name exists and is empty. */
export async function stand(t: Test, name: string, limits: object, grace = '60s'): Promise<Stand> {
  const lab = createLab({ name });
  t.teardown(() => lab.close());
  const dns = await startDns(lab);
  t.teardown(() => dns.close());
  dns.set(ZONE, []);
  const host = lab.addHost('ours');
  dns.use(host);
  const ours = await startMember(host);
  const config = {
    fences: [
      {
        ...{ name: 'one', cluster: LABEL, stage: 'accept', transparent: {} },
        admit: { dns: [NAME], grace },
        limits: { strangerWait: `${WAIT_MS}ms`, ...limits },
      },
    ],
  };
  const fence = await host.fence(config, { until: 'ready' });
  const addresses = ({ ipv4, ipv6 }: Host) => [ipv4, ipv6];
  return {
    dns,
    ours,
    fence,
    member: (member) => startMember(lab.addHost(member)),
    list: (...members) =>
      dns.set(
        ZONE,
        members.flatMap((member) => addresses(member.host)),
      ),
    rejected: (labels = {}) => fence.metric('rejected_total', { reason: 'peer_not_admitted', ...labels }),
  };
}

export const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `is` holds; throws after ten seconds. */
export async function until(what: string, is: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + 10_000;
  while (!(await is())) {
    if (Date.now() > endMs) throw new Error(`${what}: not within ten seconds`);
    await sleep(POLL_MS);
  }
}

/** What the app prints of 100 bytes by datagram from `host`. */
export const plain = (host: Host, family: (typeof FAMILIES)[number]) =>
  `udp ${host[family]} 7946 101 ${digest('08', 100)} `;
