import t from 'tap';
import {
  CAP_NET_RAW,
  hasCapability,
  type IpRule,
  isOwnRoute,
  isOwnRule,
  refuseHostNetwork,
  refuseMesh,
  refuseOptions,
  refuseOtherTable,
  refuseRights,
  refuseRouting,
} from '../../../src/datapath/linux/host-checks.ts';
import type { InterceptOptions } from '../../../src/datapath/linux/rules.ts';

const OPTIONS: InterceptOptions = {
  fence: 'traces',
  port: 7946,
  peerPorts: [7950],
  proxyPort: 17_946,
  uid: 7946,
  tcpSource: 'peer',
  failOpen: false,
};

t.test('options', async (t) => {
  t.equal(refuseOptions(OPTIONS), undefined);
  t.match(refuseOptions({ ...OPTIONS, uid: 1337 }), /Istio/);
  t.match(refuseOptions({ ...OPTIONS, uid: 0 }), /uid 0 /);
  t.match(refuseOptions({ ...OPTIONS, proxyPort: 7950 }), /7950 is a gossip port/);
  t.match(refuseOptions({ ...OPTIONS, port: 70_000 }), /70000 is no port/);
  t.match(
    refuseOptions({ ...OPTIONS, fence: 'a"; flush ruleset' }),
    /fence name/,
    'nothing gets into the rules by a name',
  );
});

t.test('rights', async (t) => {
  const status = (mask: string) => `Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t${mask}\n`;
  t.ok(hasCapability(status('0000000000002000'), CAP_NET_RAW));
  t.notOk(hasCapability(status('0000000000001000'), CAP_NET_RAW));
  t.notOk(hasCapability('', CAP_NET_RAW));
  t.equal(refuseRights(status('000001ffffffffff')), undefined);
  t.match(refuseRights(status('0000000000002000')), /CAP_NET_ADMIN/);
});

t.test('the host network', async (t) => {
  const why = (inode: number, initialSysctls: boolean | undefined, ...devices: string[]) =>
    refuseHostNetwork({ netns: `net:[${inode}]`, initialSysctls, devices });
  t.match(why(4026531833, undefined), /initial network namespace.*hostNetwork/);
  t.match(why(4026531992, false), /initial network namespace/);
  t.match(why(4026532177, true), /initial network namespace/, 'whatever its number');
  t.match(why(4026532177, undefined, 'ens3'), /interface ens3 is a device of the machine/);
  t.equal(why(4026532177, undefined), undefined);
  t.equal(why(4026532177, false, 'net1'), undefined, 'a pod may have a device of its own');
});

t.test('tables of others', async (t) => {
  const table = (comment: string) =>
    `table ip x {\n}\ntable inet ringfence {\n${comment}\tchain out {\n\t}\n}\ntable ip y {\n}\n`;
  t.equal(refuseOtherTable('table ip x {\n}\n', 'traces'), undefined);
  t.equal(refuseOtherTable(table('\tcomment "ringfence fence=traces"\n'), 'traces'), undefined);
  t.match(refuseOtherTable(table('\tcomment "ringfence fence=logs"\n'), 'traces'), /fence "logs"/);
  t.match(refuseOtherTable(table(''), 'traces'), /no fence made/);
  const elsewhere = `${table('')}table ip z {\n\tcomment "ringfence fence=traces"\n}\n`;
  t.match(refuseOtherTable(elsewhere, 'traces'), /no fence made/, "another table's comment is no proof");
});

t.test('mesh proxies', async (t) => {
  const istio = ['ISTIO_INBOUND', 'ISTIO_REDIRECT', 'istio-proxy-nat', 'linkerd_out', 'PROXY_INIT_OUTPUT'];
  const others = ['KUMA_MESH_INBOUND', 'CONSUL_PROXY_OUTPUT', 'OSM_PROXY_INBOUND', 'APPMESH_EGRESS'];
  for (const chain of [...istio, ...others]) {
    t.match(refuseMesh(['', `:${chain} - [0:0]`]), new RegExp(chain));
  }
  const own = 'table inet ringfence {\n\tcomment "ringfence fence=istio-gossip"\n}';
  t.equal(refuseMesh([own]), undefined, "a fence's own name is no mesh's");
  t.match(refuseMesh([`${own}\ntable inet istio-ambient-nat {\n}`]), /istio-ambient-nat/);
  t.equal(refuseMesh(['table ip nat {\n\tchain KUBE-SERVICES {\n\t}\n}', ':PREROUTING ACCEPT [0:0]']), undefined);
});

t.test('routing', async (t) => {
  const own: IpRule = { priority: 100, fwmark: '0x1', table: '100', protocol: '146' };
  t.ok(isOwnRule(own));
  t.notOk(isOwnRule({ ...own, protocol: '2' }));
  t.notOk(isOwnRule({ ...own, fwmask: '0xff' }));
  t.ok(isOwnRoute({ type: 'local', dst: 'default', dev: 'lo', protocol: '146' }));
  t.ok(isOwnRoute({ type: '2', dst: 'default', dev: 'lo', protocol: '146' }), 'as `ip -N` writes it');
  const main: IpRule = { priority: 32_766, table: '254' };
  t.equal(refuseRouting('-4', [main, own], []), undefined);
  t.match(refuseRouting('-4', [{ priority: 9, fwmark: '0x539', fwmask: '0xfff', table: '133' }], []), /fwmark 0x539/);
  t.match(refuseRouting('-6', [{ priority: 9, table: '100' }], []), /ip -6 rule.*preference 9/);
  t.match(refuseRouting('-4', [], [{ dst: 'default', dev: 'eth0' }]), /table 100 holds routes/);
});
