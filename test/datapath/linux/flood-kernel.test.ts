/** The same filter in this machine's kernel: on sockets for IPv4, IPv6 and both it gives the verdicts of the interpreter. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import fc from 'fast-check';
import t from 'tap';
import { buildFloodFilter, type UnlabelledFilter } from '../../../src/datapath/linux/flood-filter.ts';
import { sockaddr } from '../../../src/datapath/linux/sockaddr.ts';
import { attachFilter, detachFilter, dropsAt } from '../../../src/datapath/linux/socket-filter.ts';
import {
  AF_INET,
  AF_INET6,
  IPV6_V6ONLY,
  loadSyscalls,
  SOCK_DGRAM,
  SOL_IPV6,
  type Syscalls,
} from '../../../src/datapath/linux/syscalls.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { encodeLabelHeader } from '../../../src/wire/label.ts';
import { letsIn } from './bpf-kit.ts';

const LABELS = [Buffer.from('own'), Buffer.alloc(255, 'L'), Buffer.from('twelve-bytes')];
const LOOPBACK = 1;
const SURE_TO_DROP = 0xffff_ffff;
const ROUNDS = 20;

const bytes = (text: string) => parseAddress(text) as Uint8Array;
const isV4 = (text: string) => !text.includes(':');

/** A socket of ours and the senders that reach it. */
interface Place {
  readonly name: string;
  readonly address: string;
  readonly dual: boolean;
  readonly senders: readonly string[];
}
const PLACES: readonly Place[] = [
  { name: 'IPv4', address: '127.0.0.1', dual: false, senders: ['127.0.0.1', '127.0.0.2', '127.9.0.3'] },
  { name: 'IPv6', address: '::1', dual: false, senders: ['::1'] },
  { name: 'both', address: '::', dual: true, senders: ['127.0.0.1', '127.0.0.2', '127.9.0.3', '::1'] },
];

