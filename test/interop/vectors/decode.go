package main

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strings"
)

// The messages by their memberlist field names (net.go); pointers tell absent from zero.
type ping struct {
	SeqNo      uint32
	Node       string
	SourceAddr []byte
	SourcePort uint16
	SourceNode string
}
type indirectPing struct {
	SeqNo      uint32
	Target     []byte
	Port       uint16
	Node       string
	Nack       bool
	SourceAddr []byte
	SourcePort uint16
	SourceNode string
}
type ackResp struct {
	SeqNo   uint32
	Payload []byte
}
type nackResp struct{ SeqNo uint32 }
type suspect struct {
	Incarnation uint32
	Node        string
	From        string
}
type alive struct {
	Incarnation uint32
	Node        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Vsn         []uint8
}
type pushPullHeader struct {
	Nodes        int
	UserStateLen int
	Join         bool
}
type pushNodeState struct {
	Name        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Incarnation uint32
	State       int
	Vsn         []uint8
}
type userMsgHeader struct{ UserMsgLen int }
type errResp struct{ Error string }
type compressed struct {
	Algo uint8
	Buf  []byte
}

var names = []string{"ping", "indirectPing", "ackResp", "suspect", "alive", "dead", "pushPull", "compound", "user", "compress", "encrypt", "nackResp", "hasCrc", "err"}

func blank(kind byte) any {
	switch kind {
	case 0:
		return &ping{}
	case 1:
		return &indirectPing{}
	case 2:
		return &ackResp{}
	case 3, 5:
		return &suspect{}
	case 4:
		return &alive{}
	case 11:
		return &nackResp{}
	case 13:
		return &errResp{}
	}
	return nil
}

// fieldsOf makes JSON fields of a decoded struct: bytes as hex.
func fieldsOf(value any) map[string]any {
	out := map[string]any{}
	v := reflect.ValueOf(value).Elem()
	for i := 0; i < v.NumField(); i++ {
		field := v.Field(i).Interface()
		if b, ok := field.([]byte); ok {
			field = hexOf(b)
		}
		out[v.Type().Field(i).Name] = field
	}
	return out
}

// describe fills in the layers and messages of a frame without its label header.
func (v *vector) describe(body []byte) error {
	if len(body) == 0 {
		return fmt.Errorf("empty message")
	}
	rest := body[1:]
	switch kind := body[0]; kind {
	case 12:
		v.Layers = append(v.Layers, "crc")
		return v.describe(rest[4:])
	case 9:
		v.Layers = append(v.Layers, "compress")
		plain, err := decompress(rest)
		if err != nil {
			return err
		}
		return v.describe(plain)
	case 7:
		v.Layers = append(v.Layers, "compound")
		return v.compound(rest)
	case 6:
		return v.pushPull(rest)
	case 8:
		return v.user(rest)
	default:
		into := blank(kind)
		if into == nil {
			return fmt.Errorf("type %d is not expected here", kind)
		}
		if err := unpack(bytes.NewReader(rest), into); err != nil {
			return err
		}
		v.Messages = append(v.Messages, message{names[kind], fieldsOf(into)})
		return nil
	}
}

func (v *vector) compound(rest []byte) error {
	count := int(rest[0])
	at := 1 + 2*count
	for i := 0; i < count; i++ {
		size := int(binary.BigEndian.Uint16(rest[1+2*i:]))
		if err := v.describe(rest[at : at+size]); err != nil {
			return err
		}
		at += size
	}
	return nil
}

func (v *vector) user(rest []byte) error {
	if !v.isStream() {
		v.Messages = append(v.Messages, message{"user", map[string]any{"Body": hexOf(rest)}})
		return nil
	}
	reader := bytes.NewReader(rest)
	var header userMsgHeader
	if err := newDecoder(reader).Decode(&header); err != nil {
		return err
	}
	body := rest[len(rest)-header.UserMsgLen:]
	v.Messages = append(v.Messages, message{"user", map[string]any{"UserMsgLen": header.UserMsgLen, "Body": hexOf(body)}})
	return nil
}

func (v *vector) pushPull(rest []byte) error {
	decoder := newDecoder(bytes.NewReader(rest))
	var header pushPullHeader
	if err := decoder.Decode(&header); err != nil {
		return err
	}
	nodes := []map[string]any{}
	for i := 0; i < header.Nodes; i++ {
		var node pushNodeState
		if err := decoder.Decode(&node); err != nil {
			return err
		}
		nodes = append(nodes, fieldsOf(&node))
	}
	fields := fieldsOf(&header)
	fields["States"] = nodes
	fields["UserState"] = hexOf(rest[len(rest)-header.UserStateLen:])
	v.Messages = append(v.Messages, message{"pushPull", fields})
	return nil
}

func decompress(packed []byte) ([]byte, error) {
	var c compressed
	if err := unpack(bytes.NewReader(packed), &c); err != nil {
		return nil, err
	}
	if c.Algo == 0 {
		return io.ReadAll(lzw.NewReader(bytes.NewReader(c.Buf), lzw.LSB, 8))
	}
	return unsnap(c.Buf)
}

func unpack(reader io.Reader, into any) error { return newDecoder(reader).Decode(into) }

// signature tells kinds of frames apart, so that one of each is kept.
func (v *vector) signature() string {
	types := map[string]bool{}
	for _, m := range v.Messages {
		types[m.Type] = true
		if m.Fields["Join"] == true {
			types["join"] = true
		}
	}
	list := []string{}
	for t := range types {
		list = append(list, t)
	}
	sort.Strings(list)
	return strings.Join(append(append([]string{v.Kind}, v.Layers...), list...), " ")
}
