/** Streams that the kernel rules bring: which source ports of a peer a connection under its address must not take. */
import t from 'tap';
import type { AcceptedStream } from '../../../src/datapath/engine.ts';
import { createInterceptedStreams } from '../../../src/datapath/linux/intercepted-streams.ts';
import type { Resettable } from '../../../src/datapath/socket.ts';
import { makeContext } from '../harness.ts';

const PEER = '203.0.113.9';
const APP = { address: '127.0.0.1', port: 7946 };

class Idle implements Resettable {
  readonly destroyed = false;
  readonly connecting = false;
  readonly writableEnded = false;
  readonly writableFinished = false;
  destroy(): this {
    return this;
  }
  resetAndDestroy(): this {
    return this;
  }
}

t.test('a port that a peer uses again stays busy when the former stream is over late', async (t) => {
  let busy: (port: number) => boolean = () => false;
  const taken: AcceptedStream<Resettable>[] = [];
  const take = createInterceptedStreams<Resettable>(makeContext().context, {
    proxyPort: 1,
    tcpSource: 'peer',
    diallers: {
      plain: () => new Idle(),
      asPeer(_peer, _app, tells) {
        busy = tells;
        return new Idle();
      },
    },
    streams: {
      accept: (_socket, stream) => void taken.push(stream),
      counts: () => ({ inbound: 0, outbound: 0 }),
      appUp: () => undefined,
      stop: () => 0,
    },
  });
  // The peer's side of the first has closed, the app's has not yet.
  take(new Idle(), { address: PEER, port: 40_000 }, APP);
  take(new Idle(), { address: PEER, port: 40_000 }, APP);
  taken[0]?.dial();
  t.ok(busy(40_000));
  t.notOk(busy(40_001));
  taken[0]?.onClosed?.();
  t.ok(busy(40_000), 'the second is open');
  taken[1]?.onClosed?.();
  t.notOk(busy(40_000));
});