const UNLABELLED: readonly UnlabelledFilter[] = [
  { kind: 'none' },
  { kind: 'all' },
  {
    kind: 'from',
    sources: ['127.0.0.2', '10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '::1', 'fd00::1', 'fd01::1'].map(bytes),
  },
  { kind: 'from', sources: ['127.0.0.1', 'fd00::1'].map(bytes) },
  { kind: 'outside', networks: [{ address: bytes('127.0.0.0'), prefix: 96 + 17 }] },
  {
    kind: 'outside',
    networks: [
      { address: bytes('::'), prefix: 100 },
      { address: bytes('127.9.0.0'), prefix: 112 },
    ],
  },
];

function payloads(label: Uint8Array): Buffer[] {
  const header = Buffer.from(encodeLabelHeader(label));
  const last = Buffer.from(header);
  last[last.length - 1] = (last[last.length - 1] as number) ^ 1;
  const fixed = [
    Buffer.alloc(0),
    Buffer.from([244]),
    Buffer.from([244, 0]),
    Buffer.from([244, 0, 1]),
    header,
    Buffer.concat([header, Buffer.from('body')]),
    Buffer.concat([header, header, Buffer.from('body')]),
    Buffer.concat([header, Buffer.from([244])]),
    Buffer.concat([last, Buffer.from('body')]),
    header.subarray(0, -1),
    Buffer.concat([Buffer.from(encodeLabelHeader(Buffer.concat([label, label]).subarray(0, 200))), Buffer.from('x')]),
    Buffer.from('unlabelled'),
    Buffer.from([0]),
  ];
  const random = fc.sample(fc.uint8Array({ maxLength: 1_400 }), ROUNDS).map((some) => Buffer.from(some));
  return [...fixed, ...random];
}

async function sender(address: string): Promise<Socket> {
  const socket = createSocket(isV4(address) ? 'udp4' : 'udp6');
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket;
}

function openSocket(calls: Syscalls, { address, dual }: Place): { fd: number; port: number } {
  const fd = calls.socket(isV4(address) ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  if (!isV4(address)) calls.setInt(fd, SOL_IPV6, IPV6_V6ONLY, dual ? 0 : 1);
  calls.bind(fd, sockaddr(bytes(address), 0));
  const name = Buffer.alloc(32);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(name.length);
  calls.streams.getsockname(fd, Number(calls.address(name)), Number(calls.address(size)));
  return { fd, port: name.readUInt16BE(2) };
}

const send = (socket: Socket, payload: Buffer, port: number, to: string) =>
  new Promise<void>((resolve, reject) =>
    socket.send(payload, port, to, (error) => (error ? reject(error) : resolve())),
  );

/** What one datagram meets: loopback delivers within the send. */
async function passes(calls: Syscalls, fd: number, deliver: () => Promise<void>): Promise<boolean> {
  const memory = Buffer.alloc(2_048);
  await deliver();
  return calls.streams.recv(fd, Number(calls.address(memory)), memory.length) >= 0;
}

for (const place of PLACES) {
  t.test(place.name, async (t) => {
    const calls = await loadSyscalls();
    const { fd, port } = openSocket(calls, place);
    t.teardown(() => calls.close(fd));
    let dropped = 0;
    for (const from of place.senders) {
      const socket = await sender(from);
      const to = isV4(from) ? '127.0.0.1' : '::1';
      for (const label of LABELS) {
        for (const unlabelled of UNLABELLED) {
          const program = buildFloodFilter({ label, unlabelled, samplePerThousand: 0, loopbackPasses: false });
          t.equal(attachFilter(calls, fd, program), undefined, `${label.length} bytes, ${unlabelled.kind}, ${from}`);
          for (const payload of payloads(label)) {
            const source = isV4(from) ? bytes(from).subarray(12) : bytes(from);
            const expected = letsIn(program, { payload, source, interfaceIndex: LOOPBACK, random: SURE_TO_DROP });
            const passed = await passes(calls, fd, () => send(socket, payload, port, to));
            if (!expected) dropped++;
            // One line each for thousands of agreements says nothing.
            if (passed !== expected)
              t.equal(passed, expected, `${payload.subarray(0, 300).toString('hex')} from ${from}`);
          }
        }
      }
      socket.close();
    }
    t.ok(dropped > 100, `${dropped} were to be dropped`);
    t.equal(dropsAt(calls, fd), dropped, 'and the socket counts them');
    t.equal(detachFilter(calls, fd), undefined);
    t.equal(detachFilter(calls, fd), 'ENOENT');
  });
}

t.test('the loopback interface has the index by which the app is known', async (t) => {
  const calls = await loadSyscalls();
  const { fd, port } = openSocket(calls, PLACES[0] as Place);
  t.teardown(() => calls.close(fd));
  const socket = await sender('127.0.0.1');
  const filter = { label: Buffer.from('own'), unlabelled: { kind: 'all' }, samplePerThousand: 0 } as const;
  for (const loopbackPasses of [true, false]) {
    t.equal(attachFilter(calls, fd, buildFloodFilter({ ...filter, loopbackPasses })), undefined);
    const passed = await passes(calls, fd, () => send(socket, Buffer.from('unlabelled'), port, '127.0.0.1'));
    t.equal(passed, loopbackPasses);
  }
  socket.close();
});

t.test('the sampling hole, and a program that is too large', async (t) => {
  const calls = await loadSyscalls();
  const { fd, port } = openSocket(calls, PLACES[0] as Place);
  t.teardown(() => calls.close(fd));
  const socket = await sender('127.0.0.1');
  const filter = { label: Buffer.from('own'), unlabelled: { kind: 'all' }, loopbackPasses: false } as const;
  t.equal(attachFilter(calls, fd, buildFloodFilter({ ...filter, samplePerThousand: 100 })), undefined);
  let through = 0;
  const sent = 4_000;
  for (let i = 0; i < sent; i++) {
    if (await passes(calls, fd, () => send(socket, Buffer.from('unlabelled'), port, '127.0.0.1'))) through++;
  }
  t.ok(through > sent * 0.06 && through < sent * 0.15, `${through} of ${sent} came through a hole of a tenth`);
  const manyV4 = Array.from({ length: 256 }, (_, i) => bytes(`10.0.0.${i}`));
  const manyV6 = Array.from({ length: 64 }, (_, i) => bytes(`fd00::${i.toString(16)}`));
  const unlabelled = { kind: 'from', sources: [...manyV4, ...manyV6] } as const;
  const largest = buildFloodFilter({
    label: Buffer.alloc(255, 1),
    unlabelled,
    samplePerThousand: 1,
    loopbackPasses: true,
  });
  t.equal(attachFilter(calls, fd, largest), undefined, 'the largest program is taken');
  t.equal(attachFilter(calls, fd, Buffer.alloc(0)), 'EINVAL', 'and what the kernel refuses is said');
  socket.close();
});
