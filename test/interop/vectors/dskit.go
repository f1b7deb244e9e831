//go:build dskit

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/golang/snappy"
	"github.com/grafana/dskit/flagext"
	"github.com/grafana/dskit/kv/codec"
	kv "github.com/grafana/dskit/kv/memberlist"
	"github.com/grafana/dskit/ring"
	"github.com/grafana/dskit/services"
	"github.com/hashicorp/memberlist"
)

func unsnap(packed []byte) ([]byte, error) { return snappy.Decode(nil, packed) }

// compressions of a ring's traffic: the fork's own among them.
var compressions = []string{"", "lzw", "snappy"}

func setCompression(conf *memberlist.Config, name string) {
	conf.EnableCompression = name != ""
	if name == "snappy" {
		conf.CompressionAlgorithm = memberlist.CompressionAlgorithmSnappy
	}
}

// otherVectors are frames that dskit's TCP transport wrote, by itself, around labels of chosen lengths, and under two living KV clients;
// and what dskit puts inside.
func otherVectors() ([]vector, bool) {
	out := append(written(), pairVectors()...)
	for _, label := range []string{"", "traces.prod"} {
		for _, compression := range compressions {
			out = append(out, lived(label, compression)...)
		}
	}
	return out, false
}

// written are single packets and streams of a bare TCPTransport, read off a socket.
func written() []vector {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	to := listener.Addr().String()
	var cfg kv.TCPTransportConfig
	flagext.DefaultValues(&cfg)
	cfg.BindAddrs = []string{"127.0.0.1"}
	cfg.BindPort = 0
	transport := must(kv.NewTCPTransport(cfg, log.NewNopLogger(), nil))
	out := []vector{}
	for _, advertised := range []string{"10.1.0.1", "fd00::1"} {
		_, _, err := transport.FinalAdvertiseAddr(advertised, 7946)
		check(err)
		for _, n := range []int{0, 1, 16, 20, 254, 255} {
			label := labelOf(n)
			packet := must(memberlist.AddLabelHeaderToPacket([]byte{8, 'x'}, label))
			must(transport.WriteTo(packet, to))
			out = append(out, told(fmt.Sprintf("TCPTransport.WriteTo from %s, label of %d bytes", advertised, n), receive(listener)))
			conn := must(transport.DialTimeout(to, time.Second))
			check(memberlist.AddLabelHeaderToStream(conn, label))
			must(conn.Write([]byte{8, 0x81, 0xaa, 'U', 's', 'e', 'r', 'M', 's', 'g', 'L', 'e', 'n', 1, 'x'}))
			check(conn.Close())
			out = append(out, told(fmt.Sprintf("TCPTransport.DialTimeout beside %s, label of %d bytes", advertised, n), receive(listener)))
		}
		must(transport.WriteTo([]byte{}, to))
		frame := receive(listener)
		out = append(out, vector{Name: "TCPTransport.WriteTo of nothing from " + advertised, Kind: "dskit-packet", Hex: hexOf(frame), Advertised: string(frame[2 : 2+int(frame[1])])})
	}
	check(transport.Shutdown())
	return out
}

func receive(listener net.Listener) []byte {
	conn := must(listener.Accept())
	defer conn.Close()
	check(conn.SetReadDeadline(time.Now().Add(2 * time.Second)))
	return must(io.ReadAll(conn))
}

// told describes a frame that came off a socket.
func told(name string, frame []byte) vector {
	v := vector{Name: name, Hex: hexOf(frame)}
	var inner []byte
	if frame[0] == 1 {
		at := 2 + int(frame[1])
		v.Kind, v.Advertised, inner = "dskit-packet", string(frame[2:at]), frame[at:len(frame)-16]
	} else {
		v.Kind, inner = "dskit-stream", frame[1:]
	}
	body, label, err := memberlist.RemoveLabelHeaderFromPacket(inner)
	check(err)
	if label != "" {
		v.LabelHex = hexOf([]byte(label))
		v.Layers = append(v.Layers, "label")
	}
	check(v.describe(body))
	return v
}

// tap forwards a port and keeps what passes.
type tap struct {
	mu     sync.Mutex
	frames [][2][]byte
	wg     sync.WaitGroup
}

