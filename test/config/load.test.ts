// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the configuration has variables of that form
/** What good files become, the examples in config/ among them. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { renderSchema } from '../../src/cli/schema.ts';
import { CONFIG_MAX_BYTES, ConfigError, loadConfig, parseConfig } from '../../src/config/load.ts';
import { formatDuration, parseDuration, parseEndpoint, show } from '../../src/config/units.ts';
import { formatEndpoint } from '../../src/wire/address.ts';

const root = new URL('../..', import.meta.url).pathname;
const LISTEN = 'fences: [{ name: a, cluster: blue, listen: "127.0.0.1:7946", app: { address: "127.0.0.1:7947" } }]\n';
const SIDECAR_ENV = { RELEASE: 'tempo', NAMESPACE: 'traces', RINGFENCE_RING: 'gossip-ring.traces.svc.cluster.local.' };

t.test('config/schema.json is what `ringfence schema` prints', async (t) => {
  t.equal(readFileSync(join(root, 'config/schema.json'), 'utf8'), renderSchema());
});

t.test('config/quickstart.yaml', async (t) => {
  const { fences, admin, log, notes } = loadConfig(join(root, 'config/quickstart.yaml'), {});
  t.match(fences, [{ name: 'traces', cluster: 'tempo-blue.traces', stage: 'observe', ceiling: { stage: 'accept' } }]);
  t.strictSame(fences[0]?.mode, {
    kind: 'listen',
    listen: { address: '127.0.0.1', port: 7946 },
    app: { address: '127.0.0.1', port: 7947 },
  });
  t.strictSame(fences[0]?.cidrs, [{ address: '127.0.0.0', prefix: 8, family: 'ipv4' }]);
  t.strictSame(admin, { address: { address: '127.0.0.1', port: 9746 }, writeToken: '' });
  t.strictSame(log, { level: 'info', format: 'text' });
  t.strictSame(notes, [], 'nothing to say about it');
});

t.test('config/sidecar.yaml', async (t) => {
  const env = { ...SIDECAR_ENV, RINGFENCE_STAGE: 'enforce', RINGFENCE_TOKEN: 'a-token-of-sixteen' };
  const { fences, admin, notes } = loadConfig(join(root, 'config/sidecar.yaml'), env);
  t.match(fences, [{ cluster: 'tempo.traces', stage: 'enforce', ceiling: undefined, drainGraceMs: 25_000 }]);
  t.match(fences, [{ dns: ['gossip-ring.traces.svc.cluster.local.'], cidrs: [] }]);
  t.match(loadConfig(join(root, 'config/sidecar.yaml'), { ...SIDECAR_ENV, RINGFENCE_STAGE: 'auto' }).fences, [
    { auto: true },
  ]);
  t.strictSame(fences[0]?.mode, {
    kind: 'transparent',
    port: 7946,
    peerPorts: [],
    proxyPort: 17946,
    uid: 7946,
    tcpSource: 'peer',
    whenDown: 'closed',
  });
  t.equal(admin.writeToken, 'a-token-of-sixteen');
  t.strictSame(notes, []);
});

t.test('defaults are those of the design', async (t) => {
  const { fences, admin, log } = parseConfig(LISTEN, 'f', {});
  t.match(fences[0], {
    label: new TextEncoder().encode('blue'),
    dialects: { sends: 'none', takes: 'none', wire: 'none' },
    unterminatedTls: 'reject',
    shield: true,
    streams: { transport: 'auto', rejectStreams: 'explain' },
    memory: { peers: 10_000, windowMs: 600_000, foreignMs: 10_000 },
    drainGraceMs: 25_000,
  });
  t.strictSame(fences[0]?.streams.limits, {
    headerTimeoutMs: 5_000,
    connectTimeoutMs: 5_000,
    idleTimeoutMs: 60_000,
    streams: 1_024,
    streamsPerPeer: 64,
    sessions: 4_096,
    sessionIdleMs: 60_000,
    rejectDrainMs: 5_000,
    rejectDrainBytes: 33_554_432,
    holdTimeoutMs: 10_000,
    holdBytes: 33_554_432,
    holdBytesTotal: 134_217_728,
    pushPullNodes: 65_536,
    announcedBytes: 536_870_912,
  });
  t.strictSame(admin, { address: { address: '0.0.0.0', port: 9746 }, writeToken: '' });
  t.strictSame(log, { level: 'info', format: 'json' });
});

t.test('where a fence starts', async (t) => {
  const start = (fence: string) => parseConfig(`fences: [{ name: a, cluster: b, ${fence} }]`, 'f', {});
  const observe = start('transparent: {}, admit: { cidrs: [10.0.0.0/8] }');
  t.match(observe.fences[0], { stage: undefined, auto: false, floor: 'observe' });
  const asked = 'the fences of the first peers say where it starts; without an answer at observe';
  t.strictSame(observe.notes, [{ level: 'info', text: `f:1: fences[0]: no stage is set: ${asked}` }]);
  const translated = start('transparent: {}, wire: own, admit: { cidrs: [10.0.0.0/8] }');
  t.match(translated.fences[0], { stage: undefined, floor: 'accept' });
  t.match(translated.notes, [
    { level: 'info', text: /at accept, because the app and the wire speak different dialects/ },
  ]);
  const auto = parseConfig(
    'stateFile: /s\nfences: [{ name: a, cluster: b, transparent: {}, stage: auto, admit: { cidrs: [10.0.0.0/8] } }]',
    'f',
    {},
  );
  t.match(auto.fences[0], { stage: undefined, auto: true, floor: 'observe' });
  t.strictSame(auto.notes, [{ level: 'info', text: `f:2: fences[0]: auto: the state file, then ${asked}` }]);
  t.equal(start('transparent: {}, wire: own, app: { sends: own, takes: any }').fences[0]?.floor, 'observe');
  const native = start(
    'listen: "[::1]:1", app: { address: "[::1]:2", sends: own, takes: own }, wire: own, stage: enforce',
  );
  t.equal(native.fences[0]?.stage, 'enforce', 'a listen fence goes all the way for native labels');
  t.equal(native.fences[0]?.ceiling, undefined);
});

t.test('what deserves a warning', async (t) => {
  const warnings = (fence: string, rest = '') =>
    parseConfig(`fences: [{ name: a, cluster: b, transparent: {}, ${fence} }]\n${rest}`, 'f', {})
      .notes.filter(({ level }) => level === 'warn')
      .map(({ text }) => text);
  const rules = 'admit: { cidrs: [10.0.0.0/8] }';
  t.strictSame(warnings(`stage: accept, ${rules}`), []);
  t.match(warnings('stage: accept'), [
    /^f:1: fences\[0\]\.admit: NO ADMISSION RULES at stage accept: unlabelled frames of anyone pass/,
  ]);
  t.match(warnings('stage: enforce'), [/outbound frames to anyone pass/]);
  t.strictSame(warnings('stage: observe'), [], 'observe lets everyone pass anyway');
  t.strictSame(warnings('admit: { cidrs: [::/0], names: [a-*], grace: 10s }'), []);
  t.match(warnings('admit: { names: ["a-*"] }'), [
    /admit\.names: names alone admit every address whose members gossip does not know yet/,
  ]);
  t.match(warnings(`${rules}, limits: { inspectBytesPerSecond: 0 }`), [
    /limits\.inspectBytesPerSecond: no frame is looked into/,
  ]);
  t.match(warnings(`${rules}, quarantine: true`), [/quarantine: has no effect at observe/]);
  t.strictSame(warnings(`${rules}, quarantine: true, stage: accept`), []);
  t.strictSame(warnings('admit: { dns: [ring.test] }'), []);
  t.match(warnings('stage: auto'), [/NO ADMISSION RULES from accept on/]);
  t.match(warnings('admit: { dns: [ring.test], names: [a-*] }, limits: { inspectBytesPerSecond: 0 }'), [
    /admit\.names: has no effect while no frame is looked into/,
    /no frame is looked into/,
  ]);
  const both = parseConfig(
    'fences: [{ name: a, cluster: b, transparent: {}, stage: accept, quarantine: true, admit: { cidrs: [10.0.0.0/8], dns: [a] } }]',
    'f',
    {},
  );
  t.match(both.notes, [
    { level: 'info', text: /quarantine: strips nobody for an address/ },
    { level: 'info', text: /admit\.dns: an address is admitted by either/ },
  ]);
  const reseal = 'encryption: { keyFiles: [/k], reseal: on }';
  t.match(warnings(`${rules}, ${reseal}`), [/encryption\.reseal: has no effect at observe/]);
  t.strictSame(warnings(`${rules}, ${reseal}, stage: label`), []);
  const listening = `{ name: a, cluster: b, listen: "127.0.0.1:7946", stage: accept, app: { address: "127.0.0.1:7947" }`;
  const heard = parseConfig(`fences: [${listening}, ${rules}, ${reseal} }]`, 'f', {}).notes;
  t.match(heard.at(-1), { level: 'warn', text: /reseal: a listen fence does not see what the app dials/ });
  const said = parseConfig(`fences: [{ name: a, cluster: b, transparent: {}, stage: label, ${reseal} }]`, 'f', {});
  t.match(said.notes[0], { level: 'info', text: /reseal: is safe once every fence of the ring has the keys/ });
  t.match(said.fences[0]?.encryption, { keyFiles: ['/k'], reseal: true });
  t.match(warnings(`tls: { clientAuth: true }, ${rules}`), [/clientAuth: has no effect/]);
  t.match(warnings(`tls: { verifyServer: chain }, ${rules}`), [/verifyServer: has no effect/]);
  const files = 'certFile: /c, keyFile: /k';
  const spoken = `app: { transport: dskit-tls }, ${rules}`;
  t.strictSame(warnings(`tls: { ${files}, caFile: /a }, ${spoken}`), []);
  t.match(warnings(`tls: { ${files}, clientAuth: false, verifyServer: none }, ${spoken}`), [
    /clientAuth: anyone may open TLS/,
    /verifyServer: no certificate of a member that the fence dials is verified/,
  ]);
  t.match(warnings(rules, 'admin: { writeToken: short }'), [/^f:2: admin\.writeToken: is shorter than 16 characters$/]);
  const open = parseConfig('fences: [{ name: a, cluster: b, transparent: { whenDown: open } }]', 'f', {});
  t.match(open.notes.at(-1), { level: 'warn', text: /whenDown: gossip passes UNFENCED/ });
  const label = { name: 'a', cluster: 'b', stage: 'accept', admit: { cidrs: ['10.0.0.0/8'] } };
  const app = { address: '127.0.0.1:7947', sends: 'own', takes: 'own' };
  const notesOf = (more: object) => parseConfig(JSON.stringify({ fences: [{ ...label, ...more }] }), 'f', {}).notes;
  const past = [{ level: 'warn', text: /^f:1: fences\[0\]\.wire: a listen fence does not see what the app dials/ }];
  t.match(notesOf({ listen: '127.0.0.1:7946', app }), past);
  t.strictSame(notesOf({ listen: '127.0.0.1:7946', app, wire: 'own' }), [], 'nothing to translate');
  t.strictSame(notesOf({ transparent: {}, app: { sends: 'own', takes: 'own' } }), [], 'a transparent fence translates');
});

t.test('variables', async (t) => {
  const file = (cluster: string) => `fences: [{ name: a, cluster: "${cluster}", transparent: {} }]`;
  const cluster = (text: string, env: Record<string, string>) => parseConfig(file(text), 'f', env).fences[0]?.cluster;
  t.equal(cluster('${A}.${B}', { A: 'x', B: 'y' }), 'x.y');
  t.equal(cluster('${A:-d}', {}), 'd');
  t.equal(cluster('${A:-d}', { A: '' }), 'd', 'empty counts as unset where there is a default');
  t.equal(cluster('${A:-}x', {}), 'x');
  t.equal(cluster('a$b', {}), 'a$b');
  t.equal(cluster('${A}', { A: '${B}' }), '${B}', 'a value is not expanded again');
  t.equal(cluster('${A}', { A: '12' }), '12', 'text stays text');
  const typed = 'fences: [{ name: a, cluster: b, shield: "${S}", transparent: { port: "${P}" } }]';
  const { fences } = parseConfig(typed, 'f', { S: 'false', P: '7000' });
  t.match(fences[0]?.mode, { port: 7000 }, 'a variable may stand for a number');
});

t.test('files that cannot be read', async (t) => {
  const dir = t.testdir({});
  const refusal = (file: string) => {
    try {
      loadConfig(join(dir, file), {});
    } catch (error) {
      if (error instanceof ConfigError) return error.lines.map((line) => line.replace(dir, ''));
    }
    return undefined;
  };
  mkdirSync(join(dir, 'd'));
  writeFileSync(join(dir, 'big.yaml'), '#'.repeat(CONFIG_MAX_BYTES + 1));
  t.strictSame(refusal('none.yaml'), ['/none.yaml: cannot be read: no such file']);
  t.strictSame(refusal('d'), ['/d: cannot be read: it is a directory']);
  t.match(refusal('big.yaml'), [
    /^\/big\.yaml: cannot be read: it has 1048577 bytes; a configuration has at most 1048576$/,
  ]);
  t.throws(() => loadConfig('/dev/zero', {}), /cannot be read: it is no regular file/);
});

t.test('any text gives values or a ConfigError, each line with file and line', async (t) => {
  const words = [
    'fences:',
    '- ',
    'name: a',
    'cluster: ',
    '${A}',
    '{',
    '}',
    '[',
    ']',
    ': ',
    '\n  ',
    '&a',
    '*a',
    '"',
    'listen',
    '<<: ',
  ];
  const text = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom(...words)).map((parts) => parts.join('')),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(text, (yaml) => {
        try {
          parseConfig(yaml, 'f', { A: 'x' });
        } catch (error) {
          return (
            error instanceof ConfigError &&
            error.lines.length > 0 &&
            error.lines.every((l) => /^f:\d+: [ -~]+$/.test(l))
          );
        }
        return true;
      }),
      { numRuns: 500 },
    ),
  );
});

t.test('units', async (t) => {
  for (const [text, ms] of [
    ['500ms', 500],
    ['10s', 10_000],
    ['10m', 600_000],
    ['1h', 3_600_000],
  ] as const) {
    t.equal(parseDuration(text), ms);
    t.equal(formatDuration(ms), text);
  }
  for (const text of ['', '5', '-1s', '1.5s', '1d', '1s ', 's']) t.equal(parseDuration(text), undefined, text);
  t.equal(formatDuration(0), '0ms');
  for (const text of ['10.0.0.1:1', '[fd00::1]:65535', '0.0.0.0:0']) {
    const endpoint = parseEndpoint(text);
    t.equal(endpoint && formatEndpoint(endpoint), text);
  }
  for (const text of ['', ':1', '1.2.3:1', '1.2.3.4', '1.2.3.4:65536', '[fe80::1%eth0]:1', '[1.2.3.4]:1', 'host:1']) {
    t.equal(parseEndpoint(text), undefined, text);
  }
  t.equal(show('x'.repeat(100)), `"${'x'.repeat(60)}"...`);
  t.equal(show('é\n'), '"\\u00e9\\n"');
  t.equal(show(undefined), 'nothing');
  t.equal(show([]), 'a list');
  t.equal(show(null), 'null');
});

t.test('the TLS transports, and what connections speak inside', async (t) => {
  const tls = { certFile: '/c', keyFile: '/k', caFile: '/a' };
  const read = (transport: string, more: object) =>
    parseConfig(
      JSON.stringify({ fences: [{ name: 'a', cluster: 'b', transparent: {}, app: { transport }, ...more }] }),
      'f',
      {},
    ).fences[0];
  const defaults = { ...tls, clientAuth: true, verifyServer: 'name', serverName: '' };
  t.strictSame(read('dskit-tls', { tls })?.tls, defaults);
  t.equal(read('dskit-tls', { tls })?.streams.transport, 'dskit');
  t.strictSame(read('alertmanager-tls', { tls: { ...tls, serverName: 'am.test' } })?.tls, {
    ...defaults,
    serverName: 'am.test',
  });
  t.equal(read('alertmanager-tls', { tls })?.streams.transport, 'alertmanager');
  t.equal(read('dskit', {})?.tls, undefined);
});

t.test('names in DNS, and what goes with them', async (t) => {
  const names = [
    'ring',
    'ring.test',
    'ring.test.',
    '_memberlist._tcp.ring.test',
    '1.test',
    `${'a.'.repeat(126)}a`,
    'A-1_b.TEST',
  ];
  const text = JSON.stringify({
    fences: [
      {
        ...{ name: 'a', cluster: 'a', transparent: {}, admit: { dns: names, names: ['a-*'], grace: '5m' } },
        limits: { dnsRefresh: '5s', strangerWait: '0ms', strangerWaitBytes: 1, probeInterval: '1s', settle: '0s' },
      },
      { name: 'b', cluster: 'b', listen: '127.0.0.1:7946', app: { address: '127.0.0.1:7947' } },
    ],
  });
  const [fence, plain] = parseConfig(text, 'f.yaml', {}).fences;
  t.match(fence, {
    ...{ dns: names, names: ['a-*'], graceMs: 300_000 },
    adoption: { dnsRefreshMs: 5_000, strangerWaitMs: 0, strangerWaitBytes: 1, probeIntervalMs: 1_000, settleMs: 0 },
  });
  t.match(plain, {
    ...{ dns: [], names: [], graceMs: 60_000 },
    adoption: {
      ...{ dnsRefreshMs: 30_000, strangerWaitMs: 2_000, strangerWaitBytes: 4 * 1024 * 1024 },
      ...{ probeIntervalMs: 10_000, settleMs: 30_000 },
    },
  });
});
