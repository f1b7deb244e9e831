/** Log lines for people: the time, the level, the message, then the fields. */

/** One JSON line of the log as text; a line that is none stays as it is. */
export function formatTextLine(line: string): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const { time, level, msg, ...rest } = fields;
  const pairs = Object.entries(rest).map(([key, value]) => `${key}=${formatValue(value)}`);
  return `${[String(time), String(level).toUpperCase().padEnd(5), String(msg), ...pairs].join(' ')}\n`;
}

function formatValue(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (typeof value !== 'string' || /^[\w.:[\]/-]+$/.test(text)) return text;
  return /^[\x20-\x21\x23-\x7e]*$/.test(text) ? `"${text}"` : JSON.stringify(text);
}
