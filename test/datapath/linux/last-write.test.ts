// A write that an end follows goes with its FIN, in one packet: what is asked of the kernel, and what arrives.
import t from 'tap';
import { rawDialler } from '../../../src/datapath/linux/raw-dial.ts';
import { RawIo } from '../../../src/datapath/linux/raw-io.ts';
import type { RawSocket } from '../../../src/datapath/linux/raw-socket.ts';
import { Pump } from '../../../src/datapath/pump.ts';
import { IdleOwner } from '../../../src/datapath/socket.ts';
import { pause, startRecorder, until } from '../harness.ts';
import { turnedLoop } from './raw-kit.ts';

/** What is held back goes after 200 ms at the earliest (Linux net/ipv4/tcp_output.c, the probe timer). */
const AT_ONCE_MS = 150;

const turned = await turnedLoop();
t.teardown(() => turned.close());

/** Whether each write was to wait for what follows. */
const waits: boolean[] = [];
const { streams } = turned.calls;
const io = new RawIo(turned.loop, {
  ...turned.calls,
  streams: {
    ...streams,
    sendBytes(fd, bytes, more) {
      waits.push(more);
      return streams.sendBytes(fd, bytes, more);
    },
  },
});

/** A pump into a socket that is dialling, and who takes what comes out of it. */
async function pumped() {
  const app = await startRecorder();
  const to: RawSocket = rawDialler(io, { address: '127.0.0.1', port: app.port })();
  to.owner = new IdleOwner();
  waits.length = 0;
  const startMs = performance.now();
  const arrived = async () => {
    await until('a connection', () => app.connections[0] !== undefined);
    const ending = await app.connections[0]?.ended();
    return { ending, text: app.connections[0]?.received().toString(), ms: performance.now() - startMs };
  };
  const nobody = { cut: () => undefined };
  return { pump: new Pump(to, to, nobody), to, app, arrived, close: () => app.close() };
}

t.test('the end is known before the last write', async (t) => {
  const { pump, arrived, close } = await pumped();
  pump.write(Buffer.from('all of '));
  pump.write(Buffer.from('it'));
  pump.finish();
  const { ms, ...got } = await arrived();
  t.same(got, { ending: 'fin', text: 'all of it' });
  t.same(waits, [true]);
  t.ok(ms < AT_ONCE_MS, `nothing was held back: ${ms} ms`);
  await close();
});

t.test('the end is not known: nothing waits', async (t) => {
  const { pump, to, arrived, close } = await pumped();
  pump.write(Buffer.from('some'));
  await until('the connection', () => !to.connecting);
  t.same(waits, [false]);
  pump.finish();
  t.match(await arrived(), { ending: 'fin', text: 'some' });
  await close();
});

t.test('a reset instead of the end that was to follow', async (t) => {
  const { pump, to, app, close } = await pumped();
  to.owner = new (class extends IdleOwner {
    override onConnect(): void {
      to.resetAndDestroy();
    }
  })();
  pump.write(Buffer.from('some'));
  pump.finish();
  await until('the close', () => to.closed);
  await pause(AT_ONCE_MS);
  t.same(waits, [true]);
  t.notOk(
    app.connections.some((one) => one.received().length > 0 || one.ending() === 'fin'),
    'what waited is gone',
  );
  await close();
});
