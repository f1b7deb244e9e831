/** TLS terminated and originated by the stream engine: labels inside, certificates around, and no broken end that looks whole. */
import { connect } from 'node:net';
import t from 'tap';
import { encodeAlertmanagerFrame } from '../../src/wire/alertmanager.ts';
import { framed, MESSAGE, marked } from './cases.ts';
import {
  cutAt,
  dial,
  dropped,
  echo,
  FOREIGN,
  frames,
  makeContext,
  OWN,
  pause,
  rejected,
  seeded,
  sendAll,
  startFence,
  startRecorder,
  until,
} from './harness.ts';
import { dialSecure, makeCertificates, startTlsRecorder, type TlsDialler, termsOf } from './tls-kit.ts';

const certificates = makeCertificates();
const { authority, member, foreign } = certificates;
const FENCE = termsOf(certificates.fence, authority);
const MEMBER = termsOf(member, authority);
const AS_MEMBER = { cert: member.cert, key: member.key, ca: authority.cert };
t.teardown(certificates.remove);

const STREAM = framed('dskit-stream', marked('own', MESSAGE));
const PACKET = framed('dskit-packet', marked('own', MESSAGE));
const PACKET_STRIPPED = framed('dskit-packet', MESSAGE);

for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
  const dskit = { transport: 'dskit', tls: FENCE } as const;

  t.test(`${maxVersion}: a stream is read inside, stripped, answered, and both ends are clean`, async (t) => {
    const made = makeContext({ stage: 'enforce' });
    const app = await startTlsRecorder(MEMBER, echo);
    const fence = await startFence(made, app.port, dskit);
    const dialler = await dialSecure(fence.port, { ...AS_MEMBER, maxVersion });
    t.equal(dialler.tls.getProtocol(), maxVersion);
    dialler.tls.end(STREAM);
    t.equal(await dialler.ended(), 'fin');
    t.strictSame(dialler.received(), Buffer.concat([Buffer.of(2), MESSAGE]), 'the app got it without its label');
    t.equal(await app.connections[0]?.ended(), 'fin');
    t.equal(app.connections[0]?.name, 'fence', 'and saw the certificate of the fence');
    t.strictSame(frames(made.reading()), { 'inbound dskit stream own pass': 1 });
    t.strictSame(made.faults, []);
    await until('both sides to be closed', () => fence.streams.counts().inbound === 0);
    await fence.close();
    app.close();
  });

  t.test(`${maxVersion}: packets of a dialler that closes at once, its own side reset, arrive whole`, async (t) => {
    const made = makeContext({ stage: 'enforce' });
    const app = await startTlsRecorder(MEMBER);
    const fence = await startFence(made, app.port, dskit);
    for (let i = 0; i < 20; i++) {
      const dialler = await dialSecure(fence.port, { ...AS_MEMBER, maxVersion });
      // Go closes a connection whose session tickets it never read, and Linux sends a reset after the FIN.
      dialler.tls.end(PACKET, () => dialler.raw.resetAndDestroy());
    }
    await until('every packet', () => app.connections.filter(({ ending }) => ending() === 'fin').length === 20);
    for (const connection of app.connections) t.strictSame(connection.received(), PACKET_STRIPPED);
    t.strictSame(rejected(made.reading()), {});
    await fence.close();
    app.close();
  });

  const breaks: Readonly<Record<string, (dialler: TlsDialler) => void>> = {
    'a FIN without close_notify': ({ raw }) => raw.destroySoon(),
    'a reset': ({ raw }) => raw.resetAndDestroy(),
    'a record that was tampered with': ({ raw }) => raw.write(Buffer.from('1703030005aaaaaaaaaa', 'hex')),
  };
  for (const [how, act] of Object.entries(breaks)) {
    t.test(`${maxVersion}: ${how} never looks like an end to the app`, async (t) => {
      // Without the shield a packet is passed on as it comes.
      const made = makeContext({ stage: 'enforce', shield: false });
      const app = await startTlsRecorder(MEMBER);
      const fence = await startFence(made, app.port, dskit);
      // A whole packet, so that only its end is missing: dskit would deliver it on a clean one.
      const dialler = await dialSecure(fence.port, { ...AS_MEMBER, maxVersion });
      dialler.tls.write(Buffer.concat([PACKET, Buffer.alloc(100)]));
      await until('the app to have some', () => (app.connections[0]?.received().length ?? 0) > 0);
      act(dialler);
      t.equal(await app.connections[0]?.ended(), 'reset');
      await until('both sides to be closed', () => fence.streams.counts().inbound === 0);
      await fence.close();
      app.close();
    });
  }

  t.test(`${maxVersion}: an answer that breaks off never looks like an end to the dialler`, async (t) => {
    const made = makeContext({ stage: 'enforce' });
    const app = await startTlsRecorder(MEMBER, ({ socket }) => {
      socket.on('data', () => socket.write('half an answer', () => socket.destroy()));
    });
    const fence = await startFence(made, app.port, dskit);
    const dialler = await dialSecure(fence.port, { ...AS_MEMBER, maxVersion });
    dialler.raw.on('end', () => undefined);
    let reset = false;
    dialler.raw.on('error', ({ code }: NodeJS.ErrnoException) => {
      reset ||= code === 'ECONNRESET';
    });
    dialler.tls.write(STREAM);
    await dialler.ended();
    await until('the sockets to close', () => dialler.raw.destroyed);
    t.ok(reset || dialler.ending() === 'reset', 'it was reset');
    await fence.close();
    app.close();
  });

  t.test(
    `${maxVersion}: a foreign label under a valid certificate is refused, explained, and never dialled through`,
    async (t) => {
      const made = makeContext({ stage: 'accept' });
      const app = await startTlsRecorder(MEMBER);
      const fence = await startFence(made, app.port, dskit);
      const dialler = await dialSecure(fence.port, { ...AS_MEMBER, maxVersion });
      dialler.tls.end(framed('dskit-stream', marked('foreign', MESSAGE)));
      t.equal(await dialler.ended(), 'fin');
      t.match(dialler.received().toString('latin1'), `label "${FOREIGN}" is not accepted here`);
      t.strictSame(rejected(made.reading()), { 'inbound dskit stream label_foreign': 1 });
      t.equal(fence.dials(), 0);
      await fence.close();
      app.close();
    },
  );

  const wrong = {
    'no certificate': { ca: authority.cert },
    "a stranger's certificate": { ...AS_MEMBER, cert: foreign.cert, key: foreign.key },
  };
  for (const [what, options] of Object.entries(wrong)) {
    t.test(`${maxVersion}: ${what} is refused and counted`, async (t) => {
      const made = makeContext({ stage: 'observe' });
      const app = await startTlsRecorder(MEMBER);
      const fence = await startFence(made, app.port, dskit);
      const dialler = await dialSecure(fence.port, { ...options, maxVersion });
      dialler.tls.write(STREAM);
      t.equal(await dialler.ended(), 'reset');
      t.strictSame(rejected(made.reading()), { 'inbound tls stream tls_handshake_failed': 1 }, 'in observe too');
      t.match(made.faults, [
        {
          code: 'tls_handshake_failed_inbound',
          message: /the peer 127\.0\.0\.1:\d+ could not open TLS to this fence: (no client certificate|[A-Z0-9_]+)$/,
        },
      ]);
      t.equal(fence.dials(), 0);
      await until('the connection to be forgotten', () => fence.streams.counts().inbound === 0);
      await fence.close();
      app.close();
    });
  }
}

