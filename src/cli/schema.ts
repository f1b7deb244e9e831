/** `ringfence schema`: the JSON Schema of the configuration, on standard output. */
import { configJsonSchema } from '../config/schema.ts';
import { EXIT } from './exit.ts';

/** The schema as text, as config/schema.json holds it. */
export function renderSchema(): string {
  return `${JSON.stringify(configJsonSchema(), null, 2)}\n`;
}

export function printSchema(): number {
  process.stdout.write(renderSchema());
  return EXIT.ok;
}
