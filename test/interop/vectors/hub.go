package main

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// hub is a network in memory that records every frame; addresses are the ones that members advertise, so frames do not depend on the machine.
type hub struct {
	mu      sync.Mutex
	nodes   map[string]*transport
	noUDP   map[string]bool
	packets [][]byte
	streams []*exchange
}

// exchange is one stream: what the dialler wrote, and what the listener answered.
type exchange struct {
	mu      sync.Mutex
	dialled bytes.Buffer
	answer  bytes.Buffer
}

func newHub() *hub { return &hub{nodes: map[string]*transport{}, noUDP: map[string]bool{}} }

// transport is one member's end of the hub: a memberlist.Transport.
type transport struct {
	hub      *hub
	address  string
	packetCh chan *memberlist.Packet
	streamCh chan net.Conn
}

func (h *hub) attach(address string) *transport {
	t := &transport{h, address, make(chan *memberlist.Packet, 64), make(chan net.Conn, 16)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nodes[address] = t
	return t
}

func (h *hub) detach(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.nodes, address)
}

func (h *hub) blockUDP(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noUDP[address] = true
}

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	addr, err := net.ResolveUDPAddr("udp", t.address)
	if err != nil {
		return nil, 0, err
	}
	if v4 := addr.IP.To4(); v4 != nil {
		return v4, addr.Port, nil
	}
	return addr.IP, addr.Port, nil
}

func (t *transport) WriteTo(b []byte, to string) (time.Time, error) {
	copied := append([]byte(nil), b...)
	now := time.Now()
	t.hub.mu.Lock()
	t.hub.packets = append(t.hub.packets, copied)
	peer := t.hub.nodes[to]
	blocked := t.hub.noUDP[to] || t.hub.noUDP[t.address]
	t.hub.mu.Unlock()
	if peer != nil && !blocked {
		from := must(net.ResolveUDPAddr("udp", t.address))
		select {
		case peer.packetCh <- &memberlist.Packet{Buf: append([]byte(nil), b...), From: from, Timestamp: now}:
		default:
		}
	}
	return now, nil
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packetCh }
func (t *transport) StreamCh() <-chan net.Conn           { return t.streamCh }
func (t *transport) Shutdown() error                     { return nil }

func (t *transport) DialTimeout(to string, _ time.Duration) (net.Conn, error) {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	peer := t.hub.nodes[to]
	if peer == nil {
		return nil, fmt.Errorf("no route to %s", to)
	}
	near, far := net.Pipe()
	record := &exchange{}
	t.hub.streams = append(t.hub.streams, record)
	peer.streamCh <- &recorded{far, record, &record.answer}
	return &recorded{near, record, &record.dialled}, nil
}

// recorded is a connection whose writes are kept.
type recorded struct {
	net.Conn
	exchange *exchange
	into     *bytes.Buffer
}

func (r *recorded) Write(b []byte) (int, error) {
	r.exchange.mu.Lock()
	r.into.Write(b)
	r.exchange.mu.Unlock()
	return r.Conn.Write(b)
}