t.test('clientAuth: false asks nobody for a certificate', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const app = await startTlsRecorder(MEMBER, echo);
  const tls = termsOf(certificates.fence, authority, { clientAuth: false });
  const fence = await startFence(made, app.port, { transport: 'dskit', tls });
  const dialler = await dialSecure(fence.port, { ca: authority.cert });
  dialler.tls.end(STREAM);
  t.equal(await dialler.ended(), 'fin');
  t.strictSame(rejected(made.reading()), {});
  await fence.close();
  app.close();
});

t.test('what is no TLS: plaintext, a stalled handshake, a probe', async (t) => {
  const made = makeContext({ stage: 'accept' });
  const app = await startTlsRecorder(MEMBER);
  const fence = await startFence(made, app.port, { transport: 'dskit', tls: FENCE, limits: { headerTimeoutMs: 300 } });
  const plain = await dial(fence.port);
  plain.socket.write(STREAM);
  t.equal(await plain.ended(), 'reset');
  const stalled = await dial(fence.port);
  stalled.socket.write(Buffer.from('1603010200010001fc0303', 'hex'));
  t.equal(await stalled.ended(), 'reset');
  const silent = await dial(fence.port);
  t.equal(await silent.ended(), 'fin');
  const gone = await dial(fence.port);
  gone.socket.end();
  t.equal(await gone.ended(), 'fin');
  t.strictSame(rejected(made.reading()), {
    'inbound unknown stream stream_unknown_type': 1,
    'inbound tls stream tls_handshake_failed': 1,
  });
  t.match(made.faults, [{ message: /timed out$/ }]);
  t.equal(fence.dials(), 0);
  await until('all to be forgotten', () => fence.streams.counts().inbound === 0);
  await fence.close();
  app.close();
});

