package main

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"sort"
	"time"

	"github.com/hashicorp/memberlist"
)

type delegate struct{ state []byte }

func (d *delegate) NodeMeta(int) []byte             { return []byte("zone-a") }
func (d *delegate) NotifyMsg([]byte)                {}
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return d.state }
func (d *delegate) MergeRemoteState([]byte, bool)   {}

// setting is how a ring speaks.
type setting struct {
	label       string
	compression string
	// keys of the ring, none without encryption: alpha and gamma seal with the first, beta with the last.
	keys [][]byte
	// protocol is memberlist's ProtocolVersion: 1 seals with encryption version 0. 0: the release's own.
	protocol uint8
}

func (s setting) String() string {
	sizes := []int{}
	for _, key := range s.keys {
		sizes = append(sizes, len(key))
	}
	return fmt.Sprintf("label %q, compression %q, key bytes %v, protocol %d", s.label, s.compression, sizes, s.protocol)
}

// settings of the rings that live: every label with every compression, and encrypted ones.
func settings() []setting {
	out := []setting{}
	for _, label := range trafficLabels {
		for _, compression := range compressions {
			out = append(out, setting{label: label, compression: compression})
		}
	}
	last := compressions[len(compressions)-1]
	sealed := []setting{
		{keys: testKeys(16, 32)},
		{keys: testKeys(24), protocol: 1, compression: last},
		{keys: testKeys(32), protocol: 1},
		{label: "traces.prod", keys: testKeys(32, 24), compression: last},
		{label: "traces.prod", keys: testKeys(16)},
		{label: "traces.prod", keys: testKeys(24, 16), protocol: 1},
	}
	for _, s := range sealed {
		if s.label == "" || len(trafficLabels) > 1 {
			out = append(out, s)
		}
	}
	return out
}

// member starts a real member on the hub, with timers short enough for a whole life in two seconds.
func member(h *hub, name, address string, s setting, primary int) *memberlist.Memberlist {
	conf := memberlist.DefaultLANConfig()
	conf.Name = name
	conf.Transport = h.attach(address)
	conf.Delegate = &delegate{[]byte("user state of " + name)}
	conf.ProbeInterval = 150 * time.Millisecond
	conf.ProbeTimeout = 50 * time.Millisecond
	conf.GossipInterval = 30 * time.Millisecond
	conf.PushPullInterval = 300 * time.Millisecond
	conf.SuspicionMult = 1
	conf.SuspicionMaxTimeoutMult = 1
	conf.Logger = log.New(io.Discard, "", 0)
	if s.protocol != 0 {
		conf.ProtocolVersion = s.protocol
	}
	if len(s.keys) > 0 {
		conf.Keyring = must(memberlist.NewKeyring(s.keys, s.keys[primary]))
	}
	setCompression(conf, s.compression)
	setLabel(conf, s.label)
	return must(memberlist.Create(conf))
}

// sourceless is a ping as members before v0.2.0 wrote it, encoded by this release's own codec.
func sourceless() vector {
	frame := append([]byte{0}, pack(struct {
		SeqNo uint32
		Node  string
	}{4242, "alpha"})...)
	v := vector{Name: "ping without Source*", Kind: "packet", Hex: hexOf(frame)}
	check(v.describe(frame))
	return v
}

// nested are layers inside each other as no member writes them and every member takes them.
func nested() []vector {
	ask := append([]byte{0}, pack(struct {
		SeqNo uint32
		Node  string
	}{1, "beta"})...)
	say := append([]byte{8}, "nested"...)
	inner := compound(ask, say)
	squeezed := squeeze(compound(say, ask, say, say, say, say))
	frames := map[string][]byte{
		"a compound in a compound":                     compound(inner, say),
		"a compress layer in a compound":               compound(squeezed, ask),
		"a compress layer in a compress layer":         squeeze(squeezed),
		"a compound, compressed, in a compound, twice": compound(squeeze(compound(squeezed, inner)), squeezed),
	}
	names := []string{}
	for name := range frames {
		names = append(names, name)
	}
	sort.Strings(names)
	out := []vector{}
	for _, name := range names {
		v := vector{Name: "nested: " + name, Kind: "packet", Hex: hexOf(frames[name])}
		check(v.describe(frames[name]))
		out = append(out, v)
	}
	return out
}

func pack(value any) []byte {
	var packed []byte
	check(newEncoder(&packed).Encode(value))
	return packed
}

func compound(parts ...[]byte) []byte {
	out := []byte{7, byte(len(parts))}
	for _, part := range parts {
		out = binary.BigEndian.AppendUint16(out, uint16(len(part)))
	}
	return append(out, bytes.Join(parts, nil)...)
}

