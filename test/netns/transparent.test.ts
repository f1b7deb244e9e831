/** The transparent path between real network namespaces: who sees whom, what is rewritten, what is dropped, what fails closed. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Fence, fetchIn } from '../lab/fence.ts';
import { createLab, type Host, type HostOptions } from '../lab/lab.ts';
import type { LabProcess } from '../lab/process.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';

const APP = readFileSync(join(import.meta.dirname, 'transparent-app.cjs'), 'utf8');
const APP_UID = 65_534;
const LABEL = 'one.test';
/** The label header on the wire, as hex. */
const HEADER = `f408${Buffer.from(LABEL).toString('hex')}`;
const FOREIGN = `f403${Buffer.from('two').toString('hex')}`;
const WAIT_MS = 5_000;

interface Answer {
  readonly error?: string;
  readonly md5: string;
  readonly bytes: number;
  readonly answer?: string;
  readonly text?: string;
}

interface Member {
  readonly host: Host;
  readonly app: LabProcess;
  udp(to: string, size: number, more?: Record<string, string>): Promise<Answer>;
  tcp(to: string, size: number, more?: Record<string, string>): Promise<Answer>;
  /** Whether the app gets a line like this after `action`. */
  gets(pattern: RegExp, action: () => Promise<unknown>): Promise<string>;
  /** The lines that the app prints during `action` and half a second after. */
  during(action: () => Promise<unknown>): Promise<readonly string[]>;
}

async function member(host: Host, env: Record<string, string> = {}): Promise<Member> {
  const app = host.spawn(process.execPath, ['-e', APP], { uid: APP_UID, env });
  await app.waitFor(/^up$/, 10_000);
  const ask = async (path: string, to: string, size: number, more: Record<string, string> = {}) => {
    const query = new URLSearchParams({ to, size: String(size), ...more });
    const control = env['CONTROL_PORT'] ?? '9100';
    return JSON.parse(await fetchIn(host, `http://127.0.0.1:${control}${path}?${query}`)) as Answer;
  };
  return {
    host,
    app,
    udp: (to, size, more) => ask('/udp', to, size, more),
    tcp: (to, size, more) => ask('/tcp', to, size, more),
    async gets(pattern, action) {
      const mark = app.mark();
      await action();
      return app.waitFor(pattern, WAIT_MS, mark);
    },
    async during(action) {
      const mark = app.mark();
      await action();
      await new Promise((resolve) => setTimeout(resolve, 500));
      return app.lines(mark);
    },
  };
}

function config(stage: string, more: object = {}): object {
  return {
    fences: [
      {
        name: 'one',
        cluster: LABEL,
        stage,
        admit: { cidrs: ['10.77.0.0/24', 'fd77::/64'] },
        transparent: { port: 7946, peerPorts: [7950], ...more },
      },
    ],
  };
}

const counter = (host: Host, name: string): number => {
  const listing = host.exec('nft', ['list', 'counter', 'inet', 'ringfence', name]);
  return Number(/packets (\d+)/.exec(listing)?.[1]);
};

const skip = requireTools(LAB_TOOLS);

/** A lab with one fenced host, one bare one, and their apps. */
async function pair(t: Test, name: string, settings: object, link: HostOptions = {}) {
  const lab = createLab({ name });
  t.teardown(() => lab.close());
  const ours = await member(lab.addHost('ours', link));
  const bare = await member(lab.addHost('bare', link));
  const fence = await ours.host.fence(settings, { until: 'ready' });
  return { lab, ours, bare, fence };
}

const families = ['ipv4', 'ipv6'] as const;

t.test('both directions, UDP and TCP, addresses kept', { skip }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'ways', config('label'));
  for (const family of families) {
    const us = ours.host[family];
    const them = bare.host[family];
    await t.test(family, async (t) => {
      const out = await bare.gets(/^udp/, () => ours.udp(them, 100));
      t.match(out, `udp ${us} 7946 111 `, 'a datagram leaves from the app\'s own address and port');
      t.ok(out.endsWith(` ${HEADER.slice(0, 8)}`), 'with the label');
      const inbound = await ours.gets(/^udp/, () => bare.udp(us, 100, { prefix: `${HEADER}08` }));
      t.match(inbound, `udp ${them} 7946 101 `, "the app sees the peer's address and port, and no label");
      t.ok(inbound.endsWith(' 08000700'.slice(0, 5)) || / 0800/.test(inbound));
      t.match(await ours.gets(/^udp/, () => bare.udp(us, 100)), `udp ${them} 7946 101 `, 'an admitted bare peer passes');
      t.same(await ours.during(() => bare.udp(us, 100, { prefix: `${FOREIGN}08` })), [], 'a foreign datagram does not');

      const seen = await bare.gets(/^tcp/, async () => {
        const { error, answer } = await ours.tcp(them, 5_000);
        t.equal(error, undefined);
        t.ok(answer);
      });
      t.match(seen, `tcp ${us} 5011 `, 'a stream leaves labelled');
      const taken = await ours.gets(/^tcp/, async () => {
        const { error, answer, bytes } = await bare.tcp(us, 5_000, { prefix: `${HEADER}08` });
        t.equal(error, undefined);
        t.equal(bytes, 5_001, 'the answer comes back as it is');
        t.ok(answer);
      });
      t.match(taken, `tcp ${them} 5001 `, "the app sees the peer's address on TCP too");
      const refused = await bare.tcp(us, 100, { prefix: `${FOREIGN}08` });
      t.match(refused.text ?? '', /label/, 'a foreign stream is explained');
      const self = await ours.tcp(us, 1_000);
      t.match(self, { error: undefined, bytes: 1_001 }, 'the app dials its own address past the fence');
    });
  }
  t.equal(await fence.metric('rejected_total', { reason: 'label_foreign', kind: 'packet' }), 2);
  t.equal(await fence.metric('rejected_total', { reason: 'label_foreign', kind: 'stream' }), 2);
  t.equal(counter(ours.host, 'bypass_in'), 0);
  t.equal(counter(ours.host, 'bypass_out'), 0);
});