t.test('plaintext on a TLS transport is cut in observe too, and counted as rejected', async (t) => {
  const made = makeContext({ stage: 'observe' });
  const fence = await startFence(made, 1, { transport: 'dskit', tls: FENCE });
  const plain = await dial(fence.port);
  plain.socket.write(STREAM);
  t.equal(await plain.ended(), 'reset');
  t.strictSame(rejected(made.reading()), { 'inbound unknown stream stream_unknown_type': 1 });
  await fence.close();
});

t.test('observe opens TLS and changes nothing inside', async (t) => {
  const made = makeContext({ stage: 'observe' });
  const app = await startTlsRecorder(MEMBER, echo);
  const fence = await startFence(made, app.port, { transport: 'dskit', tls: FENCE });
  const dialler = await dialSecure(fence.port, AS_MEMBER);
  const sent = framed('dskit-stream', marked('foreign', MESSAGE));
  dialler.tls.end(sent);
  t.equal(await dialler.ended(), 'fin');
  t.strictSame(dialler.received(), sent);
  t.strictSame(frames(made.reading()), { 'inbound dskit stream foreign pass': 1 });
  await fence.close();
  app.close();
});

interface Name {
  readonly title: string;
  readonly server: 'member' | 'nameless' | 'foreign';
  readonly servername?: string;
  readonly terms?: Partial<typeof FENCE>;
  readonly passes: boolean;
}

const NAMES: readonly Name[] = [
  { title: 'the name that the app asked for', server: 'member', servername: 'member.test', passes: true },
  { title: 'without a name, the address', server: 'member', servername: '', passes: true },
  { title: 'another name', server: 'member', servername: 'other.test', passes: false },
  {
    title: 'the configured name',
    server: 'member',
    servername: 'other.test',
    terms: { serverName: 'member.test' },
    passes: true,
  },
  { title: 'a certificate without names', server: 'nameless', passes: false },
  { title: 'chain alone', server: 'nameless', terms: { verifyServer: 'chain' }, passes: true },
  { title: "a stranger's chain", server: 'foreign', terms: { verifyServer: 'chain' }, passes: false },
  { title: 'nothing at all', server: 'foreign', terms: { verifyServer: 'none' }, passes: true },
];

for (const { title, server, servername = 'member.test', terms = {}, passes } of NAMES) {
  t.test(`outbound, verified by ${title}: ${passes ? 'passes' : 'refused'}`, async (t) => {
    const made = makeContext({ stage: 'enforce' });
    const peer = await startTlsRecorder(termsOf(certificates[server], authority), echo);
    const tls = termsOf(certificates.fence, authority, terms);
    const fence = await startFence(made, peer.port, { transport: 'dskit', tls, direction: 'outbound' });
    // The app does not verify here: which name the fence's own certificate carries is another matter.
    const app = await dialSecure(fence.port, { ...AS_MEMBER, servername, rejectUnauthorized: false });
    app.tls.end(framed('dskit-stream', MESSAGE));
    t.equal(await app.ended(), passes ? 'fin' : 'reset');
    if (passes) {
      t.strictSame(app.received(), STREAM, 'the label went along');
      t.equal(peer.connections[0]?.servername, terms.serverName || servername);
    } else {
      t.strictSame(rejected(made.reading()), { 'outbound tls stream tls_handshake_failed': 1 });
      t.match(made.faults, [
        { code: 'tls_failed_outbound', message: /^TLS with the peer 127\.0\.0\.1:\d+ failed: [A-Z_]+$/ },
      ]);
      t.equal(peer.connections[0]?.received().length ?? 0, 0, 'not a byte of it was sent');
      t.strictSame(dropped(made.reading()), { peer_unreachable: 1 });
    }
    await until('both sides to be closed', () => fence.streams.counts().outbound === 0);
    await fence.close();
    peer.close();
  });
}

