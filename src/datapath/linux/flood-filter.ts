/**
 * The program that drops foreign packets in the kernel while a flood lasts. It drops only what the fence would reject: it may let in
 * what is rejected later, never the other way round. The kernel runs it on each datagram of a UDP socket, from the UDP header on
 * (net/ipv4/udp.c udp_queue_rcv_one_skb, the same for IPv6), before it takes room in the socket's receive buffer.
 */
import { isV4Mapped } from '../../wire/address.ts';
import { encodeLabelHeader } from '../../wire/label.ts';
import { MESSAGE_TYPE } from '../../wire/message-type.ts';
import { BPF, BpfProgram, INTERFACE_INDEX, NETWORK_AT, RANDOM } from './classic-bpf.ts';

/** Blocked sources of one family: what a filter has room for besides the longest label, also where net.core.optmem_max is 20 KiB. */
export const BLOCKED_MAX = { 4: 256, 6: 64 } as const;
/** Networks that the filter can tell strangers by. */
export const NETWORKS_MAX = 64;
/** Let in of 1,000 that could be dropped. */
export const SAMPLE_MAX = 1_000;

const UDP_HEADER_BYTES = 8;
const LET_IN = 0xffff_ffff;
const DROP = 0;
const IPV4_SOURCE = NETWORK_AT + 12;
const IPV6_SOURCE = NETWORK_AT + 8;
/** LOOPBACK_IFINDEX: the kernel's, in every network namespace. */
const LOOPBACK = 1;
/** Sources that are compared one after the other at the end of a search. */
const LEAF = 4;

/** `address`: 16 bytes; `prefix`: of 128 bits, so an IPv4 network has 96 and more. */
export interface Network {
  readonly address: Uint8Array;
  readonly prefix: number;
}

/** Which unlabelled packets may be dropped. */
export type UnlabelledFilter =
  | { readonly kind: 'none' }
  /** Everybody's: the stage takes none. */
  | { readonly kind: 'all' }
  /** Those of these addresses (16 bytes each); what is beyond BLOCKED_MAX is left out. */
  | { readonly kind: 'from'; readonly sources: readonly Uint8Array[] }
  /** Those from outside of all of these, at most NETWORKS_MAX. */
  | { readonly kind: 'outside'; readonly networks: readonly Network[] };

export interface FloodFilter {
  /** 1 to 255 bytes. Packets that begin with its header, and not with a second one after it, are let in. */
  readonly label: Uint8Array;
  readonly unlabelled: UnlabelledFilter;
  /** How many of 1,000 packets that could be dropped are let in all the same, so that their reasons stay visible; 0 to SAMPLE_MAX. */
  readonly samplePerThousand: number;
  /** What comes in by the loopback interface is let in: in transparent mode that is what the app behind the fence sends. */
  readonly loopbackPasses: boolean;
}

/** The program, as SO_ATTACH_FILTER takes it (classic-bpf.ts); the caller owns the buffer. Throws a RangeError beyond the bounds. */
export function buildFloodFilter(filter: FloodFilter): Buffer {
  const { label, unlabelled, samplePerThousand, loopbackPasses } = filter;
  if (!(samplePerThousand >= 0 && samplePerThousand <= SAMPLE_MAX)) throw new RangeError(`sample ${samplePerThousand}`);
  const program = new BpfProgram();
  if (loopbackPasses) {
    const next = program.name();
    program.add(BPF.loadWord, INTERFACE_INDEX);
    program.branch(BPF.jumpEqual, LOOPBACK, undefined, next);
    program.add(BPF.ret, LET_IN);
    program.place(next);
  }
  addLabelled(program, encodeLabelHeader(label));
  program.place('unlabelled');
  addUnlabelled(program, unlabelled);
  program.place('drop');
  addSampledDrop(program, samplePerThousand);
  return program.encode();
}

/** Sends what has no header to `unlabelled`, foreign and malformed ones to `drop`. */
function addLabelled(program: BpfProgram, header: Uint8Array): void {
  const bodyAt = UDP_HEADER_BYTES + header.length;
  program.add(BPF.loadLength);
  program.branch(BPF.jumpGreater, UDP_HEADER_BYTES, undefined, 'bare');
  program.add(BPF.loadByte, UDP_HEADER_BYTES);
  program.branch(BPF.jumpEqual, MESSAGE_TYPE.hasLabel, 'labelled', undefined);
  program.place('bare');
  program.goto('unlabelled');
  program.place('labelled');
  // Shorter than the own header: cut off, or another label.
  program.add(BPF.loadLength);
  program.branch(BPF.jumpGreaterOrEqual, bodyAt, undefined, 'bad');
  const bytes = Buffer.from(header);
  let at = 0;
  const compare = (load: number, value: number, size: number): void => {
    program.add(load, UDP_HEADER_BYTES + at);
    program.branch(BPF.jumpEqual, value, undefined, 'bad');
    at += size;
  };
  while (bytes.length - at >= 4) compare(BPF.loadWord, bytes.readUInt32BE(at), 4);
  if (bytes.length - at >= 2) compare(BPF.loadHalf, bytes.readUInt16BE(at), 2);
  if (bytes.length - at >= 1) compare(BPF.loadByte, bytes.readUInt8(at), 1);
  program.add(BPF.loadLength);
  program.branch(BPF.jumpGreater, bodyAt, undefined, 'own');
  program.add(BPF.loadByte, bodyAt);
  program.branch(BPF.jumpEqual, MESSAGE_TYPE.hasLabel, 'bad', 'own');
  program.place('own');
  program.add(BPF.ret, LET_IN);
  program.place('bad');
  program.goto('drop');
}

