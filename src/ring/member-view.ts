/** Members as the API and people see them: the record, and what its address showed. */
import type { LabelState } from '../policy/facts.ts';
import type { SealForm } from '../wire/encryption.ts';
import type { Heard, HeardTable } from './heard.ts';
import type { Member, Members } from './members.ts';
import { tupleKey } from './tuple.ts';

export interface MemberView extends Member {
  /** Whether it is the app behind this fence. */
  readonly app: boolean;
  /** What it last showed itself; undefined when it did not speak to us, or when other members share its address. */
  readonly labelState: LabelState | undefined;
  readonly sealForm: SealForm | undefined;
  /** When its own frames last arrived. */
  readonly lastHeardMs: number | undefined;
  /** True only by evidence; unknown otherwise, never guessed. */
  readonly fenced: true | undefined;
  /** The foreign label under which it was seen, for a member that is not ours. */
  readonly foreignLabel: Uint8Array | undefined;
}

/** Copies of all members. `foreignLabelOf` takes a tuple's key. */
export function memberViews(
  members: Members,
  heard: HeardTable,
  foreignLabelOf: (key: string) => Uint8Array | undefined,
): MemberView[] {
  const atAddress = new Map<string, number>();
  for (const { address } of members.all()) atAddress.set(address, (atAddress.get(address) ?? 0) + 1);
  return Array.from(members.all(), (member) => {
    const { exact, address } = heard.of(member.address, member.port);
    const shown: Heard | undefined = atAddress.get(member.address) === 1 ? (address ?? exact) : exact;
    const app = members.isApp(member.name);
    return {
      ...member,
      app,
      labelState: shown?.labelState,
      sealForm: shown?.sealForm,
      lastHeardMs: shown === undefined || shown.ownMs === 0 ? undefined : shown.ownMs,
      fenced: app || shown?.fenced === true ? true : undefined,
      foreignLabel: foreignLabelOf(tupleKey(member)),
    };
  });
}