t.test("the app's name is not a stranger's to choose, and an app with a wrong chain is a fault of ours", async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const app = await startTlsRecorder(MEMBER, echo);
  const fence = await startFence(made, app.port, { transport: 'dskit', tls: FENCE });
  const dialler = await dialSecure(fence.port, {
    ...AS_MEMBER,
    servername: 'anything.test',
    rejectUnauthorized: false,
  });
  dialler.tls.end(STREAM);
  t.equal(await dialler.ended(), 'fin');
  t.equal(fence.streams.appUp(), true);
  await fence.close();
  app.close();
  const strange = await startTlsRecorder(termsOf(foreign, authority));
  const second = await startFence(made, strange.port, { transport: 'dskit', tls: FENCE });
  const again = await dialSecure(second.port, AS_MEMBER);
  again.tls.end(STREAM);
  t.equal(await again.ended(), 'reset');
  t.equal(second.streams.appUp(), false);
  t.match(
    made.faults.map(({ code }) => code),
    ['tls_failed_inbound', 'app_unreachable'],
  );
  t.strictSame(rejected(made.reading()), {}, 'nobody was rejected');
  await second.close();
  strange.close();
});

t.test('new certificates are used from the next connection on', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const app = await startTlsRecorder(MEMBER, echo);
  let terms = FENCE;
  const tls = { ...FENCE, context: () => terms.context() };
  const fence = await startFence(made, app.port, { transport: 'dskit', tls });
  const before = await dialSecure(fence.port, AS_MEMBER);
  t.equal(before.tls.getPeerCertificate().subject.CN, 'fence');
  terms = termsOf(certificates.authority.issue('rotated', ['member.test']), authority);
  const after = await dialSecure(fence.port, AS_MEMBER);
  t.equal(after.tls.getPeerCertificate().subject.CN, 'rotated');
  for (const dialler of [before, after]) {
    dialler.tls.end(STREAM);
    t.equal(await dialler.ended(), 'fin', 'both work to their end');
  }
  await fence.close();
  app.close();
});

t.test('a dialler that cannot verify the fence, and streams cut in the middle', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const app = await startTlsRecorder(MEMBER);
  const fence = await startFence(made, app.port, { transport: 'dskit', tls: FENCE });
  const doubting = await dialSecure(fence.port, { ...AS_MEMBER, ca: certificates.stranger.cert });
  t.equal(doubting.ending(), 'reset');
  await until('its end to be seen', () => fence.streams.counts().inbound === 0);
  const open = await dialSecure(fence.port, AS_MEMBER);
  open.tls.write(Buffer.concat([STREAM, OWN]));
  await until('the app to have some', () => (app.connections[0]?.received().length ?? 0) > 0);
  const handshaking = connect(fence.port, '127.0.0.1');
  handshaking.on('error', () => undefined);
  await until('three', () => fence.streams.counts().inbound === 2);
  t.equal(fence.streams.stop(), 2);
  t.equal(await app.connections[0]?.ended(), 'reset');
  await pause(20);
  await fence.close();
  app.close();
});

t.test('TLS 1.3: session tickets wait until there is an answer', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const app = await startTlsRecorder(MEMBER, ({ socket }) =>
    socket.once('data', () => setTimeout(() => socket.end('answer'), 200)),
  );
  const fence = await startFence(made, app.port, { transport: 'dskit', tls: FENCE });
  const dialler = await dialSecure(fence.port, AS_MEMBER);
  let tickets = 0;
  dialler.tls.on('session', () => tickets++);
  const handshakeBytes = dialler.raw.bytesRead;
  dialler.tls.end(STREAM);
  await pause(100);
  t.equal(dialler.raw.bytesRead, handshakeBytes, 'nothing came that a dialler which does not read would leave unread');
  t.equal(await dialler.ended(), 'fin');
  t.equal(dialler.received().toString(), 'answer');
  t.ok(tickets > 0, 'and with the answer they come');
  await fence.close();
  app.close();
});