/** Ends, or goes to `drop`. */
function addUnlabelled(program: BpfProgram, unlabelled: UnlabelledFilter): void {
  if (unlabelled.kind === 'none') program.add(BPF.ret, LET_IN);
  else if (unlabelled.kind === 'all') program.goto('drop');
  else {
    addFamilies(program);
    if (unlabelled.kind === 'from') addSources(program, unlabelled.sources);
    else addNetworks(program, unlabelled.networks);
  }
}

/** Goes to `ipv4` or `ipv6` by the version of the IP header: a socket for both sees either. */
function addFamilies(program: BpfProgram): void {
  program.add(BPF.loadByte, NETWORK_AT);
  program.add(BPF.shiftRight, 4);
  program.branch(BPF.jumpEqual, 4, undefined, 'not4');
  program.goto('ipv4');
  program.place('not4');
  program.branch(BPF.jumpEqual, 6, undefined, 'neither');
  program.goto('ipv6');
  program.place('neither');
  program.add(BPF.ret, LET_IN);
}

/** One address of a family as words; the last tells addresses best apart, so it is what is searched by. */
interface Key {
  readonly last: number;
  readonly words: readonly number[];
}

function keysOf(sources: readonly Uint8Array[], family: 4 | 6): Key[] {
  const keys = sources
    .filter((source) => isV4Mapped(source) === (family === 4))
    .slice(0, BLOCKED_MAX[family])
    .map((source) => {
      const bytes = Buffer.from(source);
      const words = [0, 4, 8, 12].map((at) => bytes.readUInt32BE(at));
      return { last: words[3] as number, words: family === 4 ? [] : words.slice(0, 3) };
    });
  return keys.sort((a, b) => a.last - b.last);
}

function addSources(program: BpfProgram, sources: readonly Uint8Array[]): void {
  program.place('ipv4');
  program.add(BPF.loadWord, IPV4_SOURCE);
  addSearch(program, keysOf(sources, 4));
  program.place('ipv6');
  program.add(BPF.loadWord, IPV6_SOURCE + 12);
  addSearch(program, keysOf(sources, 6));
}

/** Looks for the word that was loaded among the last words of `keys`, which are sorted. */
function addSearch(program: BpfProgram, keys: readonly Key[]): void {
  let half = keys.length >> 1;
  // Equal last words stay together.
  while (half > 0 && keys[half - 1]?.last === keys[half]?.last) half--;
  if (keys.length <= LEAF || half === 0) {
    addLeaf(program, keys);
    return;
  }
  const [left, right] = [program.name(), program.name()];
  program.branch(BPF.jumpGreaterOrEqual, keys[half]?.last ?? 0, undefined, left);
  program.goto(right);
  program.place(left);
  addSearch(program, keys.slice(0, half));
  program.place(right);
  addSearch(program, keys.slice(half));
}

function addLeaf(program: BpfProgram, keys: readonly Key[]): void {
  for (const { last, words } of keys) {
    const next = program.name();
    program.branch(BPF.jumpEqual, last, undefined, next);
    words.forEach((word, i) => {
      const other = program.name();
      program.add(BPF.loadWord, IPV6_SOURCE + i * 4);
      program.branch(BPF.jumpEqual, word, other, undefined);
      // Another address with this last word: the next comparison needs that again.
      program.add(BPF.loadWord, IPV6_SOURCE + 12);
      program.goto(next);
      program.place(other);
    });
    program.goto('drop');
    program.place(next);
  }
  program.add(BPF.ret, LET_IN);
}

/** Lets in what comes from one of the networks. */
function addNetworks(program: BpfProgram, networks: readonly Network[]): void {
  if (networks.length > NETWORKS_MAX) throw new RangeError(`${networks.length} networks`);
  const isV4 = ({ address, prefix }: Network) => prefix >= 96 && isV4Mapped(address);
  program.place('ipv4');
  for (const network of networks.filter(isV4)) addNetwork(program, network, 3);
  program.goto('drop');
  program.place('ipv6');
  for (const network of networks.filter((network) => !isV4(network))) addNetwork(program, network, 0);
  program.goto('drop');
}

/** Compares as many words, from `first` on, as the prefix reaches into. */
function addNetwork(program: BpfProgram, { address, prefix }: Network, first: number): void {
  const bytes = Buffer.from(address);
  const source = first === 0 ? IPV6_SOURCE : IPV4_SOURCE - 12;
  const next = program.name();
  for (let word = first; word * 32 < prefix; word++) {
    const bits = Math.min(32, prefix - word * 32);
    const mask = bits === 32 ? 0xffff_ffff : ~(0xffff_ffff >>> bits) >>> 0;
    program.add(BPF.loadWord, source + word * 4);
    if (bits < 32) program.add(BPF.and, mask);
    program.branch(BPF.jumpEqual, (bytes.readUInt32BE(word * 4) & mask) >>> 0, undefined, next);
  }
  program.add(BPF.ret, LET_IN);
  program.place(next);
}

function addSampledDrop(program: BpfProgram, samplePerThousand: number): void {
  if (samplePerThousand > 0) {
    const beyond = program.name();
    program.add(BPF.loadWord, RANDOM);
    program.branch(BPF.jumpGreater, Math.ceil((samplePerThousand / SAMPLE_MAX) * 0xffff_ffff), beyond, undefined);
    program.add(BPF.ret, LET_IN);
    program.place(beyond);
  }
  program.add(BPF.ret, DROP);
}
