// Command decode decodes golden frames over and over, as memberlist decodes what it receives (net.go ingestPacket, handleCommand,
// readStream, readRemoteState; util.go decode, decompressBuffer), with the same library and structs, and nothing else of a member.
// The measure that our own decoder is held against.
package main

import (
	"bufio"
	"bytes"
	"compress/lzw"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/golang/snappy"
	"github.com/hashicorp/go-msgpack/v2/codec"
)

type ping struct {
	SeqNo      uint32
	Node       string
	SourceAddr []byte `codec:",omitempty"`
	SourcePort uint16 `codec:",omitempty"`
	SourceNode string `codec:",omitempty"`
}
type indirectPingReq struct {
	SeqNo      uint32
	Target     []byte
	Port       uint16
	Node       string
	Nack       bool
	SourceAddr []byte `codec:",omitempty"`
	SourcePort uint16 `codec:",omitempty"`
	SourceNode string `codec:",omitempty"`
}
type ackResp struct {
	SeqNo   uint32
	Payload []byte
}
type nackResp struct{ SeqNo uint32 }
type errResp struct{ Error string }
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
type userMsgHeader struct{ UserMsgLen int }
type pushNodeState struct {
	Name        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Incarnation uint32
	State       int
	Vsn         []uint8
}
type compress struct {
	Algo int
	Buf  []byte
}

type frame struct {
	stream bool
	bytes  []byte
	keys   [][]byte
	label  []byte
}

// decrypt is security.go decryptPayload: every key in turn, a cipher made for each.
func decrypt(keys [][]byte, msg, data []byte) []byte {
	for _, key := range keys {
		block, err := aes.NewCipher(key)
		fail(err)
		gcm, err := cipher.NewGCM(block)
		fail(err)
		plain, err := gcm.Open(nil, msg[1:13], msg[13:], data)
		if err != nil {
			continue
		}
		if msg[0] == 0 {
			return plain[:len(plain)-int(plain[len(plain)-1])]
		}
		return plain
	}
	panic("no key")
}

var messages int

func decode(buf []byte, out any) error {
	r := bytes.NewReader(buf)
	hd := codec.MsgpackHandle{}
	return codec.NewDecoder(r, &hd).Decode(out)
}

func decompress(c *compress) []byte {
	if c.Algo == 1 {
		out, err := snappy.Decode(nil, c.Buf)
		fail(err)
		return out
	}
	reader := lzw.NewReader(bytes.NewReader(c.Buf), lzw.LSB, 8)
	defer func() { _ = reader.Close() }()
	var out bytes.Buffer
	_, err := io.Copy(&out, reader)
	fail(err)
	return out.Bytes()
}

func command(buf []byte) {
	switch buf[0] {
	case 0:
		take(buf[1:], new(ping))
	case 1:
		take(buf[1:], new(indirectPingReq))
	case 2:
		take(buf[1:], new(ackResp))
	case 3, 5:
		take(buf[1:], new(suspect))
	case 4:
		take(buf[1:], new(alive))
	case 7:
		count := int(buf[1])
		rest := buf[2+2*count:]
		for i := 0; i < count; i++ {
			size := int(binary.BigEndian.Uint16(buf[2+2*i:]))
			if len(rest) < size {
				return
			}
			command(rest[:size])
			rest = rest[size:]
		}
	case 8:
		messages++
	case 9:
		var c compress
		fail(decode(buf[1:], &c))
		command(decompress(&c))
	case 11:
		take(buf[1:], new(nackResp))
	case 13:
		take(buf[1:], new(errResp))
	}
}

func take(buf []byte, out any) {
	fail(decode(buf, out))
	messages++
}

func packet(buf []byte) {
	if buf[0] == 12 && len(buf) >= 5 {
		if crc32.ChecksumIEEE(buf[5:]) != binary.BigEndian.Uint32(buf[1:5]) {
			panic("crc")
		}
		buf = buf[5:]
	}
	command(buf)
}

func stream(b []byte) {
	conn := io.Reader(bufio.NewReader(bytes.NewReader(b)))
	head := [1]byte{}
	_, err := io.ReadFull(conn, head[:])
	fail(err)
	hd := codec.MsgpackHandle{}
	dec := codec.NewDecoder(conn, &hd)
	if head[0] == 9 {
		var c compress
		fail(dec.Decode(&c))
		inner := decompress(&c)
		head[0] = inner[0]
		conn = bytes.NewReader(inner[1:])
		dec = codec.NewDecoder(conn, &hd)
	}
	switch head[0] {
	case 0:
		fail(dec.Decode(new(ping)))
	case 2:
		fail(dec.Decode(new(ackResp)))
	case 13:
		fail(dec.Decode(new(errResp)))
	case 8:
		var header userMsgHeader
		fail(dec.Decode(&header))
		user := make([]byte, header.UserMsgLen)
		_, err := io.ReadFull(conn, user)
		fail(err)
	case 6:
		var header pushPullHeader
		fail(dec.Decode(&header))
		nodes := make([]pushNodeState, header.Nodes)
		for i := range nodes {
			fail(dec.Decode(&nodes[i]))
		}
		user := make([]byte, header.UserStateLen)
		if header.UserStateLen > 0 {
			_, err := io.ReadFull(conn, user)
			fail(err)
		}
	default:
		panic("stream")
	}
	messages++
}

func fail(err error) {
	if err != nil {
		panic(err)
	}
}

func fromHex(text string) []byte {
	b, err := hex.DecodeString(text)
	fail(err)
	return b
}

func userTime() time.Duration {
	var usage syscall.Rusage
	fail(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// usage: decode FRAMES.json ROUNDS; FRAMES.json is corpus.ts's frames as JSON, labels off.
func main() {
	runtime.GOMAXPROCS(1)
	text, err := os.ReadFile(os.Args[1])
	fail(err)
	var entries []struct {
		Stream bool     `json:"stream"`
		Hex    string   `json:"hex"`
		Keys   []string `json:"keysHex"`
		Label  string   `json:"labelHex"`
	}
	fail(json.Unmarshal(text, &entries))
	frames := make([]frame, len(entries))
	for i, entry := range entries {
		frames[i] = frame{entry.Stream, fromHex(entry.Hex), nil, fromHex(entry.Label)}
		for _, key := range entry.Keys {
			frames[i].keys = append(frames[i].keys, fromHex(key))
		}
	}
	rounds, err := strconv.Atoi(os.Args[2])
	fail(err)
	round := func() {
		for _, f := range frames {
			b := f.bytes
			if f.stream {
				if f.keys != nil {
					b = decrypt(f.keys, b[5:], append(append([]byte{}, b[:5]...), f.label...))
				}
				stream(b)
			} else {
				if f.keys != nil {
					b = decrypt(f.keys, b, f.label)
				}
				packet(b)
			}
		}
	}
	round()
	messages = 0
	cpu, start := userTime(), time.Now()
	for i := 0; i < rounds; i++ {
		round()
	}
	fmt.Printf(`{"frames":%d,"messages":%d,"seconds":%g,"cpuSeconds":%g}`+"\n",
		rounds*len(frames), messages, time.Since(start).Seconds(), (userTime() - cpu).Seconds())
}
