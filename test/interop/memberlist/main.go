// Command member is one real memberlist member for the interop tests: it joins a ring, prints what happens as JSON lines on standard
// output and takes commands (common/commands.go). The same source is built against several memberlist releases, see the go.mod files
// beside it; label.go and nolabel.go hold what differs. Memberlist's own log goes to standard error.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

type settings struct {
	name       string
	bind       string
	port       int
	advertise  string
	label      string
	skipCheck  bool
	join       string
	stateBytes int
	noCompress bool
	fast       bool
	merge      bool
	rawPing    string
	commands   string
	keys       string
	verifyIn   bool
	verifyOut  bool
	hear       string
}

func main() {
	var s settings
	flag.StringVar(&s.name, "name", "", "member name")
	flag.StringVar(&s.bind, "bind", "127.0.0.1", "address to bind")
	flag.IntVar(&s.port, "port", 7946, "port to bind")
	flag.StringVar(&s.advertise, "advertise", "", "host:port to advertise, when it is not what is bound")
	flag.StringVar(&s.label, "label", "", "cluster label (memberlist >= 0.3.0)")
	flag.BoolVar(&s.skipCheck, "skip-inbound-label-check", false, "memberlist's SkipInboundLabelCheck")
	flag.StringVar(&s.join, "join", "", "host:port,… to join at the start")
	flag.IntVar(&s.stateBytes, "user-state-bytes", 0, "bytes of user state that push/pull carries, made from the name")
	flag.BoolVar(&s.noCompress, "no-compress", false, "switch compression off")
	flag.BoolVar(&s.fast, "fast", false, "LAN timers, with push/pull every two seconds")
	flag.BoolVar(&s.merge, "merge", false, "set a Merge delegate, which lets everyone in")
	flag.StringVar(&s.rawPing, "raw-ping", "", "be no member: send host:port one ping without Source* fields for -name, from -bind and -port, and wait for its ack")
	flag.StringVar(&s.commands, "commands", "", "Unix socket to make and take commands from, instead of standard input")
	flag.StringVar(&s.keys, "keys", "", "gossip keys as base64,…; the first is the primary one")
	flag.BoolVar(&s.verifyIn, "verify-incoming", true, "memberlist's GossipVerifyIncoming")
	flag.BoolVar(&s.verifyOut, "verify-outgoing", true, "memberlist's GossipVerifyOutgoing")
	flag.StringVar(&s.hear, "hear", "", "regular expression of words to remember of user messages and states, for the command heard")
	flag.Parse()
	var err error
	if s.rawPing != "" {
		err = rawPing(s)
	} else {
		err = run(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "member:", err)
		os.Exit(1)
	}
}

// stateBytes makes n bytes that depend on the seed alone (xorshift64*), so that any process can check another's.
func stateBytes(seed string, n int) []byte {
	sum := sha256.Sum256([]byte(seed))
	x := binary.BigEndian.Uint64(sum[:8]) | 1
	out := make([]byte, n)
	for i := range out {
		x ^= x >> 12
		x ^= x << 25
		x ^= x >> 27
		out[i] = byte((x * 0x2545F4914F6CDD1D) >> 56)
	}
	return out
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// delegate is the application: a user state, and user messages.
type delegate struct {
	state []byte
	ear   *ear
}

func (d *delegate) NodeMeta(int) []byte             { return nil }
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return d.state }
func (d *delegate) NotifyMsg(b []byte) {
	d.ear.listen("message", b)
	events.emit("message", map[string]any{"bytes": len(b), "sha256": digest(b)})
}
func (d *delegate) MergeRemoteState(b []byte, join bool) {
	d.ear.listen("state", b)
	events.emit("remote-state", map[string]any{"bytes": len(b), "sha256": digest(b), "join": join})
}

// changes reports membership changes.
type changes struct{}

func (changes) node(event string, n *memberlist.Node) {
	events.emit(event, map[string]any{"name": n.Name, "address": n.Addr.String(), "port": n.Port})
}
func (c changes) NotifyJoin(n *memberlist.Node)   { c.node("join", n) }
func (c changes) NotifyLeave(n *memberlist.Node)  { c.node("leave", n) }
func (c changes) NotifyUpdate(n *memberlist.Node) { c.node("update", n) }

// merges is asked about the members that a join brings.
type merges struct{}

func (merges) NotifyMerge(peers []*memberlist.Node) error {
	events.emit("merge", map[string]any{"members": len(peers)})
	return nil
}

// logTap passes memberlist's log on and reports suspicions, which no delegate shows.
type logTap struct{ to io.Writer }

