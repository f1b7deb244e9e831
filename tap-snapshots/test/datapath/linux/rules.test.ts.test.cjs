/* IMPORTANT
 * This snapshot file is auto-generated, but designed for humans.
 * It should be checked into source control and tracked carefully.
 * Re-generate by setting TAP_SNAPSHOT=1 and running tests.
 * Make sure to inspect the output below.  Do not ignore changes!
 */
'use strict'
exports[`test/datapath/linux/rules.test.ts > TAP > the whole text > closed 1`] = `
nft -f - <<'RULES'
table inet ringfence { }
delete table inet ringfence
table ip ringfence_open { }
delete table ip ringfence_open
table ip6 ringfence_open { }
delete table ip6 ringfence_open
table inet ringfence {
  comment "ringfence fence=traces"
  counter bypass_in { }
  counter bypass_out { }

  chain out {
    type route hook output priority mangle; policy accept;
    meta l4proto tcp goto out_tcp
    meta l4proto udp goto out_udp
  }

  # The fence's own connections are known by its uid and, where a segment has no owner, by the connection's mark. Only what the
  # fence dialled is marked 0x4: the app's connections, which the fence answers, must not be. The app's answers to a connection
  # that carries the peer's address (0x3) come back to the fence; TIME_WAIT again, so that rule asks for no uid. What the app still
  # sends from the gossip port belongs to a connection that is older than the rules, or whose mark is lost: to the fence as well.
  chain out_tcp {
    meta skuid 7946 meta mark 0x3 ct mark set 0x3 return
    meta skuid 7946 ct direction original tcp dport { 7946, 7950 } ct mark set 0x4 return
    meta skuid 7946 return
    ct mark 0x3 ct direction reply meta mark set 0x1 return
    tcp flags & (syn | ack) == syn ct mark { 0x3, 0x4 } ct mark set 0x0
    ct mark 0x4 ct direction original return
    fib daddr type local return
    tcp dport { 7946, 7950 } meta mark set 0x1
    tcp sport 7946 meta skuid != 7946 meta mark set 0x1
  }

  # 0x4: a reassembled datagram of the fence's raw socket has no owner on kernels before 6.9.
  chain out_udp {
    meta mark 0x4 return
    meta skuid 7946 return
    fib daddr type local return
    udp sport 7946 meta mark set 0x1
    udp dport { 7946, 7950 } meta mark set 0x1
  }

  chain pre {
    type filter hook prerouting priority mangle; policy accept;
    iif "lo" meta mark 0x1 goto from_app
    iif "lo" return
    fib daddr type { broadcast, anycast, multicast } goto to_many
    fib daddr type != local return
    meta l4proto { tcp, udp } th dport 17946 counter name bypass_in drop
    tcp dport 7946 goto from_net
    udp dport 7946 goto from_net
    udp sport 7946 goto from_net
  }

  # The app's sockets take these too, tproxy cannot be told to, and no member gossips so: refused even with --fail-open.
  chain to_many {
    meta l4proto { tcp, udp } th dport 7946 counter name bypass_in drop
    udp sport 7946 counter name bypass_in drop
  }

  chain from_app {
    tcp sport 7946 socket transparent 1 accept
    meta nfproto ipv4 meta l4proto { tcp, udp } tproxy ip to 127.0.0.1:17946 accept
    meta nfproto ipv6 meta l4proto { tcp, udp } tproxy ip6 to [::1]:17946 accept
    counter name bypass_out drop
  }

  chain from_net {
    meta nfproto ipv4 meta l4proto { tcp, udp } tproxy ip to 127.0.0.1:17946 accept
    meta nfproto ipv6 meta l4proto { tcp, udp } tproxy ip6 to [::1]:17946 accept
    counter name bypass_in drop
  }

  chain post {
    type filter hook postrouting priority mangle; policy accept;
    oif != "lo" meta mark 0x1 counter name bypass_out drop
  }
}
RULES
ip -4 rule add pref 100 fwmark 0x1 lookup 100 protocol 146
ip -4 route replace local default dev lo table 100 proto 146
ip -6 rule add pref 100 fwmark 0x1 lookup 100 protocol 146
ip -6 route replace local default dev lo table 100 proto 146

`

