/** zod's issues as one clear sentence each. */
import type * as z from 'zod';
import type { Path } from './locate.ts';
import type { Problem } from './rules.ts';
import { show } from './units.ts';

type Issue = z.core.$ZodIssue;

const TYPE_WORDS: Readonly<Record<string, string>> = {
  object: 'a mapping',
  array: 'a list',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

const SECRETS: ReadonlySet<string> = new Set(['writeToken']);

/** One problem an issue, an unknown key each its own. */
export function describeIssue(issue: Issue): Problem[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: 'unknown key' }));
  }
  return [{ path, message: sentence(issue, path) }];
}

function sentence(issue: Issue, path: Path): string {
  const given = SECRETS.has(String(path.at(-1))) ? '' : `, not ${show(issue.input)}`;
  switch (issue.code) {
    case 'invalid_type': {
      if (issue.input === undefined) return 'is missing';
      // A field with words of its own for what it is (fields.ts).
      if (!issue.message.startsWith('Invalid input')) return `${issue.message}${given}`;
      const quote = issue.expected === 'string' && ['number', 'boolean'].includes(typeof issue.input);
      return `must be ${TYPE_WORDS[issue.expected] ?? issue.expected}${given}${quote ? ' (put it in quotes)' : ''}`;
    }
    case 'invalid_value':
      return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}${given}`;
    case 'too_small':
      return `${measure(issue.origin, `at least ${issue.minimum}`)}${numeric(issue.origin) ? given : ''}`;
    case 'too_big':
      return `${measure(issue.origin, `at most ${issue.maximum}`)}${numeric(issue.origin) ? given : ''}`;
    case 'invalid_format':
    case 'invalid_union':
      return `${issue.message}${given}`;
    default:
      return `${issue.message}${typeof issue.input === 'string' && !issue.message.startsWith('a label') ? given : ''}`;
  }
}

function numeric(origin: string): boolean {
  return origin === 'number' || origin === 'int';
}

function measure(origin: string, bound: string): string {
  if (numeric(origin)) return `must be ${bound}`;
  return `must have ${bound} ${origin === 'array' ? 'entries' : 'characters'}`;
}