func (l *logTap) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("Suspect ")) || bytes.Contains(line, []byte("Refuting a suspect")) {
		events.emit("suspect", map[string]any{"line": strings.TrimSpace(string(line))})
	}
	return l.to.Write(line)
}

func configure(s settings) (*memberlist.Config, *delegate, error) {
	conf := memberlist.DefaultLANConfig()
	conf.Name = s.name
	conf.BindAddr = s.bind
	conf.BindPort = s.port
	conf.AdvertiseAddr = s.bind
	conf.AdvertisePort = s.port
	if s.advertise != "" {
		host, port, err := net.SplitHostPort(s.advertise)
		if err != nil {
			return nil, nil, err
		}
		conf.AdvertiseAddr = host
		if conf.AdvertisePort, err = strconv.Atoi(port); err != nil {
			return nil, nil, err
		}
	}
	if err := setLabel(conf, s.label, s.skipCheck); err != nil {
		return nil, nil, err
	}
	if err := setKeys(conf, s); err != nil {
		return nil, nil, err
	}
	conf.EnableCompression = !s.noCompress
	if s.fast {
		conf.PushPullInterval = 2 * time.Second
	}
	ear, err := newEar(s.hear)
	if err != nil {
		return nil, nil, err
	}
	d := &delegate{stateBytes("state of "+s.name, s.stateBytes), ear}
	conf.Delegate = d
	conf.Events = changes{}
	if s.merge {
		conf.Merge = merges{}
	}
	conf.Logger = log.New(&logTap{os.Stderr}, "", log.LstdFlags|log.Lmicroseconds)
	return conf, d, nil
}

func run(s settings) error {
	if s.name == "" {
		return fmt.Errorf("-name is missing")
	}
	conf, d, err := configure(s)
	if err != nil {
		return err
	}
	list, err := memberlist.Create(conf)
	if err != nil {
		return err
	}
	events.emit("ready", map[string]any{"name": s.name, "bytes": len(d.state), "sha256": digest(d.state)})
	if s.join != "" {
		n, err := list.Join(strings.Split(s.join, ","))
		events.emit("joined", map[string]any{"count": n, "error": text(err)})
	}
	err = serveCommands(s.commands, func(words []string) (map[string]any, error) { return obey(list, d, words) })
	if stopped := list.Shutdown(); err == nil {
		err = stopped
	}
	return err
}

func obey(list *memberlist.Memberlist, d *delegate, words []string) (map[string]any, error) {
	args := append(words[1:], "", "")
	switch words[0] {
	case "join":
		n, err := list.Join([]string{args[0]})
		return map[string]any{"count": n}, err
	case "members":
		return map[string]any{"members": members(list)}, nil
	case "heard":
		return d.ear.heard(), nil
	case "leave":
		return nil, list.Leave(5 * time.Second)
	case "ping":
		return ping(list, args[0])
	case "addkey", "usekey", "removekey":
		return nil, changeKeys(words[0], args[0])
	case "sendtcp", "sendudp":
		return send(list, words[0], args[0], args[1])
	}
	return nil, fmt.Errorf("no such command")
}

func members(list *memberlist.Memberlist) []map[string]any {
	out := []map[string]any{}
	for _, n := range list.Members() {
		out = append(out, map[string]any{"name": n.Name, "address": n.Addr.String(), "port": n.Port})
	}
	return out
}

func find(list *memberlist.Memberlist, name string) (*memberlist.Node, error) {
	for _, n := range list.Members() {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("no member %q", name)
}

func ping(list *memberlist.Memberlist, name string) (map[string]any, error) {
	n, err := find(list, name)
	if err != nil {
		return nil, err
	}
	rtt, err := list.Ping(name, &net.UDPAddr{IP: n.Addr, Port: int(n.Port)})
	return map[string]any{"rttMs": float64(rtt) / float64(time.Millisecond)}, err
}

// send sends one user message of a given size over TCP (SendReliable) or UDP (SendBestEffort).
func send(list *memberlist.Memberlist, how, name, size string) (map[string]any, error) {
	n, err := find(list, name)
	if err != nil {
		return nil, err
	}
	count, err := strconv.Atoi(size)
	if err != nil {
		return nil, err
	}
	body := stateBytes("message "+size, count)
	if how == "sendtcp" {
		err = list.SendReliable(n, body)
	} else {
		err = list.SendBestEffort(n, body)
	}
	return map[string]any{"bytes": count, "sha256": digest(body)}, err
}
