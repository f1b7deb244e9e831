/** Values of dskit ring keys for the tests. */
import { encodeProto } from '../../src/wire/protobuf.ts';
import { encodeSnappy } from '../../src/wire/snappy.ts';

export interface DescInstance {
  readonly id: string;
  readonly address: string;
  readonly zone: string;
  /** Unix seconds. */
  readonly timestamp: number;
  /** ring.proto `InstanceState`; 0 = ACTIVE. */
  readonly state?: number;
}

/** A `Desc` with these instances, as dskit stores it. */
export function ringDesc(instances: readonly DescInstance[]): Uint8Array {
  const entries = instances.map(({ id, address, zone, timestamp, state = 0 }) =>
    encodeProto([
      [1, id],
      [
        2,
        encodeProto([
          [1, address],
          [2, timestamp],
          [3, state],
          [7, zone],
        ]),
      ],
    ]),
  );
  return encodeSnappy(encodeProto(entries.map((entry) => [1, entry])));
}
