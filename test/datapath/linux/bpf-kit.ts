/** Classic BPF, interpreted: what net/core/filter.c does with the instructions that the flood filter is made of. */
import {
  BPF,
  INSTRUCTION_BYTES,
  INTERFACE_INDEX,
  NETWORK_AT,
  RANDOM,
} from '../../../src/datapath/linux/classic-bpf.ts';

/** A datagram as the filter of a UDP socket sees it. */
export interface Seen {
  readonly payload: Uint8Array;
  /** 4 or 16 bytes. */
  readonly source: Uint8Array;
  readonly interfaceIndex: number;
  /** The random number that the kernel would have drawn. */
  readonly random: number;
}

const UDP_HEADER_BYTES = 8;

/** The IP header, as far as it counts here: version and source. */
function networkHeader(source: Uint8Array): Buffer {
  const header = Buffer.alloc(source.length === 4 ? 20 : 40);
  header[0] = source.length === 4 ? 0x45 : 0x60;
  header.set(source, source.length === 4 ? 12 : 8);
  return header;
}

/** Whether `program` lets the datagram in. Throws for what the kernel would refuse to attach. */
export function letsIn(program: Buffer, { payload, source, interfaceIndex, random }: Seen): boolean {
  const packet = Buffer.concat([Buffer.alloc(UDP_HEADER_BYTES), payload]);
  const network = networkHeader(source);
  let a = 0;
  /** Undefined: beyond the packet, which ends the program with 0. */
  const load = (k: number, size: number): number | undefined => {
    if (k === INTERFACE_INDEX) return interfaceIndex;
    if (k === RANDOM) return random;
    const [bytes, at] = k >= NETWORK_AT ? [network, k - NETWORK_AT] : [packet, k];
    return at + size > bytes.length ? undefined : bytes.readUIntBE(at, size);
  };
  const sizes = new Map<number, number>([
    [BPF.loadWord, 4],
    [BPF.loadHalf, 2],
    [BPF.loadByte, 1],
  ]);
  for (let pc = 0; pc * INSTRUCTION_BYTES < program.length; pc++) {
    const at = pc * INSTRUCTION_BYTES;
    const [code, jt, jf, k] = [
      program.readUInt16LE(at),
      program.readUInt8(at + 2),
      program.readUInt8(at + 3),
      program.readUInt32LE(at + 4),
    ];
    const size = sizes.get(code);
    if (size !== undefined) {
      const value = load(k, size);
      if (value === undefined) return false;
      a = value;
    } else if (code === BPF.loadLength) a = packet.length;
    else if (code === BPF.and) a = (a & k) >>> 0;
    else if (code === BPF.shiftRight) a >>>= k;
    else if (code === BPF.jump) pc += k;
    else if (code === BPF.jumpEqual) pc += a === k ? jt : jf;
    else if (code === BPF.jumpGreater) pc += a > k ? jt : jf;
    else if (code === BPF.jumpGreaterOrEqual) pc += a >= k ? jt : jf;
    else if (code === BPF.ret) return k > 0;
    else throw new Error(`code ${code} at ${pc}`);
  }
  throw new Error('the program does not end');
}
