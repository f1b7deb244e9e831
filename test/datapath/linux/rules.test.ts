import t from 'tap';
import { renderRules } from '../../../src/datapath/linux/intercept.ts';
import { type InterceptOptions, renderRemoval, renderTables } from '../../../src/datapath/linux/rules.ts';

const OPTIONS: InterceptOptions = {
  fence: 'traces',
  port: 7946,
  peerPorts: [7950, 7946],
  proxyPort: 17_946,
  uid: 7946,
  tcpSource: 'peer',
  failOpen: false,
};

t.test('the whole text', async (t) => {
  t.matchSnapshot(renderRules(OPTIONS), 'closed');
  t.matchSnapshot(renderTables({ ...OPTIONS, peerPorts: [], failOpen: true }), 'open');
});

t.test('what the rules must never lose', async (t) => {
  const closed = renderTables(OPTIONS);
  t.ok(closed.startsWith(renderRemoval()), 'replaced in one transaction');
  const chain = (name: string) => closed.split(`chain ${name} {`)[1]?.split('\n  }')[0] ?? '';
  t.notMatch(chain('out_udp'), /ct mark/, 'UDP has no connection marks: the app and the fence share the connection');
  t.match(chain('out_udp'), /udp sport 7946/, 'datagrams from the gossip port');
  const reply =
    chain('out_tcp')
      .split('\n')
      .find((line) => line.includes('ct direction reply')) ?? '';
  t.notMatch(reply, /skuid/, 'the reply rule must not ask for a uid');
  t.match(
    chain('out_tcp'),
    /ct direction original tcp dport .* ct mark set 0x4/,
    'only what the fence dials is marked',
  );
  for (const name of ['from_app', 'from_net']) {
    t.match(chain(name).trim().split('\n').at(-1), /counter name bypass_\w+ drop$/, `${name} ends closed`);
  }
  t.match(
    chain('out_tcp'),
    /tcp sport 7946 meta skuid != 7946 meta mark set 0x1/,
    'nor leaves a segment of the app itself',
  );
  const [cast = -1, others = -1] = ['multicast } goto to_many', 'type != local return'].map((rule) =>
    chain('pre').indexOf(rule),
  );
  t.ok(cast > 0 && cast < others, 'what is for everyone is not let through as what is for others');
  t.match(chain('post'), /oif != "lo" meta mark 0x1 counter name bypass_out drop/);

  const open = renderTables({ ...OPTIONS, failOpen: true });
  t.notMatch(
    open.replaceAll(/th dport 17946 counter name bypass_in drop|meta mark 0x5 drop|chain to_many {[^}]*}[^}]*}/g, ''),
    /drop/,
    'open: no drops, but of what is for everyone',
  );
  t.match(open, /dup to ip daddr/);
  t.match(open, /dup to ip6 daddr/);
});

t.test('numbers stand where they belong', async (t) => {
  const text = renderTables({ ...OPTIONS, port: 1111, peerPorts: [], proxyPort: 2222, uid: 3333 });
  t.notMatch(text, /7946|7950/);
  t.match(text, /tcp dport 1111 meta mark set 0x1/);
  t.match(text, /tproxy ip6 to \[::1\]:2222/);
  t.match(text, /meta skuid 3333 return/);
});
