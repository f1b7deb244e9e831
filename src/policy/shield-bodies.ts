/** The messages whose fields the shield looks at, and what it watches in them. */
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { MESSAGE_SCHEMAS } from '../wire/messages.ts';
import { type ScanPlan, scanPlan } from '../wire/msgpack-plan.ts';

export interface Body {
  /** Shows the watched fields alone. */
  readonly plan: ScanPlan;
  /** By field: what is watched in it. */
  readonly watches: Uint8Array;
}

/** What is watched in a field. */
export const WATCH = { nothing: 0, address: 1, versions: 2, incarnation: 3, number: 4 } as const;

const WATCHED: Readonly<Record<string, number>> = {
  SourceAddr: WATCH.address,
  Target: WATCH.address,
  Vsn: WATCH.versions,
  Incarnation: WATCH.incarnation,
  SeqNo: WATCH.number,
};

function bodyOf(type: keyof typeof MESSAGE_SCHEMAS): Body {
  const schema = MESSAGE_SCHEMAS[type];
  return {
    plan: scanPlan(schema, new Set(Object.keys(WATCHED))),
    watches: Uint8Array.from(Object.keys(schema.fields), (name) => WATCHED[name] ?? WATCH.nothing),
  };
}

/** By type byte; types without a body of fields, or unknown, are left alone: memberlist hands them on or logs them. */
export const BODIES: readonly (Body | undefined)[] = Array.from({ length: 256 }, (_, byte) => {
  const type = (['ping', 'indirectPing', 'ackResp', 'nackResp', 'suspect', 'alive', 'dead'] as const).find(
    (name) => MESSAGE_TYPE[name] === byte,
  );
  return type === undefined ? undefined : bodyOf(type);
});
