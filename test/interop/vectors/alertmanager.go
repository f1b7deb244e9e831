//go:build alertmanager

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/alertmanager/cluster"
	"github.com/prometheus/alertmanager/cluster/clusterpb"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
)

var compressions = []string{""}

func setCompression(*memberlist.Config, string) {}

func unsnap([]byte) ([]byte, error) { return nil, errors.New("Alertmanager writes no Snappy") }

// otherVectors are connections that Alertmanager's TLS transport wrote, as they were inside the TLS. They stand alone: its memberlist is
// a release that has vectors of its own.
func otherVectors() ([]vector, bool) {
	dir := must(os.MkdirTemp("", "ringfence-vectors"))
	defer os.RemoveAll(dir)
	certificate := selfSigned(dir)
	config := filepath.Join(dir, "tls.yml")
	check(os.WriteFile(config, []byte(`
tls_server_config: {cert_file: cert.pem, key_file: key.pem}
tls_client_config: {insecure_skip_verify: true}
`), 0o600))
	listener := must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}}))
	defer listener.Close()
	transport := must(cluster.NewTLSTransport(context.Background(), slog.New(slog.DiscardHandler), prometheus.NewRegistry(),
		"127.0.0.1", 0, must(cluster.GetTLSTransportConfig(config))))
	to := listener.Addr().String()
	connections := collect(listener)
	out := []vector{}
	for _, n := range []int{0, 1, 255} {
		label := labelOf(n)
		conn := must(transport.DialTimeout(to, time.Second))
		check(memberlist.AddLabelHeaderToStream(conn, label))
		must(conn.Write([]byte{8, 0x81, 0xaa, 'U', 's', 'e', 'r', 'M', 's', 'g', 'L', 'e', 'n', 1, 'x'}))
		check(conn.Close())
		out = append(out, connection(fmt.Sprintf("TLSTransport.DialTimeout, label of %d bytes", n), <-connections))
	}
	// Packets share one pooled connection, which ends with the transport.
	for _, packet := range [][]byte{
		body, must(memberlist.AddLabelHeaderToPacket(body, "traces.prod")), compound(body, []byte{8, 'x'}), {},
		must(memberlist.AddLabelHeaderToPacket([]byte{8, 'x'}, labelOf(255))),
	} {
		must(transport.WriteTo(packet, to))
	}
	check(transport.Shutdown())
	return append(out, connection("TLSTransport.WriteTo, five packets", <-connections)), true
}

// collect reads each connection to its end.
func collect(listener net.Listener) <-chan []byte {
	out := make(chan []byte)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			check(conn.SetReadDeadline(time.Now().Add(5 * time.Second)))
			out <- must(io.ReadAll(conn))
			check(conn.Close())
		}
	}()
	return out
}

func connection(name string, bytes []byte) vector {
	v := vector{Name: name, Kind: "alertmanager", Hex: hexOf(bytes)}
	must(v.describeOther(bytes))
	return v
}

// describeOther reads one connection of Alertmanager's (cluster/tls_connection.go).
func (v *vector) describeOther(bytes []byte) (bool, error) {
	if v.Kind != "alertmanager" {
		return false, nil
	}
	for len(bytes) >= 4 {
		size := binary.LittleEndian.Uint32(bytes)
		var frame clusterpb.MemberlistMessage
		if err := proto.Unmarshal(bytes[4:4+size], &frame); err != nil {
			return true, err
		}
		if frame.Version != "v0.1.0" {
			return true, fmt.Errorf("version %q", frame.Version)
		}
		bytes = bytes[4+size:]
		if frame.Kind == clusterpb.MemberlistMessage_STREAM {
			v.Frames = append(v.Frames, tlsFrame{Kind: "stream", From: frame.FromAddr})
			v.Rest = hexOf(bytes)
			return true, nil
		}
		told := tlsFrame{Kind: "packet", From: frame.FromAddr, MsgHex: hexOf(frame.Msg)}
		inner, label, err := memberlist.RemoveLabelHeaderFromPacket(frame.Msg)
		if err != nil {
			return true, err
		}
		told.LabelHex = hexOf([]byte(label))
		packet := vector{Kind: "packet"}
		if len(inner) > 0 {
			if err := packet.describe(inner); err != nil {
				return true, err
			}
		}
		told.Messages = packet.Messages
		v.Frames = append(v.Frames, told)
	}
	return true, nil
}

func selfSigned(dir string) tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vectors"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	certPem := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPem := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
	check(os.WriteFile(filepath.Join(dir, "cert.pem"), certPem, 0o600))
	check(os.WriteFile(filepath.Join(dir, "key.pem"), keyPem, 0o600))
	return must(tls.X509KeyPair(certPem, keyPem))
}
