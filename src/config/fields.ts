/** The kinds of fields that the schema is made of, each with its check, its bounds and the words for what is wrong. */
import * as z from 'zod';
import { parseCidr } from '../policy/admission.ts';
import { NAME_PATTERN_MAX_CHARS } from '../policy/names.ts';
import { LABEL_MAX_BYTES } from '../wire/limits.ts';
import { DURATION_PATTERN, formatDuration, parseDuration, parseEndpoint } from './units.ts';

const DURATION_WORDS = 'a duration is a whole number with ms, s, m or h, such as 500ms, 10s or 10m';

/** A duration such as `10s`, in ms once read, within bounds. */
export function duration(fallback: string, minMs: number, maxMs: number, what: string) {
  const range = `${formatDuration(minMs)} to ${formatDuration(maxMs)}`;
  return z
    .string({ error: DURATION_WORDS })
    .regex(DURATION_PATTERN, { error: DURATION_WORDS })
    .default(fallback)
    .transform((text, context) => {
      const ms = parseDuration(text) ?? -1;
      if (ms >= minMs && ms <= maxMs) return ms;
      context.addIssue({ code: 'custom', message: `must be ${range}` });
      return z.NEVER;
    })
    .describe(`${what} (${range}).`);
}

/** A port that can be bound or dialled. */
export const port = (what: string) => z.int().min(1).max(65_535).describe(what);
/** A bound on how many, at least one. */
export const count = (fallback: number, max: number, what: string) =>
  z.int().min(1).max(max).default(fallback).describe(what);

/** An IP literal and a port as text; checked here, taken apart in resolve.ts. */
export const endpoint = (minPort: number) =>
  z.string().refine((text) => (parseEndpoint(text)?.port ?? -1) >= minPort, {
    error: `must be an IP address and a port from ${minPort} to 65535, such as 10.0.0.1:7946 or [fd00::1]:7946`,
  });

/** A network or an address, as policy/admission.ts reads it. */
export const cidr = z.string().refine((text) => parseCidr(text) !== undefined, {
  error: 'is neither a network such as 10.0.0.0/8 or fd00::/8 nor an IP address',
});

const IS_ADDRESS = 'is an address: it belongs into admit.cidrs';
const NO_DNS_NAME = 'is no DNS name such as gossip-ring.traces.svc.cluster.local';

/** A DNS name; an underscore starts the labels of SRV names. Without a final dot the search list applies. */
export const dnsName = z
  .string()
  .max(253)
  .regex(/^(?!.*\.\.)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?$/, {
    error: ({ input }) => (parseCidr(String(input)) === undefined ? NO_DNS_NAME : IS_ADDRESS),
    abort: true,
  })
  .refine((text) => parseCidr(text) === undefined, { error: IS_ADDRESS });

/** A pattern of node names; `*` any run of characters, `?` one. */
export const namePattern = z.string().min(1).max(NAME_PATTERN_MAX_CHARS);

/** The cluster label, in bytes as memberlist counts it (label.go LabelMaxSize). */
export const cluster = z
  .string()
  .refine((text) => Buffer.byteLength(text) >= 1 && Buffer.byteLength(text) <= LABEL_MAX_BYTES, {
    error: (issue) =>
      `a label has 1 to ${LABEL_MAX_BYTES} bytes of UTF-8, this one has ${Buffer.byteLength(String(issue.input))}`,
  })
  .refine((text) => !/\p{Surrogate}/u.test(text), { error: 'a label is UTF-8, and half a surrogate pair has none' })
  .describe(
    'The cluster label: 1 to 255 bytes of UTF-8, not characters; <release>.<namespace> by custom. Every member of the ring has the same one.',
  );
