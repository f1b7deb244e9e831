// A plain UDP forwarder as one writes it in Go: ReadFromUDPAddrPort, a map of sessions with a connected socket each, the label header
// compared and stripped.
//
//	udp-forward-go --listen A:P --app A:P --label TEXT
//
// A silent session is closed after a minute. SIGTERM: prints {"forwarded":…,"rejected":…,"answered":…,"unsent":…} and ends.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	datagramMax = 65536
	sessionsMax = 4096
	idle        = time.Minute
	roomBytes   = 4 << 20
)

type session struct {
	socket *net.UDPConn
	// Second in which the peer or the app was last heard.
	seen atomic.Int64
}

var forwarded, rejected, answered, unsent atomic.Uint64

type forwarder struct {
	listener *net.UDPConn
	app      *net.UDPAddr
	header   []byte
	second   atomic.Int64

	mu       sync.RWMutex
	sessions map[netip.AddrPort]*session
}

func (f *forwarder) open(peer netip.AddrPort) (*session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sessions) >= sessionsMax {
		return nil, errors.New("too many sessions")
	}
	socket, err := net.DialUDP("udp", nil, f.app)
	if err != nil {
		return nil, err
	}
	one := &session{socket: socket}
	one.seen.Store(f.second.Load())
	f.sessions[peer] = one
	go f.answer(one, peer)
	return one, nil
}

func (f *forwarder) forward() error {
	packet := make([]byte, datagramMax)
	for {
		n, peer, err := f.listener.ReadFromUDPAddrPort(packet)
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(packet[:n], f.header) {
			rejected.Add(1)
			continue
		}
		f.mu.RLock()
		one := f.sessions[peer]
		f.mu.RUnlock()
		if one == nil {
			if one, err = f.open(peer); err != nil {
				unsent.Add(1)
				continue
			}
		}
		one.seen.Store(f.second.Load())
		if _, err := one.socket.Write(packet[len(f.header):n]); err != nil {
			unsent.Add(1)
			continue
		}
		forwarded.Add(1)
	}
}

func (f *forwarder) answer(one *session, peer netip.AddrPort) {
	packet := make([]byte, datagramMax)
	for {
		n, err := one.socket.Read(packet)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // The app is not there: the kernel said so.
		}
		one.seen.Store(f.second.Load())
		if _, err := f.listener.WriteToUDPAddrPort(packet[:n], peer); err == nil {
			answered.Add(1)
		}
	}
}

func (f *forwarder) keepTime() {
	for now := range time.Tick(time.Second) {
		f.second.Store(now.Unix())
		f.mu.Lock()
		for peer, one := range f.sessions {
			if now.Unix()-one.seen.Load() > int64(idle/time.Second) {
				one.socket.Close()
				delete(f.sessions, peer)
			}
		}
		f.mu.Unlock()
	}
}

func main() {
	listen := flag.String("listen", "", "address and port")
	app := flag.String("app", "", "address and port of the app")
	label := flag.String("label", "", "the label")
	flag.Parse()
	at, err := net.ResolveUDPAddr("udp4", *listen)
	if err != nil {
		log.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp4", *app)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.ListenUDP("udp4", at)
	if err != nil {
		log.Fatal(err)
	}
	if err := listener.SetReadBuffer(roomBytes); err != nil {
		log.Fatal(err)
	}
	header := append([]byte{244, byte(len(*label))}, *label...)
	f := &forwarder{listener: listener, app: to, header: header, sessions: map[netip.AddrPort]*session{}}
	f.second.Store(time.Now().Unix())
	go f.keepTime()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() { log.Fatal(f.forward()) }()
	fmt.Println("listening")
	<-stop
	fmt.Printf("{\"forwarded\":%d,\"rejected\":%d,\"answered\":%d,\"unsent\":%d}\n",
		forwarded.Load(), rejected.Load(), answered.Load(), unsent.Load())
}
