// The Go forwarder of TCP: io.Copy both ways, which is splice(2) on Linux. Nothing is looked at, counted or changed.
//
//	tcp-forward-go -at 127.0.0.1:7946 -app 127.0.0.1:7947
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	at := flag.String("at", "", "address to listen on")
	app := flag.String("app", "", "address of the app")
	flag.Parse()
	to, err := net.ResolveTCPAddr("tcp4", *app)
	if err != nil {
		fail(err)
	}
	listener, err := net.Listen("tcp4", *at)
	if err != nil {
		fail(err)
	}
	fmt.Println("up")
	for {
		inbound, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go forward(inbound.(*net.TCPConn), to)
	}
}

func forward(inbound *net.TCPConn, to *net.TCPAddr) {
	defer inbound.Close()
	outbound, err := net.DialTCP("tcp4", nil, to)
	if err != nil {
		return
	}
	defer outbound.Close()
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(outbound, inbound)
		_ = outbound.CloseWrite()
		close(done)
	}()
	_, _ = io.Copy(inbound, outbound)
	_ = inbound.CloseWrite()
	<-done
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
