//go:build !nolabel

package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

func setLabel(conf *memberlist.Config, label string) { conf.Label = label }

var trafficLabels = []string{"", "traces.prod"}

func unlabel(packet []byte) ([]byte, string, error) {
	return memberlist.RemoveLabelHeaderFromPacket(packet)
}

// labelOf makes a label of n bytes that is no UTF-8 and differs in every byte from the one of n-1 bytes.
func labelOf(n int) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(n*7 + i*13)
	}
	return string(out)
}

// body is a ping that a member answers at its Source address: 10.1.0.7 port 7946, for the member "judge".
var body = append([]byte{0, 0x85, 0xa5}, []byte("SeqNo\x07\xa4Node\xa5judge\xaaSourceAddr\xa4\x0a\x01\x00\x07\xaaSourcePort\xcd\x1f\x0a\xaaSourceNode\xa4asks")...)

func labelVectors() []vector {
	out := []vector{}
	for n := 1; n <= memberlist.LabelMaxSize; n++ {
		if full || n < 4 || n%50 == 0 || n > 252 || n == 127 || n == 128 {
			out = append(out, added(labelOf(n)))
			out = append(out, addedToStream(labelOf(n)))
		}
	}
	judge := newJudge("traces.prod")
	for _, c := range headers() {
		out = append(out, judge.packet(c), judge.stream(c))
	}
	judge.stop()
	return out
}

// added is a packet under memberlist's own AddLabelHeaderToPacket.
func added(label string) vector {
	frame := must(memberlist.AddLabelHeaderToPacket([]byte{8, 'x'}, label))
	return vector{Name: fmt.Sprintf("AddLabelHeaderToPacket, %d bytes", len(label)), Kind: "packet", Hex: hexOf(frame), LabelHex: hexOf([]byte(label)), Layers: []string{"label"}}
}

// addedToStream is a stream under memberlist's own AddLabelHeaderToStream.
func addedToStream(label string) vector {
	near, far := net.Pipe()
	go func() {
		check(memberlist.AddLabelHeaderToStream(near, label))
		_, _ = near.Write([]byte{8, 0x81})
		_ = near.Close()
	}()
	frame := must(io.ReadAll(far))
	return vector{Name: fmt.Sprintf("AddLabelHeaderToStream, %d bytes", len(label)), Kind: "stream", Hex: hexOf(frame), LabelHex: hexOf([]byte(label)), Layers: []string{"label"}}
}

type headerCase struct {
	name  string
	frame []byte
}

// headers are frames whose label header memberlist may refuse.
func headers() []headerCase {
	own := append([]byte{244, 11}, "traces.prod"...)
	other := append([]byte{244, 12}, "traces.other"...)
	with := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	return []headerCase{
		{"no label", body},
		{"own label", with(own, body)},
		{"another label", with(other, body)},
		{"a label that starts with ours", with([]byte{244, 12}, []byte("traces.prod2"), body)},
		{"a label that ours starts with", with([]byte{244, 10}, []byte("traces.pro"), body)},
		{"our label in capitals", with([]byte{244, 11}, []byte("TRACES.PROD"), body)},
		{"our label and a NUL", with([]byte{244, 12}, []byte("traces.prod\x00"), body)},
		{"type byte alone", []byte{244}},
		{"empty label", with([]byte{244, 0}, body)},
		{"empty label and nothing", []byte{244, 0}},
		{"one byte short", with([]byte{244, 11}, []byte("traces.pro"))},
		{"255 announced, 11 there", with([]byte{244, 255}, []byte("traces.prod"))},
		{"own label and nothing", own},
		{"own label twice", with(own, own, body)},
		{"own label, then another", with(own, other, body)},
		{"another label, then ours", with(other, own, body)},
		{"own label, then a lone type byte", with(own, []byte{244})},
		{"own label, then an empty one", with(own, []byte{244, 0}, body)},
	}
}

// judge is a live member that is asked what it takes: it answers the ping, or it does not.
type judge struct {
	hub   *hub
	list  *memberlist.Memberlist
	label string
	asker *transport
}

func newJudge(label string) *judge {
	h := newHub()
	conf := memberlist.DefaultLANConfig()
	conf.Name = "judge"
	conf.Transport = h.attach("10.1.0.8:7946")
	conf.Label = label
	conf.EnableCompression = false
	conf.Logger = log.New(io.Discard, "", 0)
	return &judge{hub: h, list: must(memberlist.Create(conf)), label: label, asker: h.attach("10.1.0.7:7946")}
}

func (j *judge) stop() { check(j.list.Shutdown()) }

// packet hands the frame to the member and waits for its ack.
func (j *judge) packet(c headerCase) vector {
	v := vector{Name: "judged packet: " + c.name, Kind: "packet", Hex: hexOf(c.frame)}
	_, label, err := memberlist.RemoveLabelHeaderFromPacket(append([]byte(nil), c.frame...))
	v.LabelHex = hexOf([]byte(label))
	v.Verdict = &verdict{RemoveOk: err == nil, RemoveError: text(err), MemberLabel: hexOf([]byte(j.label))}
	must(j.asker.WriteTo(c.frame, "10.1.0.8:7946"))
	select {
	case <-j.asker.packetCh:
		v.Verdict.Accepted = true
	case <-time.After(150 * time.Millisecond):
	}
	return v
}

// stream dials the member, writes the frame, shuts down nothing, and reads its ack.
func (j *judge) stream(c headerCase) vector {
	v := vector{Name: "judged stream: " + c.name, Kind: "stream", Hex: hexOf(c.frame)}
	near, far := net.Pipe()
	go func() {
		_, _ = near.Write(c.frame)
		_ = near.Close()
	}()
	_, label, err := memberlist.RemoveLabelHeaderFromStream(far)
	v.LabelHex = hexOf([]byte(label))
	v.Verdict = &verdict{RemoveOk: err == nil, RemoveError: text(err), MemberLabel: hexOf([]byte(j.label))}
	_ = near.Close()
	_ = far.Close()
	conn := must(j.asker.DialTimeout("10.1.0.8:7946", time.Second))
	check(conn.SetDeadline(time.Now().Add(200 * time.Millisecond)))
	go func() { _, _ = conn.Write(c.frame) }()
	answer := make([]byte, 1)
	n, _ := io.ReadFull(conn, answer)
	v.Verdict.Accepted = n == 1 && answer[0] == 2
	_ = conn.Close()
	return v
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