exports[`test/datapath/linux/rules.test.ts > TAP > the whole text > open 1`] = `
table inet ringfence { }
delete table inet ringfence
table ip ringfence_open { }
delete table ip ringfence_open
table ip6 ringfence_open { }
delete table ip6 ringfence_open
table inet ringfence {
  comment "ringfence fence=traces"
  counter bypass_in { }
  counter bypass_out { }

  chain out {
    type route hook output priority mangle; policy accept;
    meta mark 0x5 return
    meta l4proto tcp goto out_tcp
    meta l4proto udp goto out_udp
  }

  # The fence's own connections are known by its uid and, where a segment has no owner, by the connection's mark. Only what the
  # fence dialled is marked 0x4: the app's connections, which the fence answers, must not be. The app's answers to a connection
  # that carries the peer's address (0x3) come back to the fence; TIME_WAIT again, so that rule asks for no uid. What the app still
  # sends from the gossip port belongs to a connection that is older than the rules, or whose mark is lost: to the fence as well.
  chain out_tcp {
    meta skuid 7946 meta mark 0x3 ct mark set 0x3 return
    meta skuid 7946 ct direction original tcp dport 7946 ct mark set 0x4 return
    meta skuid 7946 return
    ct mark 0x3 ct direction reply meta mark set 0x1 return
    tcp flags & (syn | ack) == syn ct mark { 0x3, 0x4 } ct mark set 0x0
    ct mark 0x4 ct direction original return
    fib daddr type local return
    tcp dport 7946 meta mark set 0x1
  }

  # 0x4: a reassembled datagram of the fence's raw socket has no owner on kernels before 6.9.
  chain out_udp {
    meta mark 0x4 return
    meta skuid 7946 return
    fib daddr type local return
    udp sport 7946 meta mark set 0x1
    udp dport 7946 meta mark set 0x1
  }

  chain pre {
    type filter hook prerouting priority mangle; policy accept;
    iif "lo" meta mark 0x1 goto from_app
    iif "lo" return
    fib daddr type { broadcast, anycast, multicast } goto to_many
    fib daddr type != local return
    meta l4proto { tcp, udp } th dport 17946 counter name bypass_in drop
    tcp dport 7946 goto from_net
    udp dport 7946 goto from_net
    udp sport 7946 goto from_net
  }

  # The app's sockets take these too, tproxy cannot be told to, and no member gossips so: refused even with --fail-open.
  chain to_many {
    meta l4proto { tcp, udp } th dport 7946 counter name bypass_in drop
    udp sport 7946 counter name bypass_in drop
  }

  chain from_app {
    tcp sport 7946 socket transparent 1 accept
    meta nfproto ipv4 meta l4proto { tcp, udp } tproxy ip to 127.0.0.1:17946 accept
    meta nfproto ipv6 meta l4proto { tcp, udp } tproxy ip6 to [::1]:17946 accept
    counter name bypass_out meta mark set 0x5
  }

  chain from_net {
    meta nfproto ipv4 meta l4proto { tcp, udp } tproxy ip to 127.0.0.1:17946 accept
    meta nfproto ipv6 meta l4proto { tcp, udp } tproxy ip6 to [::1]:17946 accept
    counter name bypass_in
  }
}
table ip ringfence_open {
  chain pre {
    type filter hook prerouting priority mangle + 1; policy accept;
    iif "lo" meta mark 0x5 dup to ip daddr
    iif "lo" meta mark 0x5 drop
  }
}
table ip6 ringfence_open {
  chain pre {
    type filter hook prerouting priority mangle + 1; policy accept;
    iif "lo" meta mark 0x5 dup to ip6 daddr
    iif "lo" meta mark 0x5 drop
  }
}
`
