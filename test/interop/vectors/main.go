// Command vectors writes golden frames for the unit tests: what memberlist itself (and, built with the tag dskit, Grafana's fork and
// dskit's TCP transport) puts on the wire, and what it makes of broken label headers. Built once per release with the go.mod of the
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
	// Kind: packet, stream, answer (the listener's side of a stream), dskit-packet, dskit-stream.
	Kind string `json:"kind"`
	Hex  string `json:"hex"`
	// LabelHex is the label that the frame carries; empty without one.
	LabelHex string `json:"labelHex"`
	// Layers from the outermost: label, crc, compress, compound.
	Layers []string `json:"layers,omitempty"`
	// Messages inside, as Go decodes them.
	Messages []message `json:"messages,omitempty"`
	// Advertised is the address in a dskit packet.
	Advertised string `json:"advertised,omitempty"`
	// Verdict is what memberlist made of the frame, where it was asked.
	Verdict *verdict `json:"verdict,omitempty"`
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
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: vectors module@version full|partial")
		os.Exit(64)
	}
	full = os.Args[2] == "full"
	doc := document{Origin: os.Args[1]}
	doc.Vectors = append(doc.Vectors, labelVectors()...)
	doc.Vectors = append(doc.Vectors, sourceless())
	doc.Vectors = append(doc.Vectors, trafficVectors()...)
	doc.Vectors = append(doc.Vectors, dskitVectors()...)
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
