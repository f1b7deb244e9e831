/** Frames and messages for the tests of the ring. */
import type { FrameSource } from '../../src/ring/source.ts';
import type { MessageOf } from '../../src/wire/messages.ts';
import { NODE_STATE, type PushPullNode } from '../../src/wire/push-pull.ts';

export const START_MS = 1_000_000;
export const VSN = Uint8Array.of(1, 5, 2, 2, 5, 4);

const INBOUND: FrameSource = {
  atMs: START_MS,
  direction: 'inbound',
  transport: 'native',
  kind: 'packet',
  peer: { address: '10.0.0.9', port: 7946 },
  labelState: 'none',
  label: new Uint8Array(0),
  rejected: false,
  answer: false,
};

/** An unlabelled datagram of a peer that passed, but for what is said otherwise. */
export function frame(change: Partial<FrameSource> = {}): FrameSource {
  return { ...INBOUND, ...change };
}

/** What our own app sends. */
export function appFrame(change: Partial<FrameSource> = {}): FrameSource {
  return frame({ direction: 'outbound', ...change });
}

/** A rejected frame of another cluster. */
export function foreignFrame(label = 'blue', change: Partial<FrameSource> = {}): FrameSource {
  return frame({ labelState: 'foreign', label: Buffer.from(label), rejected: true, kind: 'stream', ...change });
}

export function addressBytes(address: string): Uint8Array {
  return Uint8Array.from(address.split('.').map(Number));
}

export function alive(
  Node: string,
  address = '10.0.0.1',
  change: Partial<MessageOf<'alive'>> = {},
): MessageOf<'alive'> {
  const Addr = addressBytes(address);
  return { type: 'alive', Node, Addr, Port: 7946, Incarnation: 1, Meta: new Uint8Array(0), Vsn: VSN, ...change };
}

export function suspect(Node: string, Incarnation = 1, From = 'accuser'): MessageOf<'suspect'> {
  return { type: 'suspect', Node, Incarnation, From };
}

export function dead(Node: string, Incarnation = 1, From = 'accuser'): MessageOf<'dead'> {
  return { type: 'dead', Node, Incarnation, From };
}

export function ping(Node: string, SourceNode = ''): MessageOf<'ping'> {
  return { type: 'ping', SeqNo: 7, Node, SourceAddr: new Uint8Array(0), SourcePort: 0, SourceNode };
}

export function row(
  Name: string,
  state: keyof typeof NODE_STATE = 'alive',
  address = '10.0.0.1',
  change: Partial<PushPullNode> = {},
): PushPullNode {
  const Addr = addressBytes(address);
  return {
    Name,
    Addr,
    Port: 7946,
    Incarnation: 1,
    Meta: new Uint8Array(0),
    Vsn: VSN,
    State: NODE_STATE[state],
    ...change,
  };
}
