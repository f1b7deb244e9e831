// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the configuration has variables of that form
/** Every kind of bad configuration, with the exact line that an operator reads. */
import t from 'tap';
import { ConfigError, parseConfig } from '../../src/config/load.ts';

/** The lines that `text` is refused with, as file f.yaml. */
function refusal(text: string, env: Record<string, string> = {}): readonly string[] {
  try {
    parseConfig(text, 'f.yaml', env);
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  return [];
}

/** A file of one fence; `lines` start at line 4, below name and cluster. */
const fence = (...lines: string[]) =>
  ['fences:', '  - name: traces', '    cluster: blue', ...lines.map((line) => `    ${line}`), ''].join('\n');
const LISTEN = ['listen: "127.0.0.1:7946"', 'app: { address: "127.0.0.1:7947" }'];
const TRANSPARENT = ['transparent: {}'];
const CEILING =
  'a listen fence sees inbound gossip only, so an app that sends no label (app.sends: none) would stay unlabelled on the wire and be cut off; its ceiling is accept, use transparent to go further';

interface Case {
  readonly name: string;
  readonly text: string;
  readonly env?: Record<string, string>;
  readonly lines: readonly string[];
}

const one = (name: string, text: string, line: string, env?: Record<string, string>): Case => ({
  name,
  text,
  lines: [line],
  ...(env === undefined ? {} : { env }),
});

const YAML: readonly Case[] = [
  one('empty file', '', 'f.yaml:1: the file holds no configuration'),
  one('only a comment', '# nothing\n', 'f.yaml:1: the file holds no configuration'),
  one('a scalar', 'hello\n', 'f.yaml:1: must be a mapping, not "hello"'),
  one('broken YAML', 'fences:\n  - name: "traces\n', 'f.yaml:3: YAML: Missing closing "quote'),
  one('tab as indentation', 'fences:\n\t- name: x\n', 'f.yaml:2: YAML: Tabs are not allowed as indentation'),
  one('key twice', 'log: {}\nlog: {}\n', 'f.yaml:2: YAML: Map keys must be unique'),
  one(
    'two documents',
    'log: {}\n---\nlog: {}\n',
    'f.yaml:2: YAML: a second document starts here; a configuration is one',
  ),
  one('unknown tag', 'fences: !secret x\n', 'f.yaml:1: YAML: Unresolved tag: !secret'),
  one('a list as key', '? [a]\n: b\n', 'f.yaml:1: YAML: With stringKeys, all keys must be strings'),
  one(
    'alias to nothing',
    'fences: *a\n',
    'f.yaml:1: YAML: Unresolved alias (the anchor must be set before the alias): a',
  ),
  one('a list in itself', 'log: {}\nfences: &a\n  - *a\n', 'f.yaml:3: fences[0]: an alias that holds itself'),
  {
    name: 'a mapping in itself, twice',
    text: 'log: &a\n  x: *a\n  y: *a\n',
    lines: ['f.yaml:2: log.x: an alias that holds itself', 'f.yaml:3: log.y: an alias that holds itself'],
  },
  one('a parser out of stack', `fences: ${'['.repeat(50_000)}`, 'f.yaml:1: YAML: nested too deeply'),
];

const SHAPE: readonly Case[] = [
  one('no fences', 'log: { level: info }\n', 'f.yaml:1: fences: is missing'),
  one('an empty list of fences', 'fences: []\n', 'f.yaml:1: fences: must have at least 1 entries'),
  one('fences as mapping', 'fences: {}\n', 'f.yaml:1: fences: must be a list, not a mapping'),
  one('unknown key', fence(...LISTEN, 'colour: red'), 'f.yaml:6: fences[0].colour: unknown key'),
  one('unknown key at the top', `${fence(...LISTEN)}admni: {}\n`, 'f.yaml:6: admni: unknown key'),
  one('unknown nested key', fence(...TRANSPARENT, 'app: { send: own }'), 'f.yaml:5: fences[0].app.send: unknown key'),
  one('__proto__ as key', fence(...LISTEN, '__proto__: { a: 1 }'), 'f.yaml:6: fences[0].__proto__: unknown key'),
  one('constructor as key', fence(...LISTEN, 'constructor: 1'), 'f.yaml:6: fences[0].constructor: unknown key'),
  one('no name', 'fences:\n  - cluster: a\n    transparent: {}\n', 'f.yaml:2: fences[0].name: is missing'),
  one(
    'a name with capitals',
    'fences:\n  - cluster: a\n    name: Traces\n    transparent: {}\n',
    'f.yaml:3: fences[0].name: a fence name has 1 to 63 lower-case letters, digits and dashes, and neither starts nor ends with a dash, not "Traces"',
  ),
  one(
    'wrong word',
    fence(...LISTEN, 'wire: labelled'),
    'f.yaml:6: fences[0].wire: must be one of none, own, not "labelled"',
  ),
  one(
    'unknown stage',
    fence(...LISTEN, 'stage: strict'),
    'f.yaml:6: fences[0].stage: must be one of observe, accept, label, enforce, auto, not "strict"',
  ),
  one(
    'text for a boolean',
    fence(...LISTEN, 'shield: maybe'),
    'f.yaml:6: fences[0].shield: must be true or false, not "maybe"',
  ),
  one(
    'a number as label',
    'fences:\n  - name: a\n    cluster: 12\n    transparent: {}\n',
    'f.yaml:3: fences[0].cluster: must be text, not 12 (put it in quotes)',
  ),
  one(
    'control characters are shown escaped',
    fence(...LISTEN, 'wire: "\\e[31m"'),
    'f.yaml:6: fences[0].wire: must be one of none, own, not "\\u001b[31m"',
  ),
  one(
    'a broken duration',
    fence(...LISTEN, 'limits: { header: 5 }'),
    'f.yaml:6: fences[0].limits.header: a duration is a whole number with ms, s, m or h, such as 500ms, 10s or 10m, not 5',
  ),
  one(
    'a duration without unit',
    fence(...LISTEN, 'limits: { header: "5" }'),
    'f.yaml:6: fences[0].limits.header: a duration is a whole number with ms, s, m or h, such as 500ms, 10s or 10m, not "5"',
  ),
  one(
    'a duration out of bounds',
    fence(...LISTEN, 'limits:', '  connect: 1ms'),
    'f.yaml:7: fences[0].limits.connect: must be 100ms to 1h, not "1ms"',
  ),
  one(
    'an empty pattern of names',
    fence(...LISTEN, 'admit: { names: [""] }'),
    'f.yaml:6: fences[0].admit.names[0]: must have at least 1 characters',
  ),
  one(
    'quarantine without inspection',
    fence(...LISTEN, 'quarantine: true', 'limits: { inspectBytesPerSecond: 0 }'),
    'f.yaml:6: fences[0].quarantine: needs inspection, which limits.inspectBytesPerSecond: 0 turns off: no foreigner would be known',
  ),
  one(
    'a limit of zero',
    fence(...LISTEN, 'limits: { streams: 0 }'),
    'f.yaml:6: fences[0].limits.streams: must be at least 1, not 0',
  ),
  one(
    'half a stream',
    fence(...LISTEN, 'limits: { streams: 1.5 }'),
    'f.yaml:6: fences[0].limits.streams: must be a whole number, not 1.5',
  ),
  one(
    'a network that is none',
    fence(...LISTEN, 'admit:', '  cidrs:', '    - 10.0.0.0/8', '    - 10.0.0.0/33'),
    'f.yaml:9: fences[0].admit.cidrs[1]: is neither a network such as 10.0.0.0/8 or fd00::/8 nor an IP address, not "10.0.0.0/33"',
  ),
  {
    name: 'several problems, in the order of the file',
    text: fence('wire: both', ...LISTEN, 'colour: red'),
    lines: [
      'f.yaml:4: fences[0].wire: must be one of none, own, not "both"',
      'f.yaml:7: fences[0].colour: unknown key',
    ],
  },
];

const LABELS: readonly Case[] = [
  one(
    'a label of 0 bytes',
    'fences:\n  - name: a\n    cluster: ""\n    transparent: {}\n',
    'f.yaml:3: fences[0].cluster: a label has 1 to 255 bytes of UTF-8, this one has 0',
  ),
  one(
    'a label of 256 bytes',
    `fences:\n  - name: a\n    cluster: ${'x'.repeat(256)}\n    transparent: {}\n`,
    'f.yaml:3: fences[0].cluster: a label has 1 to 255 bytes of UTF-8, this one has 256',
  ),
  one(
    'a label of 86 characters and 258 bytes',
    `fences:\n  - name: a\n    cluster: ${'€'.repeat(86)}\n    transparent: {}\n`,
    'f.yaml:3: fences[0].cluster: a label has 1 to 255 bytes of UTF-8, this one has 258',
  ),
];

const SURROGATE = one(
  'half a surrogate pair',
  'fences:\n  - name: a\n    cluster: "\\ud800"\n    transparent: {}\n',
  'f.yaml:3: fences[0].cluster: a label is UTF-8, and half a surrogate pair has none',
);

const VARIABLES: readonly Case[] = [
  one(
    'an unset variable',
    'fences:\n  - name: a\n    cluster: "${RELEASE}.x"\n    transparent: {}\n',
    'f.yaml:3: fences[0].cluster: variable RELEASE is not set (give it a value, or write ${RELEASE:-default})',
  ),
  one(
    'a variable that no shell would take',
    'fences:\n  - name: a\n    cluster: "${a-b}"\n    transparent: {}\n',
    'f.yaml:3: fences[0].cluster: a variable is written ${NAME} or ${NAME:-default}',
  ),
  one(
    'an open brace',
    'fences:\n  - name: a\n    cluster: "${RELEASE"\n    transparent: {}\n',
    'f.yaml:3: fences[0].cluster: a variable is written ${NAME} or ${NAME:-default}',
    { RELEASE: 'x' },
  ),
  one(
    'a name that every object inherits',
    'fences:\n  - name: a\n    cluster: "${toString}"\n    transparent: {}\n',
    'f.yaml:3: fences[0].cluster: variable toString is not set (give it a value, or write ${toString:-default})',
  ),
  one(
    'a value cannot become structure',
    fence('transparent: { port: "${PORT}" }'),
    'f.yaml:4: fences[0].transparent.port: must be a number, not "7946, uid: 0"',
    { PORT: '7946, uid: 0' },
  ),
];

const RULES: readonly Case[] = [
  one('neither mode', fence('wire: none'), 'f.yaml:2: fences[0]: one of listen and transparent must be set'),
  one(
    'both modes',
    fence(...TRANSPARENT, 'listen: "127.0.0.1:7946"'),
    'f.yaml:5: fences[0].listen: listen and transparent exclude each other: keep one of them',
  ),
  one(
    'listen without the app',
    fence('listen: "127.0.0.1:7946"'),
    'f.yaml:2: fences[0].app.address: listen needs app.address, the address and port where the app itself listens',
  ),
  one(
    'app.address with transparent',
    fence(...TRANSPARENT, 'app: { address: "127.0.0.1:7947" }'),
    'f.yaml:5: fences[0].app.address: is for listen: a transparent fence finds the app at its own address',
  ),
  one(
    'the fence as its own app',
    fence('listen: "0.0.0.0:7946"', 'app: { address: "127.0.0.1:7946" }'),
    'f.yaml:5: fences[0].app.address: is the address that the fence listens on',
  ),
  one(
    'a host name to listen on',
    fence('listen: "localhost:7946"', 'app: { address: "127.0.0.1:7947" }'),
    'f.yaml:4: fences[0].listen: must be an IP address and a port from 1 to 65535, such as 10.0.0.1:7946 or [fd00::1]:7946, not "localhost:7946"',
  ),
  one(
    'IPv6 without brackets',
    fence('listen: "fd00::1:7946"', 'app: { address: "127.0.0.1:7947" }'),
    'f.yaml:4: fences[0].listen: must be an IP address and a port from 1 to 65535, such as 10.0.0.1:7946 or [fd00::1]:7946, not "fd00::1:7946"',
  ),
  one(
    'port 70000',
    fence('transparent: { port: 70000 }'),
    'f.yaml:4: fences[0].transparent.port: must be at most 65535, not 70000',
  ),
  one('uid 0', fence('transparent: { uid: 0 }'), 'f.yaml:4: fences[0].transparent.uid: must be at least 1, not 0'),
  one(
    'uid 1337',
    fence('transparent: { uid: 1337 }'),
    "f.yaml:4: fences[0].transparent.uid: 1337 is Istio's proxy, whose traffic passes every rule: give the fence a uid of its own",
  ),
  one(
    'a portable transparent fence',
    fence('transparent: {}\n    engine: portable'),
    'f.yaml:5: fences[0].engine: a transparent fence has no portable engine: leave it out, or use listen',
  ),
  one(
    'proxyPort equal to port',
    fence('transparent: { port: 7946, proxyPort: 7946 }'),
    'f.yaml:4: fences[0].transparent.proxyPort: must differ from the gossip ports that it stands for',
  ),
  one(
    'proxyPort among peerPorts',
    fence('transparent: { peerPorts: [17946] }'),
    'f.yaml:4: fences[0].transparent.proxyPort: must differ from the gossip ports that it stands for',
  ),
  one(
    'listen beyond its ceiling',
    fence(...LISTEN, 'stage: label'),
    `f.yaml:6: fences[0].stage: label cannot be: ${CEILING}`,
  ),
  one(
    'listen at enforce',
    fence(...LISTEN, 'stage: enforce'),
    `f.yaml:6: fences[0].stage: enforce cannot be: ${CEILING}`,
  ),
  one(
    'observe with a dialect to translate',
    fence(...TRANSPARENT, 'stage: observe', 'wire: own'),
    'f.yaml:5: fences[0].stage: observe cannot be: the app (sends none, takes none) and the wire (own) speak different dialects, and observe translates nothing; start at accept',
  ),
  one(
    'two fences of one name',
    `${fence(...LISTEN)}  - name: traces\n    cluster: b\n    transparent: {}\n`,
    'f.yaml:6: fences[1].name: a fence named traces is above',
  ),
  one(
    'two transparent fences',
    `${fence(...TRANSPARENT)}  - name: b\n    cluster: b\n    transparent: {}\n`,
    'f.yaml:7: fences[1].transparent: there is one transparent fence in a network namespace and so in a process; another is above',
  ),
  one(
    'one address for two fences',
    `${fence(...LISTEN)}  - name: b\n    cluster: b\n    listen: "127.0.0.1:7946"\n    app: { address: "127.0.0.1:7948" }\n`,
    'f.yaml:8: fences[1].listen: another fence listens on 127.0.0.1:7946',
  ),
  one(
    'resealing without keys',
    fence(...TRANSPARENT, 'encryption: { reseal: on }'),
    'f.yaml:5: fences[0].encryption.reseal: needs the keys to seal with: name them in keyFiles',
  ),
  one(
    'one key file twice',
    fence(...TRANSPARENT, 'encryption: { keyFiles: [/k, /l, /k] }'),
    'f.yaml:5: fences[0].encryption.keyFiles[2]: the same file is above',
  ),
  one(
    'a key file without a name',
    fence(...TRANSPARENT, 'encryption: { keyFiles: [""] }'),
    'f.yaml:5: fences[0].encryption.keyFiles[0]: must have at least 1 characters',
  ),
  one(
    'the admin API on the gossip port',
    `${fence(...LISTEN)}admin: { address: "0.0.0.0:7946" }\n`,
    'f.yaml:6: admin.address: port 7946 is a port of the fence traces already',
  ),
  one(
    'the admin API on a port that is intercepted',
    `${fence('transparent: { peerPorts: [9000] }')}admin: { address: "10.0.0.1:9000" }\n`,
    'f.yaml:5: admin.address: port 9000 is a port of the fence traces already',
  ),
  one(
    'the admin API on the proxy port',
    `${fence('transparent: { proxyPort: 9746 }')}`,
    'f.yaml:1: admin.address: port 9746 is a port of the fence traces already',
  ),
  one(
    'a token that fits no header; it is not shown',
    `${fence(...LISTEN)}admin: { writeToken: "a b" }\n`,
    'f.yaml:6: admin.writeToken: must be printable ASCII without spaces, so that it fits an HTTP header',
  ),
];

const CERT = 'is missing: app.transport dskit-tls opens TLS with it';
const VERIFIES = 'verifies certificates against it';
const NO_TLS = 'is for app.transport dskit-tls or alertmanager-tls; auto opens no TLS';
const TLS: readonly Case[] = [
  ['tls: { certFile: c }', `5: fences[0].tls.certFile: ${NO_TLS}`],
  ['tls: { keyFile: c }', `5: fences[0].tls.keyFile: ${NO_TLS}`],
  [
    'tls: { caFile: c, serverName: c.test }',
    `5: fences[0].tls.caFile: ${NO_TLS}`,
    `5: fences[0].tls.serverName: ${NO_TLS}`,
  ],
  [
    'app: { transport: dskit-tls }',
    `2: fences[0].tls.certFile: ${CERT}`,
    `2: fences[0].tls.keyFile: ${CERT}`,
    `2: fences[0].tls.caFile: is missing: clientAuth ${VERIFIES}`,
  ],
  [
    '{app: {transport: alertmanager-tls}, tls: {certFile: c, keyFile: k, clientAuth: false}}',
    `6: fences[0].tls.caFile: is missing: verifyServer: name ${VERIFIES}`,
  ],
  [
    '{app: {transport: dskit-tls}, tls: {certFile: c, keyFile: k, caFile: a, serverName: 10.0.0.1/8}}',
    '6: fences[0].tls.serverName: must be a DNS name, not "10.0.0.1/8"',
  ],
].map(([line = '', ...problems]) => ({
  name: `${line}: certificates go with a TLS transport`,
  text: fence(...TRANSPARENT, ...(line.startsWith('{') ? line.slice(1, -1).split(/, (?=tls:)/) : [line])),
  lines: problems.map((problem) => `f.yaml:${problem}`),
}));

const NOT_YET: readonly Case[] = [
  ['local: { cidrs: [10.0.0.0/8] }', 'local.cidrs', 'the gateway'],
  ['local: { file: x }', 'local.file', 'the gateway'],
].map(([line = '', path = '', what = '']) =>
  one(
    `${line} is to come`,
    fence(...TRANSPARENT, line),
    `f.yaml:5: fences[0].${path}: ${what} is not in this version yet`,
  ),
);

const NO_DNS_NAME = 'is no DNS name such as gossip-ring.traces.svc.cluster.local';
const ADOPTION: readonly Case[] = [
  ...['a..b', '.a', '-a.test', 'a-.test', 'ring test', 'ring.test..', '*.test', 'ring.test:7946', 'ring/test'].map(
    (name) =>
      one(
        `${name} in DNS`,
        fence(...TRANSPARENT, `admit: { dns: [ring.test, ${JSON.stringify(name)}] }`),
        `f.yaml:5: fences[0].admit.dns[1]: ${NO_DNS_NAME}, not ${JSON.stringify(name)}`,
      ),
  ),
  ...['10.0.0.1', '10.0.0.0/8', 'fd00::1'].map((address) =>
    one(
      `${address} in DNS`,
      fence(...TRANSPARENT, `admit: { dns: ["${address}"] }`),
      `f.yaml:5: fences[0].admit.dns[0]: is an address: it belongs into admit.cidrs, not "${address}"`,
    ),
  ),
  one(
    'a DNS name that is not ASCII',
    fence(...TRANSPARENT, 'admit: { dns: [r\u00efng.test] }'),
    `f.yaml:5: fences[0].admit.dns[0]: ${NO_DNS_NAME}, not "r\\u00efng.test"`,
  ),
  one(
    'a DNS name of 254 characters',
    fence(...TRANSPARENT, `admit: { dns: [${'a.'.repeat(126)}ab] }`),
    'f.yaml:5: fences[0].admit.dns[0]: must have at most 253 characters',
  ),
  one(
    '65 DNS names',
    fence(...TRANSPARENT, `admit: { dns: [${Array.from({ length: 65 }, (_, i) => `a${i}`).join(', ')}] }`),
    'f.yaml:5: fences[0].admit.dns: must have at most 64 entries',
  ),
  one(
    'an empty name pattern',
    fence(...TRANSPARENT, 'admit: { names: [""] }'),
    'f.yaml:5: fences[0].admit.names[0]: must have at least 1 characters',
  ),
  ...(
    [
      ['dnsRefresh', '999ms', '1s to 1h'],
      ['dnsRefresh', '2h', '1s to 1h'],
      ['strangerWait', '61s', '0ms to 1m'],
      ['probeInterval', '99ms', '100ms to 1h'],
      ['settle', '2h', '0ms to 1h'],
    ] as const
  ).map(([limit, value, range]) =>
    one(
      `${limit}: ${value}`,
      fence(...TRANSPARENT, `limits: { ${limit}: ${value} }`),
      `f.yaml:5: fences[0].limits.${limit}: must be ${range}, not "${value}"`,
    ),
  ),
  one(
    'no room for strangers',
    fence(...TRANSPARENT, 'limits: { strangerWaitBytes: 0 }'),
    'f.yaml:5: fences[0].limits.strangerWaitBytes: must be at least 1, not 0',
  ),
  one(
    'a stage that does not exist',
    fence(...TRANSPARENT, 'stage: enforced'),
    'f.yaml:5: fences[0].stage: must be one of observe, accept, label, enforce, auto, not "enforced"',
  ),
];

for (const { name, text, env, lines } of [
  ...YAML,
  ...SHAPE,
  ...LABELS,
  ...VARIABLES,
  ...RULES,
  ...TLS,
  ...NOT_YET,
  ...ADOPTION,
  SURROGATE,
]) {
  t.strictSame(refusal(text, env), lines, name);
}

t.test('the admin API may have the port of another address, or any free one', async (t) => {
  for (const address of ['127.0.0.2:7946', '127.0.0.1:9746', '0.0.0.0:0']) {
    t.strictSame(refusal(`${fence(...LISTEN)}admin: { address: "${address}" }\n`), [], address);
  }
});

t.test('what could exhaust the reader is refused', async (t) => {
  const laughs = ['a: &a [x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 9; i++) {
    const [name, below] = [String.fromCharCode(97 + i), String.fromCharCode(96 + i)];
    laughs.push(`${name}: &${name} [${new Array(9).fill(`*${below}`).join(', ')}]`);
  }
  t.match(refusal(laughs.join('\n')), [/^f\.yaml:1: YAML: Excessive alias count/], 'an alias bomb');
  t.equal(refusal('['.repeat(50_000)).length, 1, 'nesting without end');
  t.equal(
    refusal(fence(...Array.from({ length: 60 }, (_, i) => `k${i}: 1`))).length,
    21,
    'problems are shown up to a bound',
  );
  t.equal(
    refusal(`fences:\n  - name: a\n    cluster: "${'${A}'.repeat(2_000)}"\n    transparent: {}\n`, {
      A: 'x'.repeat(1_000),
    })[0],
    'f.yaml:3: fences[0].cluster: longer than 65536 characters once its variables are filled in',
  );
});
