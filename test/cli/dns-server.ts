/** A name server on loopback, UDP and TCP on one port, that answers as a test says: well, badly, or not at all. */
import { createSocket } from 'node:dgram';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { parseAddress } from '../../src/wire/address.ts';

export const TYPE = { A: 1, AAAA: 28, SRV: 33 } as const;
export const RCODE = { ok: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5 } as const;

/** What one question gets. `truncate`: over UDP only the header, with the bit that says so. */
export type Reply =
  | { readonly rcode: number }
  | { readonly addresses: readonly string[]; readonly truncate?: true }
  | { readonly targets: readonly string[] }
  | { readonly raw: Uint8Array }
  | 'silence';

export interface DnsServer {
  /** As Resolver.setServers takes it. */
  readonly server: string;
  /** `NAME TYPE`, NAME in lower case, to its replies; a name without any is NXDOMAIN. */
  readonly zone: Map<string, Reply>;
  /** `udp NAME TYPE` or `tcp NAME TYPE`, in order. */
  readonly asked: string[];
  stop(): void;
}

const TYPE_NAMES = new Map<number, string>(Object.entries(TYPE).map(([name, type]) => [type, name]));

export async function startDnsServer(): Promise<DnsServer> {
  const zone = new Map<string, Reply>();
  const asked: string[] = [];
  const connections = new Set<Socket>();
  const answer = (query: Buffer, over: 'udp' | 'tcp'): Buffer | undefined => {
    const { name, type, end } = readQuestion(query);
    const key = `${name} ${TYPE_NAMES.get(type) ?? type}`;
    asked.push(`${over} ${key}`);
    const known = [...zone.keys()].some((other) => other.startsWith(`${name} `));
    const reply = zone.get(key) ?? { rcode: known ? RCODE.ok : RCODE.nxDomain };
    if (reply === 'silence') return undefined;
    return 'raw' in reply ? Buffer.from(reply.raw) : encode(query.subarray(0, end), reply, type, over);
  };
  const tcp = createServer((socket) => {
    connections.add(socket);
    let buffered = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
        const length = buffered.readUInt16BE(0);
        const message = answer(buffered.subarray(2, 2 + length), 'tcp');
        buffered = buffered.subarray(2 + length);
        if (message === undefined) continue;
        const size = Buffer.alloc(2);
        size.writeUInt16BE(message.length);
        socket.write(Buffer.concat([size, message]));
      }
    });
  });
  await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket('udp4');
  udp.on('message', (query, from) => {
    const message = answer(query, 'udp');
    if (message !== undefined) udp.send(message, from.port, from.address);
  });
  await new Promise<void>((resolve) => udp.bind(port, '127.0.0.1', resolve));
  return {
    server: `127.0.0.1:${port}`,
    zone,
    asked,
    stop() {
      udp.close();
      tcp.close();
      for (const socket of connections) socket.destroy();
    },
  };
}

function readQuestion(message: Buffer): { readonly name: string; readonly type: number; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}

function encode(query: Buffer, reply: Exclude<Reply, 'silence' | { raw: Uint8Array }>, type: number, over: string) {
  const header = Buffer.from(query);
  const truncates = 'addresses' in reply && reply.truncate === true && over === 'udp';
  const rows = truncates ? [] : rowsOf(reply, type);
  header.writeUInt16BE(0x8180 | (truncates ? 0x0200 : 0) | ('rcode' in reply ? reply.rcode : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(rows.length, 6);
  header.writeUInt32BE(0, 8);
  return Buffer.concat([header, ...rows]);
}

function rowsOf(reply: Exclude<Reply, 'silence' | { raw: Uint8Array }>, type: number): Buffer[] {
  const data: Buffer[] = [];
  if ('addresses' in reply) {
    for (const address of reply.addresses) {
      const bytes = Buffer.from(parseAddress(address) ?? []);
      data.push(type === TYPE.A ? bytes.subarray(12) : bytes);
    }
  }
  if ('targets' in reply) {
    for (const target of reply.targets)
      data.push(Buffer.concat([Buffer.of(0, 0, 0, 0, 0x1f, 0x0a), encodeName(target)]));
  }
  return data.map((bytes) => {
    const head = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 1, 0, 0]);
    head.writeUInt16BE(bytes.length, 10);
    return Buffer.concat([head, bytes]);
  });
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '');
  return Buffer.concat([
    ...labels.map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`)),
    Buffer.of(0),
  ]);
}
