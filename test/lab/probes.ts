/** Single frames from a host, to see whether anything answers. Each ends within about three seconds. */
import type { Endpoint } from '../../src/datapath/engine.ts';
import type { Host } from './lab.ts';

const PROBE_TIMEOUT_MS = 2_500;

/** Connects and closes: `connected`, `timeout`, or the error's code. */
export async function probeTcp(host: Host, { address, port }: Endpoint): Promise<string> {
  const script = `
    const socket = require('node:net').connect(${port}, ${JSON.stringify(address)});
    const done = (word) => { console.log(word); process.exit(); };
    socket.on('connect', () => done('connected')).on('error', (error) => done(error.code));
    setTimeout(done, ${PROBE_TIMEOUT_MS}, 'timeout');`;
  return (await host.run(process.execPath, ['-e', script])).output.trim();
}

export interface PingOptions {
  /** The name of the member at the address: it drops pings for others. */
  readonly node: string;
  /** Label header to put before the ping. */
  readonly label?: string;
}

/** A memberlist ping from a free port, without Source fields: `answer` when anything comes back (gossip may be packed with the ack), else `silence`. */
export async function pingUdp(host: Host, { address, port }: Endpoint, options: PingOptions): Promise<string> {
  const script = `
    const socket = require('node:dgram').createSocket(${JSON.stringify(address.includes(':') ? 'udp6' : 'udp4')});
    const done = (word) => { console.log(word); process.exit(); };
    socket.on('message', () => done('answer'));
    socket.on('error', (error) => done(error.code));
    socket.send(Buffer.from('${pingBytes(options).toString('hex')}', 'hex'), ${port}, ${JSON.stringify(address)});
    setTimeout(done, ${PROBE_TIMEOUT_MS}, 'silence');`;
  return (await host.run(process.execPath, ['-e', script])).output.trim();
}

/** `0 msgpack{SeqNo, Node}`, under a label header where there is a label. */
export function pingBytes({ node, label }: PingOptions): Buffer {
  const short = (text: string) => Buffer.concat([Buffer.of(0xa0 + Buffer.byteLength(text)), Buffer.from(text)]);
  const header =
    label === undefined ? Buffer.of() : Buffer.concat([Buffer.of(244, Buffer.byteLength(label)), Buffer.from(label)]);
  return Buffer.concat([header, Buffer.of(0, 0x82), short('SeqNo'), Buffer.of(7), short('Node'), short(node)]);
}