t.test('what is written apart travels in TLS records apart, also while the other side is still dialled', async (t) => {
  const made = makeContext({ stage: 'enforce', sends: 'none' });
  const app = await startTlsRecorder(MEMBER);
  const fence = await startFence(made, app.port, { transport: 'alertmanager', tls: FENCE });
  const frame = Buffer.from(encodeAlertmanagerFrame({ kind: 'stream', from: '', msg: Buffer.of() }));
  const packet = (label: Buffer) =>
    Buffer.from(encodeAlertmanagerFrame({ kind: 'packet', from: 'a:1', msg: Buffer.concat([label, Buffer.of(8, 1)]) }));
  const own = marked('own', Buffer.of());
  const streaming = await dialSecure(fence.port, AS_MEMBER);
  streaming.tls.end(Buffer.concat([frame, marked('own', MESSAGE)]));
  await until('the stream', () => app.connections[0]?.ending() === 'fin');
  t.strictSame(app.connections[0]?.chunks[0], frame, 'the STREAM frame is alone');
  const packets = await dialSecure(fence.port, AS_MEMBER);
  packets.tls.end(Buffer.concat([packet(own), packet(own), packet(own)]));
  await until('the packets', () => app.connections[1]?.ending() === 'fin');
  t.strictSame(app.connections[1]?.chunks, Array(3).fill(packet(Buffer.of())), 'and so is each packet');
  await fence.close();
  app.close();
});

t.test('garbage that starts like TLS: every connection is refused, counted and forgotten', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const fence = await startFence(made, 1, { transport: 'dskit', tls: FENCE, limits: { headerTimeoutMs: 500 } });
  const random = seeded(11);
  const count = 60;
  for (let i = 0; i < count; i++) {
    const bytes = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 600) }, () => Math.floor(random() * 256)));
    const head = [[22], [22, 3, 1], [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]][i % 3] ?? [];
    const dialler = await dial(fence.port);
    await sendAll(dialler, cutAt(Buffer.concat([Buffer.from(head), bytes]), i % 4, random), i % 2 === 0);
  }
  await until('all to be forgotten', () => fence.streams.counts().inbound === 0);
  t.strictSame(rejected(made.reading()), { 'inbound tls stream tls_handshake_failed': count });
  t.equal(fence.dials(), 0);
  const dialler = await dialSecure(fence.port, AS_MEMBER);
  t.equal(dialler.ending(), 'open', 'and a member is served');
  await fence.close();
});

t.test(
  "a stranger's server name never reaches the app: what it cannot read would look like an app that is not there",
  async (t) => {
    for (const servername of ['\u00ff'.repeat(120), 'x'.repeat(255), 'member.test.']) {
      const made = makeContext({ stage: 'enforce' });
      const app = await startTlsRecorder(MEMBER, echo);
      const fence = await startFence(made, app.port, { transport: 'dskit', tls: FENCE });
      const dialler = await dialSecure(fence.port, { ...AS_MEMBER, servername, rejectUnauthorized: false });
      dialler.tls.end(STREAM);
      t.equal(await dialler.ended(), 'fin', servername);
      t.equal(app.connections[0]?.servername, '');
      t.equal(fence.streams.appUp(), true);
      t.strictSame(made.faults, []);
      await fence.close();
      app.close();
    }
  },
);

t.test('an app that speaks no TLS is said to be one', async (t) => {
  const made = makeContext({ stage: 'enforce' });
  const app = await startRecorder(({ socket }) => socket.end('HTTP/1.1 400 Bad Request'));
  const fence = await startFence(made, app.port, { transport: 'dskit', tls: FENCE });
  const dialler = await dialSecure(fence.port, AS_MEMBER);
  dialler.tls.end(STREAM);
  t.equal(await dialler.ended(), 'reset');
  t.match(made.faults, [
    { code: 'tls_failed_inbound', message: /^TLS with the app failed: \S+$/ },
    { code: 'app_unreachable' },
  ]);
  for (const { message } of made.faults) t.notMatch(message, /\n/, 'one line');
  await fence.close();
  await app.close();
});
