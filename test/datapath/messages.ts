/** Stream messages for the tests of what is held. */
import { encodeCompress } from '../../src/wire/compress.ts';
import { encodePushPull, type PushPullNode } from '../../src/wire/push-pull.ts';

export function row(name: string, more: Partial<PushPullNode> = {}): PushPullNode {
  return {
    Name: name,
    Addr: Uint8Array.of(10, 0, 0, 7),
    Port: 7946,
    Meta: new Uint8Array(0),
    Incarnation: 3,
    State: 0,
    Vsn: Uint8Array.of(1, 5, 2, 0, 0, 0),
    ...more,
  };
}

/** A push/pull of these members. */
export function pushPull(
  names: readonly string[],
  userState: Uint8Array = Buffer.from('some user state'),
  join = false,
): Buffer {
  return Buffer.from(encodePushPull({ join, nodes: names.map((name) => row(name)), userState }));
}

/** Ends every member up to v0.6.0 (wire-protocol §6 row 3). */
export const HARMFUL = Buffer.from(
  encodePushPull({
    join: true,
    nodes: [row('one'), row('two', { Vsn: Uint8Array.of(1, 5) })],
    userState: new Uint8Array(0),
  }),
);

/** The same, packed: nothing can be told before it is whole. */
export const HARMFUL_PACKED = Buffer.from(encodeCompress(HARMFUL, 0));

export function bytewise(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
}
