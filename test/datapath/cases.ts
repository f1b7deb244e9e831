/**
 * The stage table of the design as bytes: what goes in, and what must come out of the other side or why it must not. Written out by
 * hand from the design, not computed from src/policy, and shared by the tests of every data path.
 */
import { createHash } from 'node:crypto';
import type { Direction } from '../../src/policy/facts.ts';
import type { RejectReason } from '../../src/policy/reason.ts';
import { STAGES, type Stage } from '../../src/policy/stage.ts';
import { FOREIGN, OWN } from './harness.ts';

/** How a message travels. `udp` is one datagram; the rest are TCP connections that end with a FIN. */
export const CARRIERS = ['udp', 'native', 'dskit-stream', 'dskit-packet'] as const;
export type Carrier = (typeof CARRIERS)[number];

/** What stands in front of the message. */
export const MARKS = ['own', 'none', 'foreign', 'label_empty', 'label_truncated', 'label_double'] as const;
export type Mark = (typeof MARKS)[number];

/** The expectation of a case: `keep`, `add` and `strip` pass, everything else is the reason of the rejection. */
type Outcome = 'keep' | 'add' | 'strip' | RejectReason;

export interface PathCase {
  readonly name: string;
  readonly stage: Stage;
  readonly direction: Direction;
  readonly carrier: Carrier;
  readonly mark: Mark;
  /** Whether the admission rules name the peer. */
  readonly admitted: boolean;
  readonly sent: Buffer;
  /** What the other side must get, byte for byte; undefined when it must get nothing, not even a connection. */
  readonly delivered: Buffer | undefined;
  readonly reason: RejectReason | undefined;
}

/** For an app that predates labels (none/none) on a ring that carries none today. [admitted, not admitted] */
const EXPECTED: Readonly<
  Record<Exclude<Stage, 'observe'>, Readonly<Record<Direction, Record<'own' | 'none', [Outcome, Outcome]>>>>
> = {
  accept: {
    inbound: { own: ['strip', 'strip'], none: ['keep', 'peer_not_admitted'] },
    outbound: { own: ['strip', 'peer_not_admitted'], none: ['keep', 'peer_not_admitted'] },
  },
  label: {
    inbound: { own: ['strip', 'strip'], none: ['keep', 'peer_not_admitted'] },
    outbound: { own: ['keep', 'peer_not_admitted'], none: ['add', 'peer_not_admitted'] },
  },
  enforce: {
    inbound: { own: ['strip', 'strip'], none: ['label_missing', 'label_missing'] },
    outbound: { own: ['keep', 'peer_not_admitted'], none: ['add', 'peer_not_admitted'] },
  },
};

function outcome(stage: Stage, direction: Direction, mark: Mark, admitted: boolean): Outcome {
  if (stage === 'observe') return 'keep';
  if (mark === 'foreign') return 'label_foreign';
  if (mark !== 'own' && mark !== 'none') return mark;
  return EXPECTED[stage][direction][mark][admitted ? 0 : 1];
}

/** A push/pull's first bytes and some body, so that the start is a message that every transport takes. */
export const MESSAGE = Buffer.concat([Buffer.from([6, 0x83]), Buffer.from('the state of a member, and then some')]);

const labelled = (label: Buffer, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from([244, label.length]), label, body]);

/** What stands on the wire of a carrier before its own framing. */
export function marked(mark: Mark, message: Buffer): Buffer {
  if (mark === 'none') return message;
  if (mark === 'own') return labelled(OWN, message);
  if (mark === 'foreign') return labelled(FOREIGN, message);
  if (mark === 'label_empty') return Buffer.concat([Buffer.from([244, 0]), message]);
  if (mark === 'label_truncated') return Buffer.concat([Buffer.from([244, 200]), message]);
  return labelled(OWN, labelled(OWN, message));
}

/** The framing of a carrier around a packet or stream. */
export function framed(carrier: Carrier, body: Buffer): Buffer {
  if (carrier === 'udp' || carrier === 'native') return body;
  if (carrier === 'dskit-stream') return Buffer.concat([Buffer.from([2]), body]);
  const from = Buffer.from('127.0.0.1:7946');
  return Buffer.concat([Buffer.from([1, from.length]), from, body, createHash('md5').update(body).digest()]);
}

function delivered(carrier: Carrier, mark: Mark, expected: Outcome): Buffer | undefined {
  if (expected === 'keep') return framed(carrier, marked(mark, MESSAGE));
  if (expected === 'add') return framed(carrier, marked('own', MESSAGE));
  if (expected === 'strip') return framed(carrier, MESSAGE);
  return undefined;
}

/** Every stage, mark, carrier and direction, for admitted peers and others. */
export function pathCases(carriers: readonly Carrier[], directions: readonly Direction[]): PathCase[] {
  const out: PathCase[] = [];
  for (const stage of STAGES)
    for (const direction of directions)
      for (const carrier of carriers)
        for (const mark of MARKS)
          for (const admitted of [true, false]) {
            const expected = outcome(stage, direction, mark, admitted);
            const out1 = delivered(carrier, mark, expected);
            out.push({
              name: `${stage} ${direction} ${carrier} ${mark}, peer ${admitted ? '' : 'not '}admitted`,
              stage,
              direction,
              carrier,
              mark,
              admitted,
              sent: framed(carrier, marked(mark, MESSAGE)),
              delivered: out1,
              reason: out1 === undefined ? (expected as RejectReason) : undefined,
            });
          }
  return out;
}
