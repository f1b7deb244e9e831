import t from 'tap';
import type { PingerOptions } from '../../src/cli/pinger.ts';
import { noteStreamOfApp } from '../../src/datapath/app-seals.ts';
import { decide } from '../../src/policy/decide.ts';
import { createTally, TALLY_BYTES } from '../../src/policy/tally.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { createKeyring, openPacket, openStream, sealPacket, sealStream } from '../../src/wire/encryption.ts';
import { addPacketLabel } from '../../src/wire/label.ts';
import type { Transport } from '../../src/wire/transport.ts';
import { makeContext, OWN } from '../datapath/harness.ts';

import {
  ack,
  answered,
  DIALECTS,
  LISTEN,
  member,
  OWN_HEADER,
  pingerOf,
  pingIn,
  roundOf,
  TRANSPARENT,
  target,
  tcp,
  UNABLE,
  udp,
} from './ping-kit.ts';

t.test('a transparent fence', async (t) => {
  const port = await member(t, ({ SeqNo }) => [addPacketLabel(ack(SeqNo), OWN_HEADER)]);
  const other = await member(t, ({ SeqNo }) => [addPacketLabel(ack(SeqNo), OWN_HEADER)]);
  const { packet, context } = roundOf(t, { mode: TRANSPARENT(port) });
  t.strictSame(await packet(target(port)), answered(undefined), 'its own worker may have taken the label off');
  t.strictSame(await packet(target(other)), answered('own'), 'but not from another port');
  const home = parseAddress('127.0.0.1') as Uint8Array;
  t.equal(context.peers.answers(home, port, context.now()), true, 'the worker knows that something was sent');
  t.equal(context.peers.answers(home, other, context.now()), false, 'where it sees no answer it need not');
});

t.test('encrypted gossip', async (t) => {
  const twoKeys = () => createKeyring([Buffer.alloc(16, 1), Buffer.alloc(32, 2)]);
  const keyed = (keyring = twoKeys()) => {
    const { context } = makeContext();
    return { ...context, inside: { ...context.inside, keyring: () => keyring } };
  };
  const NONE = new Uint8Array(0);
  const forms: Readonly<Record<string, readonly [Partial<PingerOptions>, Uint8Array]>> = {
    'an app that predates labels': [{}, NONE],
    'the same, sealed anew': [
      { config: { mode: LISTEN, dialects: DIALECTS, encryption: { keyFiles: [], reseal: true } } },
      OWN,
    ],
    'an app with a label': [
      {
        config: { mode: LISTEN, dialects: { ...DIALECTS, sends: 'own' }, encryption: { keyFiles: [], reseal: false } },
      },
      OWN,
    ],
  };
  for (const [name, [more, aad]] of Object.entries(forms)) {
    const keyring = twoKeys();
    const opened: unknown[] = [];
    const body = (frame: Uint8Array) => frame.subarray(OWN_HEADER.length);
    const port = await udp(t, (frame, { port, address }, socket) => {
      const probe = openPacket(keyring, body(frame), aad);
      if (!probe.ok) return;
      opened.push([probe.value.form, probe.value.key]);
      const sealed = sealPacket(keyring, ack(pingIn(probe.value.plain).SeqNo), OWN, 0, 1);
      socket.send(addPacketLabel(sealed, OWN_HEADER), port, address);
    });
    const at = await tcp(t, (frame, socket) => {
      const probe = openStream(keyring, body(frame), aad);
      if (!probe.ok) return;
      opened.push([probe.value.form, probe.value.key]);
      socket.end(sealStream(keyring, ack(pingIn(probe.value.plain).SeqNo), NONE, 1, 0));
    });
    const { packet, stream } = roundOf(t, { ...more, context: keyed(keyring) });
    const form = aad === OWN ? 'label' : 'empty';
    t.strictSame(await packet(target(port)), answered('own'), `${name}: by datagram`);
    t.strictSame(opened, [[form, 0]], 'sealed as what leaves the fence is, under the first key of the files');
    t.strictSame(await stream(target(at)), answered(undefined), `${name}: on a connection`);
    t.strictSame(opened[1], [form, 1], 'from then on under the key that a member sealed its answer with');
    await packet(target(port));
    t.strictSame(opened[2], [form, 0], 'the last one that did');
  }
  const plain = await member(t, ({ SeqNo }) => [ack(SeqNo)]);
  const inPlain = keyed();
  noteStreamOfApp(inPlain, Uint8Array.of(6));
  t.strictSame(
    await roundOf(t, { context: inPlain }).packet(target(plain)),
    answered('none'),
    'keys that the app does not use yet are not used',
  );
});

t.test('who cannot be asked', async (t) => {
  const { context, pinger } = pingerOf();
  const port = await member(t, ({ SeqNo }) => [ack(SeqNo)]);
  const unnamed = target(port, undefined);
  const ask = async () => {
    const round = pinger.round();
    const result = await round?.packet?.({ ...unnamed, name: undefined });
    round?.close();
    return result;
  };
  t.strictSame(await ask(), UNABLE, 'nobody without a name, while gossip may be encrypted');
  noteStreamOfApp(context, Uint8Array.of(6));
  t.strictSame(await ask(), answered('none'), 'the app writes plain frames');
  noteStreamOfApp(context, Uint8Array.of(10));
  t.equal(pinger.round(), undefined, 'encrypted, and no keys');
});

t.test('what the ring speaks, where the configuration leaves it open', async (t) => {
  const buffer = new ArrayBuffer(TALLY_BYTES);
  const tally = createTally(buffer);
  const { context } = makeContext({ stage: 'accept' });
  const { pinger } = pingerOf({ context, streams: { transport: 'auto' }, tallies: () => [buffer] });
  const spoken = () => {
    const round = pinger.round();
    round?.close();
    return round === undefined ? undefined : round.packet === undefined ? 'dskit' : 'native';
  };
  const see = (transport: Transport, state: 'own' | 'foreign', times: number) => {
    const where = { direction: 'inbound', transport, kind: 'stream' } as const;
    const view = { admitted: true, proven: false, foreign: false };
    for (let i = 0; i < times; i++) tally.frame(where, state, decide({ ...where, state }, view, context.snapshot()));
  };
  t.equal(spoken(), undefined, 'nothing was seen');
  see('dskit', 'foreign', 9);
  see('tls', 'own', 9);
  t.equal(spoken(), undefined, 'what was rejected says nothing, nor what is inside TLS');
  see('native', 'own', 2);
  t.equal(spoken(), 'native');
  see('dskit', 'own', 3);
  t.equal(spoken(), 'dskit');
});
