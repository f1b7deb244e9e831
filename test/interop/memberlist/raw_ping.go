package main

import (
	"encoding/hex"
	"fmt"
	"net"
	"time"
)

// rawPing sends a ping as members before v0.2.0 wrote it, without SourceAddr, SourcePort and SourceNode: the receiver answers the
// address that the datagram came from. An own label can be put in front by hand.
func rawPing(s settings) error {
	to, err := net.ResolveUDPAddr("udp", s.rawPing)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(s.bind), Port: s.port})
	if err != nil {
		return err
	}
	defer conn.Close()
	packet := []byte{}
	if s.label != "" {
		packet = append(append(packet, 244, byte(len(s.label))), s.label...)
	}
	const seq = 4242
	packet = append(packet, 0, 0x82, 0xa5, 'S', 'e', 'q', 'N', 'o', 0xcd, seq>>8, seq&0xff, 0xa4, 'N', 'o', 'd', 'e', 0xa0|byte(len(s.name)))
	packet = append(packet, s.name...)
	if len(s.name) > 31 {
		return fmt.Errorf("the name is too long for a fixraw")
	}
	if _, err := conn.WriteToUDP(packet, to); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	buf := make([]byte, 65536)
	n, from, err := conn.ReadFromUDP(buf)
	if err != nil {
		events.emit("ack", map[string]any{"ok": false, "error": err.Error()})
		return nil
	}
	events.emit("ack", map[string]any{"ok": true, "from": from.String(), "hex": hex.EncodeToString(buf[:n])})
	return nil
}