func (t *tap) serve(listener net.Listener, to string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		t.wg.Add(1)
		go t.relay(conn.(*net.TCPConn), to)
	}
}

func (t *tap) relay(conn *net.TCPConn, to string) {
	defer t.wg.Done()
	defer conn.Close()
	dialled, err := net.DialTimeout("tcp", to, time.Second)
	if err != nil {
		return
	}
	upstream := dialled.(*net.TCPConn)
	defer upstream.Close()
	deadline := time.Now().Add(5 * time.Second)
	_, _ = conn.SetDeadline(deadline), upstream.SetDeadline(deadline)
	var asked, answered []byte
	done := make(chan struct{})
	go func() {
		answered = copyAll(conn, upstream)
		close(done)
	}()
	asked = copyAll(upstream, conn)
	<-done
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frames = append(t.frames, [2][]byte{asked, answered})
}

// copyAll copies until the end, passes the end on, and returns what it copied.
func copyAll(to, from *net.TCPConn) []byte {
	var all []byte
	buf := make([]byte, 65536)
	for {
		n, err := from.Read(buf)
		all = append(all, buf[:n]...)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return all
			}
		}
		if err != nil {
			_ = to.CloseWrite()
			return all
		}
	}
}

// client starts a KV client whose advertised port is a tap before its real one.
func client(t *tap, name, label, compression string, advertised, bound int) *kv.KV {
	listener := must(net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", advertised)))
	go t.serve(listener, fmt.Sprintf("127.0.0.1:%d", bound))
	var cfg kv.KVConfig
	flagext.DefaultValues(&cfg)
	cfg.NodeName = name
	cfg.RandomizeNodeName = false
	cfg.AdvertiseAddr = "127.0.0.1"
	cfg.AdvertisePort = advertised
	cfg.ClusterLabel = label
	cfg.EnableCompression = compression != ""
	if compression != "" {
		cfg.CompressionAlgorithm = compression
	}
	cfg.TCPTransport.BindAddrs = []string{"127.0.0.1"}
	cfg.TCPTransport.BindPort = bound
	cfg.LeaveTimeout = time.Second
	cfg.BroadcastTimeoutForLocalUpdatesOnShutdown = time.Second
	cfg.Codecs = []codec.Codec{ring.GetCodec(), ring.GetPartitionRingCodec()}
	node := kv.NewKV(cfg, log.NewNopLogger(), nil, nil)
	check(services.StartAndAwaitRunning(context.Background(), node))
	closers = append(closers, listener)
	return node
}

var closers []io.Closer

// lived lets two KV clients join, gossip a ring and leave, and keeps one frame of each signature.
func lived(label, compression string) []vector {
	t := &tap{}
	one := client(t, "one", label, compression, 47101, 47111)
	two := client(t, "two", label, compression, 47102, 47112)
	// Each has something to bring before they meet, so that the exchange of the join carries state both ways.
	check(one.CAS(context.Background(), "collectors/ring", ring.GetCodec(), func(any) (any, bool, error) {
		return someRing(), true, nil
	}))
	check(two.CAS(context.Background(), "collectors/partitions", ring.GetPartitionRingCodec(), func(any) (any, bool, error) {
		return somePartitions(), true, nil
	}))
	must(two.JoinMembers([]string{"127.0.0.1:47101"}))
	time.Sleep(6 * time.Second) // dskit probes every five seconds
	check(services.StopAndAwaitTerminated(context.Background(), two))
	check(services.StopAndAwaitTerminated(context.Background(), one))
	for _, c := range closers {
		_ = c.Close()
	}
	closers = nil
	t.wg.Wait()
	seen := map[string]bool{}
	out := []vector{}
	keep := func(v vector) {
		check(v.pairsInside())
		signature := v.signature()
		for _, p := range v.Pairs {
			signature += " " + p.Codec
		}
		if seen[signature] {
			return
		}
		seen[signature] = true
		v.Name = fmt.Sprintf("dskit KV, label %q, compression %q: %s", label, compression, signature)
		out = append(out, v)
	}
	for _, frame := range t.frames {
		keep(told("", frame[0]))
		if len(frame[1]) > 0 {
			v := vector{Kind: "answer", Hex: hexOf(frame[1])}
			check(v.describe(frame[1]))
			keep(v)
		}
	}
	return out
}
