/** The documents say what the code does: every reason and metric stands in the README, its YAML loads, its links lead somewhere. */
import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { parseConfig } from '../src/config/load.ts';
import { REASON_SENTENCES, REJECT_REASONS } from '../src/policy/reason.ts';
import { DROP_REASONS } from '../src/policy/tally.ts';
import { METRICS } from '../src/telemetry/metric-table.ts';

const readme = readFileSync('README.md', 'utf8');

t.test('the README explains every reason with the sentence of the code', async (t) => {
  for (const reason of REJECT_REASONS) {
    t.match(readme, `| \`${reason}\` | ${REASON_SENTENCES[reason]} |`, reason);
  }
});

t.test('the README explains every drop reason, and no table row names a reason that does not exist', async (t) => {
  for (const reason of DROP_REASONS) t.match(readme, `| \`${reason}\` | `, reason);
  const known = new Set<string>([...REJECT_REASONS, ...DROP_REASONS]);
  const section = readme.slice(readme.indexOf('### Reasons'), readme.indexOf('## Deployment'));
  for (const [, word] of section.matchAll(/^\| `([a-z_]+)` \|/gm)) t.ok(known.has(word ?? ''), `${word} is a reason`);
});

t.test('the README names every metric', async (t) => {
  const section = readme.slice(readme.indexOf('## Metrics'), readme.indexOf('### Reasons'));
  for (const { name } of METRICS) t.match(section, `\`${name.replace(/^ringfence_/, '')}`, name);
});

t.test('the configuration in the README loads', async (t) => {
  const blocks = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text ?? '');
  const configurations = blocks.filter((text) => text.startsWith('fences:'));
  t.ok(configurations.length > 0, 'there is one');
  for (const text of configurations) t.doesNotThrow(() => parseConfig(text, 'README.md', {}));
});

t.test('links between the documents lead somewhere', async (t) => {
  for (const file of ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md']) {
    for (const [, target] of readFileSync(file, 'utf8').matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      t.ok(existsSync(target ?? ''), `${file} -> ${target}`);
    }
  }
});
