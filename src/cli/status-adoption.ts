/** The part of `ringfence status` about adoption: where the fence is on its way, and what stands against its next step. */
import { adoptionFences, fieldsOf, listOf, stepLines, textOf } from './adoption-answer.ts';

const READINESS: Readonly<Record<string, string>> = { safe: 'safe', unsafe: 'NOT SAFE', unknown: 'UNKNOWN' };

/** Of each fence of an answer of /api/v1/adoption its next step, with every line that stands against it; the status has the first few. */
export function nextSteps(answer: unknown): ReadonlyMap<string, unknown> {
  const fences = adoptionFences(answer, undefined) ?? [];
  return new Map(
    fences.map(({ name, next, steps }) => [String(name), listOf(steps).find((step) => fieldsOf(step)['to'] === next)]),
  );
}

/** Lines for `adoption` as the status has it; of a version without it, that it is not told. `full` is the next step in full. */
export function adoptionLines(adoption: unknown, full: unknown): string[] {
  const { origin, since, starting, auto, waitsFor, next, fallbacks, ambiguous, removable, dns } = fieldsOf(adoption);
  if (textOf(origin) === undefined) return ['  adoption       not told: the fence is of another version'];
  const lines = [
    `  since          ${textOf(since)} (${textOf(origin)})${starting === true ? '; STARTING: the stage is not known yet' : ''}`,
  ];
  if (auto === true) lines.push(`  auto           ${waitsFor === null ? 'on' : `waits: ${textOf(waitsFor)}`}`);
  if (next !== null) {
    const { to, readiness } = fieldsOf(next);
    lines.push(
      `  next           ${textOf(to)} is ${READINESS[String(readiness)] ?? 'unknown'}`,
      ...stepLines(full ?? next).map((line) => `                 ${line}`),
    );
  }
  for (const entry of listOf(dns)) lines.push(dnsLine(entry));
  for (const entry of listOf(fallbacks)) {
    const { name, address, last } = fieldsOf(entry);
    const who = [textOf(name), textOf(address)].filter((part) => part !== undefined).join(' ');
    lines.push(`  FELL BACK      ${who}, last without the label ${textOf(last)}`);
  }
  if (ambiguous !== 0) lines.push(`  ambiguous      ${textOf(ambiguous)} addresses with several members`);
  const { yes, why } = fieldsOf(removable);
  lines.push(`  removable      ${yes === true ? 'yes' : 'no'}: ${textOf(why)}`);
  return lines;
}

function dnsLine(entry: unknown): string {
  const { name, lastSuccess, problem, addresses } = fieldsOf(entry);
  const when = lastSuccess === null ? 'never answered' : `last answered ${textOf(lastSuccess)}`;
  return `  DNS            ${textOf(name)}: ${textOf(addresses)} addresses, ${when}${problem === null ? '' : `; ${textOf(problem)}`}`;
}
