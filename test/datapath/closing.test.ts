/** When a stream counts as over: once both of its sockets have closed, in either order, and once only. */
import t from 'tap';
import { Pump } from '../../src/datapath/pump.ts';
import type { SocketOwner, StreamSocket } from '../../src/datapath/socket.ts';
import { createStreams } from '../../src/datapath/streams.ts';
import { LIMITS, makeContext } from './harness.ts';

/** A socket that does nothing but say that it was destroyed; the test tells its owner what happens. */
class Puppet implements StreamSocket {
  owner: SocketOwner | undefined;
  destroyed = false;
  closed = false;
  readonly connecting = false;
  readableEnded = false;
  readonly writableEnded: boolean = false;
  readonly writableFinished = false;
  pause(): this {
    return this;
  }
  resume(): this {
    return this;
  }
  write(): boolean {
    return true;
  }
  end(): this {
    return this;
  }
  destroy(): this {
    this.destroyed = true;
    return this;
  }
  resetAndDestroy(): this {
    return this.destroy();
  }
  close(): void {
    this.destroyed = true;
    this.closed = true;
    this.owner?.onClose(this, false);
  }
}

const PEER = { address: '127.0.0.1', port: 40_000 };

function engine(streams: number) {
  const settings = { transport: 'auto', rejectStreams: 'explain', limits: { ...LIMITS, streams } } as const;
  const { context } = makeContext({ stage: 'observe' });
  return createStreams(context, settings);
}

t.test('a stream is over when both of its sockets have closed', async (t) => {
  for (const downstreamFirst of [true, false]) {
    const streams = engine(1);
    const [downstream, upstream] = [new Puppet(), new Puppet()];
    let closes = 0;
    const onClosed = (): void => void closes++;
    streams.accept(downstream, { direction: 'inbound', peer: PEER, dial: () => upstream, onClosed });
    const [first, last] = downstreamFirst ? [downstream, upstream] : [upstream, downstream];
    first.close();
    t.ok(last.destroyed, 'the other is taken along');
    t.equal(streams.counts().inbound, 1, 'which still counts');
    t.equal(closes, 0);
    last.close();
    t.equal(streams.counts().inbound, 0);
    t.equal(closes, 1);
  }
});

t.test('a side that closes in good order, having ended, leaves the other to what it still has to write', async (t) => {
  const streams = engine(1);
  const [downstream, upstream] = [new Puppet(), new Puppet()];
  streams.accept(downstream, { direction: 'inbound', peer: PEER, dial: () => upstream });
  downstream.readableEnded = true;
  downstream.close();
  t.notOk(upstream.destroyed);
  t.equal(streams.counts().inbound, 1);
  upstream.close();
  t.equal(streams.counts().inbound, 0);
});

t.test('one that is refused, or gone already, is over at once', async (t) => {
  const streams = engine(0);
  let closes = 0;
  const stream = { direction: 'inbound', peer: PEER, dial: () => new Puppet(), onClosed: () => void closes++ } as const;
  const refused = new Puppet();
  streams.accept(refused, stream);
  t.ok(refused.destroyed);
  t.equal(closes, 1);
  streams.accept(new Puppet().destroy(), stream);
  t.equal(closes, 2);
  t.same(streams.counts(), { inbound: 0, outbound: 0 });
});

/** One whose close sends its FIN; it says how it was ended. */
class Closing extends Puppet {
  override readonly writableEnded: boolean;
  readonly closeIsFin?: true;
  ends = 0;

  constructor(writableEnded: boolean, closeIsFin: boolean) {
    super();
    this.writableEnded = writableEnded;
    if (closeIsFin) this.closeIsFin = true;
  }

  override end(): this {
    this.ends++;
    return this;
  }
}

t.test('a FIN is sent by closing only where both sides have ended, and closing sends one', async (t) => {
  for (const readableEnded of [true, false]) {
    for (const otherWayEnded of [true, false]) {
      for (const closeIsFin of [true, false]) {
        const from = new Closing(otherWayEnded, closeIsFin);
        const to = new Closing(false, closeIsFin);
        to.readableEnded = readableEnded;
        new Pump(from, to, { cut: () => t.fail('it was cut') }).finish();
        const closes = readableEnded && otherWayEnded && closeIsFin;
        const which = JSON.stringify({ readableEnded, otherWayEnded, closeIsFin });
        t.equal(to.destroyed, closes, `closed: ${which}`);
        t.equal(to.ends, closes ? 0 : 1, `ended: ${which}`);
      }
    }
  }
});