func squeeze(plain []byte) []byte {
	var squeezed bytes.Buffer
	writer := lzw.NewWriter(&squeezed, lzw.LSB, 8)
	must(writer.Write(plain))
	check(writer.Close())
	return append([]byte{9}, pack(compressed{Buf: squeezed.Bytes()})...)
}

// trafficVectors lets real rings live, and keeps one frame of each signature.
func trafficVectors() []vector {
	out := []vector{}
	for _, s := range settings() {
		h := newHub()
		live(h, s)
		out = append(out, pick(h, s)...)
	}
	return out
}

// live runs one ring through joins, probes, user messages, an indirect probe, a death and a leave.
func live(h *hub, s setting) {
	alpha := member(h, "alpha", "10.1.0.1:7946", s, 0)
	beta := member(h, "beta", "10.1.0.2:7946", s, max(0, len(s.keys)-1))
	gamma := member(h, "gamma", "[fd00::3]:7946", s, 0)
	must(beta.Join([]string{"10.1.0.1:7946"}))
	must(gamma.Join([]string{"10.1.0.1:7946"}))
	time.Sleep(400 * time.Millisecond)
	for _, node := range alpha.Members() {
		if node.Name == "beta" {
			check(alpha.SendBestEffort(node, []byte("a user message by packet")))
			check(alpha.SendReliable(node, []byte("a user message by stream")))
		}
	}
	broken(h, s.label)
	h.blockUDP("[fd00::3]:7946")
	time.Sleep(500 * time.Millisecond)
	check(gamma.Shutdown())
	h.detach("[fd00::3]:7946")
	time.Sleep(900 * time.Millisecond)
	check(beta.Leave(time.Second))
	time.Sleep(100 * time.Millisecond)
	check(beta.Shutdown())
	check(alpha.Shutdown())
}

func check(err error) {
	if err != nil {
		fatal(err)
	}
}

// broken dials a member with a compress message that is none, so that it answers with its error frame.
func broken(h *hub, label string) {
	stranger := &transport{h, "10.1.0.9:7946", nil, nil}
	conn := must(stranger.DialTimeout("10.1.0.1:7946", time.Second))
	check(conn.SetDeadline(time.Now().Add(2 * time.Second)))
	frame := []byte{9, 0x81}
	if label != "" {
		frame = append(append([]byte{244, byte(len(label))}, label...), frame...)
	}
	written := make(chan struct{})
	go func() {
		_, _ = conn.Write(frame)
		_, _ = conn.Write([]byte{0xa4, 'A', 'l', 'g', 'o', 0xc1})
		close(written)
	}()
	_, _ = io.ReadAll(conn)
	check(conn.Close())
	<-written
	// What the stranger wrote is no frame of memberlist's.
	record := conn.(*recorded).exchange
	record.mu.Lock()
	record.dialled.Reset()
	record.mu.Unlock()
}

func pick(h *hub, s setting) []vector {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[string]bool{}
	out := []vector{}
	keep := func(kind string, frame []byte) {
		if len(frame) == 0 {
			return
		}
		body, carried, err := unlabel(frame)
		if err != nil {
			fatal(fmt.Errorf("memberlist's own frame: %w", err))
		}
		v := vector{Kind: kind, Hex: hexOf(frame), LabelHex: hexOf([]byte(carried))}
		if carried != "" {
			v.Layers = append(v.Layers, "label")
		}
		if body, err = v.unseal(body, s.keys, s.label); err == nil {
			err = v.describe(body)
		}
		if err != nil {
			fatal(fmt.Errorf("%s %x: %w", kind, frame, err))
		}
		signature := v.signature()
		if v.Seal != nil {
			// One frame of each key is enough of a kind, but both keys have to be seen.
			signature += fmt.Sprintf(" key %d", v.Seal.Key)
		}
		if seen[signature] || v.Seal != nil && v.Seal.Key > 0 && seen["key "+kind] {
			return
		}
		seen[signature] = true
		if v.Seal != nil && v.Seal.Key > 0 {
			seen["key "+kind] = true
		}
		v.Name = fmt.Sprintf("traffic, %s: %s", s, signature)
		out = append(out, v)
	}
	for _, packet := range h.packets {
		keep("packet", packet)
	}
	for _, stream := range h.streams {
		stream.mu.Lock()
		keep("stream", stream.dialled.Bytes())
		keep("answer", stream.answer.Bytes())
		stream.mu.Unlock()
	}
	return out
}
