/** `ringfence demo`, both modes, as a user sees it: its lines, its admin API, its end. */
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import { demo, demoCommand } from '../../src/cli/demo.ts';

const TIMEOUT_MS = 30_000;

/** A running demo in this process. */
class Show {
  text = '';
  readonly #ending = new AbortController();
  readonly code: Promise<number>;

  constructor(t: Test, options: { fenced: boolean; net: string; adminPort?: number }) {
    const write = (text: string) => {
      this.text += text;
    };
    this.code = demo({ adminPort: 0, ...options, out: { write }, signal: this.#ending.signal });
    // Whoever awaits `code` sees its failure; without this a failed wait elsewhere would leave it unhandled.
    this.code.catch(() => undefined);
    t.teardown(async () => {
      this.#ending.abort();
      await this.code.catch(() => undefined);
    });
  }

  async line(pattern: RegExp): Promise<RegExpExecArray> {
    const deadlineMs = Date.now() + TIMEOUT_MS;
    for (;;) {
      const found = pattern.exec(this.text);
      if (found !== null) return found;
      if (Date.now() > deadlineMs) throw new Error(`no ${pattern} within ${TIMEOUT_MS} ms:\n${this.text}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  end(): Promise<number> {
    this.#ending.abort();
    return this.code;
  }
}

const get = async (url: string) => (await fetch(url, { signal: AbortSignal.timeout(5_000) })).text();

/** Sum of the samples of `ringfence_rejected_total` that match. */
function rejected(metrics: string, pattern: RegExp): number {
  return metrics
    .split('\n')
    .filter((line) => line.startsWith('ringfence_rejected_total{') && pattern.test(line))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

t.test('behind fences the rings stay three and three, and every attempt is counted', async (t) => {
  const show = new Show(t, { fenced: true, net: '127.0.77' });
  const [, url] = await show.line(/(http:\/\/127\.0\.0\.1:\d+)/);
  await show.line(/blue-2 fence +rejects connections from 127\.0\.77\.2\d \(green-\d\): label_foreign "tempo-green"/);
  await show.line(/was turned away: remote error: ringfence: label "tempo-green" is not accepted here/);
  const early = rejected(await get(`${url}/metrics`), /reason="label_foreign"/);
  t.ok(early > 0, 'counted within seconds');
  await show.line(
    /summary +tempo-blue 3 members · tempo-green 3 members · rejected [1-9]\d* packets, [1-9]\d* connections/,
  );
  const metrics = await get(`${url}/metrics`);
  t.ok(rejected(metrics, /reason="label_foreign"/) > early, 'and it goes on');
  t.equal(rejected(metrics, /reason="(?!label_foreign)/), 0, 'nothing else is rejected: no member is cut off');
  t.match(await get(`${url}/api/v1/rejections`), /"label": "tempo-green"/);
  t.equal(await get(`${url}/readyz`), 'ready\n', 'pods that are gone make nobody unready');
  t.notMatch(show.text, /FOREIGN|another cluster\n/);
  const startedMs = Date.now();
  t.equal(await show.end(), 0);
  t.ok(Date.now() - startedMs < 3_000, 'it ends within three seconds');
  t.match(show.text, /everyone said goodbye; the fences had rejected [1-9]/);
  t.notOk(show.text.includes('\x1b'), 'no colour outside a terminal');
  await t.rejects(get(`${url}/healthz`), 'the admin API is closed');
});

t.test('without fences they merge, every list holds all six that live, and it ends by itself', async (t) => {
  const show = new Show(t, { fenced: false, net: '127.0.78' });
  await show.line(/two rings are one/);
  t.equal(await show.code, 0);
  for (const name of ['blue-0', 'blue-1', 'blue-2', 'green-0', 'green-1', 'green-3']) {
    // Whether green-2's death was noticed by then is a race that the demo tells as it went.
    const lists = `6 members in its list: blue-0 blue-1 blue-2 green-0 green-1 green-3
|7 members in its list: blue-0 blue-1 blue-2 green-0 green-1 green-2 \\(dead, not noticed yet\\) green-3
`;
    t.match(show.text, new RegExp(`${name} +(${lists})`));
  }
});

t.test('what cannot start is one clear line', async (t) => {
  const busy = createServer();
  await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
  t.teardown(() => busy.close());
  const bound = busy.address();
  const adminPort = typeof bound === 'object' && bound !== null ? bound.port : 0;
  const line = (message: RegExp) => ({ exitCode: 1, message });
  const port = new Show(t, { fenced: true, net: '127.0.79', adminPort });
  await t.rejects(port.code, line(new RegExp(`^ringfence demo: .*127.0.0.1:${adminPort}.* in use .*--port`)));

  const member = createServer();
  await new Promise<void>((resolve) => member.listen(7946, '127.0.79.12', resolve));
  t.teardown(() => member.close());
  for (const fenced of [true, false]) {
    const taken = new Show(t, { fenced, net: '127.0.79' });
    await t.rejects(
      taken.code,
      line(/127\.0\.79\.12:7946.*is another demo running\?$/),
      'a member that is there already',
    );
    // 192.0.2.0/24 is for documentation: no interface has it, as no macOS has 127.0.71.11. Binding sends nothing.
    const absent = new Show(t, { fenced, net: '192.0.2' });
    await t.rejects(absent.code, line(/192\.0\.2\.11.*which Linux has from the start and macOS does not$/));
  }
});

t.test('flags', async (t) => {
  const usage = (message: RegExp) => ({ exitCode: 64, message });
  for (const port of ['x', '', '-1', '70000', '1e3']) {
    t.throws(() => demoCommand({ fence: true, net: '127.0.71', port }), usage(/--port/), `port ${port}`);
  }
  for (const net of ['', '10.0.0', '127.0', '127.0.256', '127.0.0.1', '127.0.\x1b[31m']) {
    t.throws(() => demoCommand({ fence: true, net, port: '0' }), usage(/--net/), `net ${net}`);
  }
});
