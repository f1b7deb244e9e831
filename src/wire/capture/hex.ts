/**
 * Hex text, a line at a time. Forms that are read, and may be mixed:
 *
 *   f40b 7472 6163 65…                 one gossip packet a line: pairs of digits, alone or parted by blanks or colons, `0x` in front or not
 *   00000000: f40b 7472  ..tr          `xxd` of one gossip packet; offset 0 starts the next one
 *   00000000  f4 0b 74 72  |..tr|      `hexdump -C`, the same
 *   0x0000:  4500 0054  E..T           `tcpdump -x`, `-X` (from the IP header) and `-xx`, `-XX` (from the Ethernet header), with its lines of
 *                                      text between the packets; their time is taken when it is `-tt`'s
 *
 * Blank lines and lines that start with `#` are skipped and end a packet. Anything else is an error: a typing mistake must not hide a frame.
 */
import type { ByteQueue } from './byte-queue.ts';
import { u16be } from './bytes.ts';
import type { CaptureFailure, CaptureReason, FormatReader, OnFrame } from './frame.ts';
import { HEX_FRAME_MAX_BYTES, HEX_LINE_MAX_BYTES } from './limits.ts';
import { ETHERTYPE, LINK } from './link.ts';

const NEWLINE = 0x0a;
const PLAIN = /^(?:0x)?((?:[0-9a-f]{2}[ \t:]*)+)$/i;
/** The offset needs its colon, or the two blanks of `hexdump -C`: `f40b 7472` is a plain line. */
const DUMP = /^(0x)?([0-9a-f]{4,8})(:[ \t]|[ \t]{2})[ \t]*(\S.*)$/i;
const DUMP_END = /^[0-9a-f]{7,8}$/i;
/** What tcpdump writes between dumps: a time of any `-t` form, or a protocol; with -v also an indented line. */
const TCPDUMP_TEXT = /^(?:\d\d:\d\d:\d\d\.\d+ |\d{4}-\d\d-\d\d \d\d:|\d{9,10}\.\d+ |IP6? |ARP|\s+\S+ > \S+: )/;
const EPOCH = /^(\d{9,10}\.\d+) /;

/** Whether `start`, the first bytes of a file, can be text. */
export function isText(start: Uint8Array): boolean {
  return start.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x09 || byte === 0x0a || byte === 0x0d);
}

/** Reads hex text from its first byte on. */
export function createHexReader(queue: ByteQueue, onFrame: OnFrame): FormatReader {
  let pieces: Buffer[] = [];
  let pieceBytes = 0;
  let tcpdump = false;
  let atMs: number | undefined;
  let frames = 0;
  // How many of the waiting bytes hold no end of line.
  let searched = 0;

  const flush = (): void => {
    if (pieceBytes === 0) return;
    const bytes = Buffer.concat(pieces);
    const linkType = tcpdump ? linkTypeOf(bytes) : LINK.gossip;
    pieces = [];
    pieceBytes = 0;
    onFrame({ number: ++frames, atMs, linkType, bytes, wireBytes: bytes.length });
  };

  const add = (digits: string): CaptureReason | undefined => {
    if (digits.length % 2 !== 0) return 'hex_line';
    const bytes = Buffer.from(digits, 'hex');
    pieceBytes += bytes.length;
    if (pieceBytes > HEX_FRAME_MAX_BYTES) return 'hex_length';
    pieces.push(bytes);
    return undefined;
  };

  const readDump = (mark: string | undefined, offset: number, colon: boolean, rest: string) => {
    if (offset === 0) flush();
    if (offset !== pieceBytes) return 'hex_line';
    tcpdump = mark !== undefined;
    // What stands behind the digits is the same as text: after two blanks, or between bars.
    const digits = colon ? rest.split(/[ \t]{2}/, 1)[0] : rest.split('|', 1)[0];
    if (!/^[0-9a-f \t]+$/i.test(digits ?? '')) return 'hex_line';
    return add((digits ?? '').replace(/[ \t]/g, ''));
  };

  const readLine = (line: string): CaptureReason | undefined => {
    const text = line.trimEnd();
    if (text === '' || text.startsWith('#')) {
      flush();
      return undefined;
    }
    const dump = DUMP.exec(text.trimStart());
    if (dump !== null) {
      const [, mark, offset = '', gap = '', rest = ''] = dump;
      return readDump(mark, Number.parseInt(offset, 16), gap.startsWith(':'), rest);
    }
    // The last line of `hexdump -C` is the length alone.
    if (pieceBytes > 0 && DUMP_END.test(text) && Number.parseInt(text, 16) === pieceBytes) return undefined;
    flush();
    const plain = PLAIN.exec(text.trimStart());
    if (plain === null) {
      const epoch = EPOCH.exec(text)?.[1];
      atMs = epoch === undefined ? undefined : Number(epoch) * 1e3;
      return TCPDUMP_TEXT.test(text) ? undefined : 'hex_line';
    }
    tcpdump = false;
    const wrong = add((plain[1] ?? '').replace(/[ \t:]/g, ''));
    if (wrong === undefined) flush();
    return wrong;
  };

  const take = (lineBytes: number, withEnd: number): true | CaptureFailure => {
    const at = queue.offset();
    const line = Buffer.from(queue.peek(lineBytes) ?? []).toString('latin1');
    const wrong = readLine(line);
    if (wrong !== undefined) return { reason: wrong, at };
    queue.skip(lineBytes + withEnd);
    searched = 0;
    return true;
  };

  return {
    step() {
      const size = queue.size();
      const end = size > searched ? (queue.peek(size)?.indexOf(NEWLINE, searched) ?? -1) : -1;
      if ((end < 0 ? size : end) > HEX_LINE_MAX_BYTES) return { reason: 'hex_length', at: queue.offset() };
      if (end >= 0) return take(end, 1);
      searched = size;
      return false;
    },
    end() {
      const last = queue.size() > 0 ? take(queue.size(), 0) : true;
      if (last !== true) return last;
      flush();
      return undefined;
    },
  };
}

/** tcpdump does not say whether its dump starts at the IP header (-x) or at the Ethernet header (-xx). */
function linkTypeOf(bytes: Uint8Array): number {
  const version = (at: number) => (bytes[at] ?? 0) >> 4;
  if (version(0) === 4 && u16be(bytes, 2) === bytes.length) return LINK.raw;
  if (version(0) === 6 && u16be(bytes, 4) === bytes.length - 40) return LINK.raw;
  const type = u16be(bytes, 12);
  if (type === ETHERTYPE.ipv4 && version(14) === 4) return LINK.ethernet;
  if (type === ETHERTYPE.ipv6 && version(14) === 6) return LINK.ethernet;
  return type === ETHERTYPE.vlan || type === ETHERTYPE.serviceVlan ? LINK.ethernet : LINK.raw;
}
