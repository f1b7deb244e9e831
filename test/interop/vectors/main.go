// Command vectors writes golden frames for the unit tests: what memberlist itself (built with the tag dskit, Grafana's fork, dskit's TCP
// transport and its key-value pairs; with the tag alertmanager, Alertmanager's TLS transport) puts on the wire, and what it makes of
// broken label headers. `vectors read` reads other writers' frames instead, one JSON object a line. Built once per release with the go.mod of the
// test programs beside it; writes one JSON document to standard output. Only what a ring times by chance (sequence numbers,
// incarnations) changes from run to run.
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

// vector is one frame with what is expected of it.
type vector struct {
	Name string `json:"name"`
	// Kind: packet, stream, answer (the listener's side of a stream), dskit-packet, dskit-stream; kv and kv-run (dskit's key-value
	// pairs: one, and the user state of a push/pull), node-meta (a node's metadata), alertmanager (one connection inside its TLS).
	Kind string `json:"kind"`
	Hex  string `json:"hex"`
	// LabelHex is the label that the frame carries; empty without one.
	LabelHex string `json:"labelHex"`
	// Layers from the outermost: label, encrypt, crc, compress, compound.
	Layers []string `json:"layers,omitempty"`
	// Messages inside, as Go decodes them.
	Messages []message `json:"messages,omitempty"`
	// Advertised is the address in a dskit packet.
	Advertised string `json:"advertised,omitempty"`
	// Seal is how the frame is encrypted.
	Seal *seal `json:"seal,omitempty"`
	// Pairs are the key-value pairs inside, as dskit decodes them.
	Pairs []pair `json:"pairs,omitempty"`
	// Meta is what dskit reads in a node's metadata.
	Meta *nodeMeta `json:"meta,omitempty"`
	// Frames are Alertmanager's, in their order on one connection; the last of a stream's is followed by Rest.
	Frames []tlsFrame `json:"frames,omitempty"`
	Rest   string     `json:"restHex,omitempty"`
	// Verdict is what memberlist made of the frame, where it was asked.
	Verdict *verdict `json:"verdict,omitempty"`
}

// pair is a dskit key-value pair, and what its value holds.
type pair struct {
	Key          string `json:"key"`
	Codec        string `json:"codec"`
	Deleted      bool   `json:"deleted"`
	UpdateTimeMs int64  `json:"updateTimeMs"`
	// ValueHex is the value of another codec than a ring's.
	ValueHex   string      `json:"valueHex,omitempty"`
	Instances  []instance  `json:"instances,omitempty"`
	Partitions []partition `json:"partitions,omitempty"`
	Owners     []owner     `json:"owners,omitempty"`
}

type instance struct {
	Id         string `json:"id"`
	Address    string `json:"address"`
	Zone       string `json:"zone"`
	State      string `json:"state"`
	Timestamp  int64  `json:"timestamp"`
	Registered int64  `json:"registered"`
	ReadOnly   bool   `json:"readOnly"`
	Tokens     int    `json:"tokens"`
}

type partition struct {
	Id        int32  `json:"id"`
	State     string `json:"state"`
	Timestamp int64  `json:"timestamp"`
	Tokens    int    `json:"tokens"`
}

type owner struct {
	Id        string `json:"id"`
	Partition int32  `json:"partition"`
	State     string `json:"state"`
	Timestamp int64  `json:"timestamp"`
}

type nodeMeta struct {
	Role string `json:"role"`
	Zone string `json:"zone"`
}

// tlsFrame is one frame of Alertmanager's; a packet's messages are described as those of any packet.
type tlsFrame struct {
	Kind     string    `json:"kind"`
	From     string    `json:"from"`
	MsgHex   string    `json:"msgHex"`
	LabelHex string    `json:"labelHex"`
	Messages []message `json:"messages,omitempty"`
}

type message struct {
	Type   string         `json:"type"`
	Fields map[string]any `json:"fields"`
}

// verdict of RemoveLabelHeaderFromPacket or RemoveLabelHeaderFromStream, and of a whole member with that label.
type verdict struct {
	RemoveOk    bool   `json:"removeOk"`
	RemoveError string `json:"removeError"`
	MemberLabel string `json:"memberLabelHex"`
	Accepted    bool   `json:"accepted"`
}

// full: every length of label; otherwise a choice of lengths.
var full bool

type document struct {
	Origin  string   `json:"origin"`
	Vectors []vector `json:"vectors"`
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "read" {
		check(readFrames(os.Stdin, os.Stdout))
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: vectors module@version full|partial, or: vectors read")
		os.Exit(64)
	}
	full = os.Args[2] == "full"
	doc := document{Origin: os.Args[1]}
	others, replace := otherVectors()
	if !replace {
		doc.Vectors = append(doc.Vectors, labelVectors()...)
		doc.Vectors = append(doc.Vectors, sourceless())
		doc.Vectors = append(doc.Vectors, nested()...)
		doc.Vectors = append(doc.Vectors, trafficVectors()...)
	}
	doc.Vectors = append(doc.Vectors, others...)
	if err := write(doc); err != nil {
		fatal(err)
	}
}

// write puts each vector on a line of its own, so that a diff shows what changed.
func write(doc document) error {
	fmt.Printf("{ \"origin\": %q, \"vectors\": [\n", doc.Origin)
	for i, v := range doc.Vectors {
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(v); err != nil {
			return err
		}
		end := ",\n"
		if i == len(doc.Vectors)-1 {
			end = "\n"
		}
		fmt.Print(string(bytes.TrimSpace(line.Bytes())), end)
	}
	fmt.Println("] }")
	return nil
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "vectors:", err)
	os.Exit(1)
}

func must[T any](value T, err error) T {
	if err != nil {
		fatal(err)
	}
	return value
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
