import fc from 'fast-check';
import t from 'tap';
import { matchesName } from '../../src/policy/names.ts';
import { PROPERTY } from '../property.ts';

t.test('patterns of names', async (t) => {
  const cases: [pattern: string, name: string, matches: boolean][] = [
    ['traces-*', 'traces-ingester-0', true],
    ['traces-*', 'traces-', true],
    ['traces-*', 'traces', false],
    ['traces-*', 'my-traces-1', false],
    ['*', '', true],
    ['', '', true],
    ['', 'a', false],
    ['tempo-?', 'tempo-3', true],
    ['tempo-?', 'tempo-12', false],
    ['tempo-?', 'tempo-', false],
    ['*-?-*', 'a-b-c-d', true],
    ['*ab', 'aab', true],
    ['*ab', 'aba', false],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['a.c', 'abc', false],
    ['[ab]', 'a', false],
    ['a**', 'a', true],
    ['*?', '', false],
  ];
  for (const [pattern, name, matches] of cases) t.equal(matchesName(pattern, name), matches, `${pattern} ${name}`);
});

t.test('as a regular expression would say', async (t) => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '-'), maxLength: 12 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '-', '*', '?'), maxLength: 8 });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(pattern, text, (glob, name) => {
        const source = glob.replaceAll('*', '.*').replaceAll('?', '.');
        return matchesName(glob, name) === new RegExp(`^${source}$`).test(name);
      }),
      PROPERTY,
    ),
  );
});

t.test('no pattern and name take long', async (t) => {
  const startedMs = performance.now();
  t.notOk(matchesName(`${'*a'.repeat(126)}b`, 'a'.repeat(512)));
  t.ok(performance.now() - startedMs < 500);
});
