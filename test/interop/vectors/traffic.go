package main

import (
	"fmt"
	"io"
	"log"
	"time"

	"github.com/hashicorp/memberlist"
)

type delegate struct{ state []byte }

func (d *delegate) NodeMeta(int) []byte             { return []byte("zone-a") }
func (d *delegate) NotifyMsg([]byte)                {}
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return d.state }
func (d *delegate) MergeRemoteState([]byte, bool)   {}

// member starts a real member on the hub, with timers short enough for a whole life in two seconds.
func member(h *hub, name, address, label string, compress bool) *memberlist.Memberlist {
	conf := memberlist.DefaultLANConfig()
	conf.Name = name
	conf.Transport = h.attach(address)
	conf.Delegate = &delegate{[]byte("user state of " + name)}
	conf.EnableCompression = compress
	conf.ProbeInterval = 150 * time.Millisecond
	conf.ProbeTimeout = 50 * time.Millisecond
	conf.GossipInterval = 30 * time.Millisecond
	conf.PushPullInterval = 0
	conf.SuspicionMult = 1
	conf.SuspicionMaxTimeoutMult = 1
	conf.Logger = log.New(io.Discard, "", 0)
	setLabel(conf, label)
	return must(memberlist.Create(conf))
}

// sourceless is a ping as members before v0.2.0 wrote it, encoded by this release's own codec.
func sourceless() vector {
	var packed []byte
	check(newEncoder(&packed).Encode(struct {
		SeqNo uint32
		Node  string
	}{4242, "alpha"}))
	v := vector{Name: "ping without Source*", Kind: "packet", Hex: hexOf(append([]byte{0}, packed...))}
	check(v.describe(append([]byte{0}, packed...)))
	return v
}

// trafficVectors lets real rings live, with and without a label and compression, and keeps one frame of each signature.
func trafficVectors() []vector {
	out := []vector{}
	for _, label := range trafficLabels {
		for _, compress := range []bool{false, true} {
			h := newHub()
			live(h, label, compress)
			out = append(out, pick(h, label, compress)...)
		}
	}
	return out
}

// live runs one ring through joins, probes, user messages, an indirect probe, a death and a leave.
func live(h *hub, label string, compress bool) {
	alpha := member(h, "alpha", "10.1.0.1:7946", label, compress)
	beta := member(h, "beta", "10.1.0.2:7946", label, compress)
	gamma := member(h, "gamma", "[fd00::3]:7946", label, compress)
	must(beta.Join([]string{"10.1.0.1:7946"}))
	must(gamma.Join([]string{"10.1.0.1:7946"}))
	time.Sleep(400 * time.Millisecond)
	for _, node := range alpha.Members() {
		if node.Name == "beta" {
			check(alpha.SendBestEffort(node, []byte("a user message by packet")))
			check(alpha.SendReliable(node, []byte("a user message by stream")))
		}
	}
	broken(h, label)
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
	go func() {
		_, _ = conn.Write(frame)
		_, _ = conn.Write([]byte{0xa4, 'A', 'l', 'g', 'o', 0xc1})
	}()
	_, _ = io.ReadAll(conn)
	check(conn.Close())
	// What the stranger wrote is no frame of memberlist's.
	h.mu.Lock()
	last := h.streams[len(h.streams)-1]
	h.mu.Unlock()
	last.mu.Lock()
	last.dialled.Reset()
	last.mu.Unlock()
}

func pick(h *hub, label string, compress bool) []vector {
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
		if err := v.describe(body); err != nil {
			fatal(fmt.Errorf("%s %x: %w", kind, frame, err))
		}
		if seen[v.signature()] {
			return
		}
		seen[v.signature()] = true
		v.Name = fmt.Sprintf("traffic, label %q, compression %v: %s", label, compress, v.signature())
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
