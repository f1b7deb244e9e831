/** The log: sampled rejections, both formats, and text that attackers wrote. */
import t from 'tap';
import { createLog, type LogOptions } from '../../src/telemetry/log.ts';
import { createSampler, SAMPLED_KEYS_MAX, SAMPLED_LINES_MAX } from '../../src/telemetry/sampler.ts';
import { formatTextLine } from '../../src/telemetry/text-format.ts';
import { rejection } from './helpers.ts';

t.test('the first is a line at once, the rest is a count at the end of the interval', async (t) => {
  const sampler = createSampler();
  t.match(sampler.note('a', rejection()), { fence: 'a', first: true, count: 1, reason: 'label_foreign' });
  for (let i = 0; i < 5; i++) t.equal(sampler.note('a', rejection({ atMs: i })), undefined);
  t.match(sampler.note('b', rejection()), { fence: 'b', first: true }, 'another fence');
  t.match(sampler.note('a', rejection({ reason: 'peer_foreign' })), { first: true }, 'another reason');
  t.match(sampler.note('a', rejection({ address: '10.0.0.1' })), { first: true }, 'another peer');
  t.equal(
    sampler.note('a', rejection({ peer: { address: '10.0.0.9', port: 1 } })),
    undefined,
    'a port makes no other peer',
  );
  t.match(sampler.flush(), [{ fence: 'a', first: false, count: 6, rejection: { peer: { port: 1 } } }]);
  t.equal(sampler.note('a', rejection()), undefined, 'still the same story');
  t.match(sampler.flush(), [{ count: 1 }]);
  t.strictSame(sampler.flush(), [], 'silence ends the story');
  t.match(sampler.note('a', rejection()), { first: true }, 'so the next one is a first one');
});

t.test('many peers cannot flood log or memory, and none is left out of the counts', async (t) => {
  const sampler = createSampler();
  const peers = SAMPLED_KEYS_MAX * 2;
  let lines = 0;
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < peers; i++) if (sampler.note('a', rejection({ address: `p${i}` })) !== undefined) lines++;
  }
  t.equal(lines, SAMPLED_LINES_MAX);
  const summary = sampler.flush();
  t.ok(summary.length <= SAMPLED_LINES_MAX + 1);
  const counted = summary.reduce((sum, { count }) => sum + count, lines);
  t.equal(counted, 2 * peers, 'every rejection is in a line or a summary');
  t.match(summary.at(-1), { rejection: undefined, reason: 'label_foreign' });
});

/** A log into a list of lines. */
function capture(change: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = createLog({
    level: 'info',
    format: 'json',
    ownLabel: () => Buffer.from('blue'),
    destination: { write: (line) => void lines.push(line) },
    ...change,
  });
  return { log, lines };
}

t.test('a rejection has its fields, escaped', async (t) => {
  const { log, lines } = capture();
  log.rejection('traces', rejection({ text: 'x"\n{', address: 'fd00::1' }));
  log.rejection('traces', rejection({ address: 'fd00::1' }));
  t.equal(lines.length, 1);
  t.match(JSON.parse(lines[0] ?? ''), {
    level: 'warn',
    fence: 'traces',
    peer: '[fd00::1]:50000',
    direction: 'inbound',
    transport: 'native',
    kind: 'stream',
    reason: 'label_foreign',
    label: 'x\\x22\\x0a{',
    ownLabel: 'blue',
    count: 1,
    msg: 'rejected',
  });
  log.close();
  t.match(
    JSON.parse(lines[1] ?? ''),
    { count: 1, label: 'green', msg: 'rejected again since the last summary' },
    'closing tells the rest',
  );
});

t.test('what observe let pass is told as such, apart from rejections', async (t) => {
  const { log, lines } = capture();
  log.rejection('traces', rejection({ wouldRejectAt: 'accept' }));
  log.rejection('traces', rejection());
  t.match(
    lines.map((line) => JSON.parse(line)),
    [{ wouldRejectAt: 'accept', msg: /^passed, but would be rejected/ }, { msg: /^rejected/ }],
  );
});

t.test('summaries come by themselves', async (t) => {
  const { log, lines } = capture({ summaryIntervalMs: 20 });
  t.teardown(() => log.close());
  log.rejection('traces', rejection());
  log.rejection('traces', rejection());
  const keepAlive = setTimeout(() => {}, 5_000);
  for (let i = 0; i < 100 && lines.length < 2; i++) await new Promise((resolve) => setTimeout(resolve, 20));
  clearTimeout(keepAlive);
  t.equal(lines.length, 2);
});

t.test('levels, faults, text', async (t) => {
  const { log, lines } = capture({ level: 'warn', format: 'text' });
  log.info({}, 'not this');
  log.fault('traces', { code: 'send_failed', message: 'ENOBUFS' });
  for (let i = 0; i < 50; i++) log.fault('traces', { code: 'send_failed', message: `ENOBUFS ${i}` });
  log.close();
  t.match(lines, [
    /^\d{4}-\d\d-\d\dT[\d:.]+Z WARN {2}ENOBUFS fence=traces code=send_failed\n$/,
    /ENOBUFS 49 \(the last of 50 more\) fence=traces code=send_failed count=50\n$/,
  ]);
  t.equal(lines.length, 2);
  t.equal(formatTextLine('no json'), 'no json');
  const line = formatTextLine('{"time":"T","level":"info","msg":"m","a":"two words","b":[1],"c":"q\\"\\n"}');
  t.equal(line, 'T INFO  m a="two words" b=[1] c="q\\"\\n"\n');
});
